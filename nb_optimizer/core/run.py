"""A run as Python code sees it: its record, its files, its model."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from nb_optimizer.core import store
from nb_optimizer.core.errors import UserError
from nb_optimizer.core.events import Intervention
from nb_optimizer.core.record import Best, RunRecord
from nb_optimizer.core.recorded import Recorded
from nb_optimizer.core.training import state
from nb_optimizer.core.training.framework import Framework
from nb_optimizer.core.training.opening import MODEL
from nb_optimizer.core.training.state_files import BEST


class RunResult(Recorded):
    """One training run. ``runs`` lists all of them when a cell has several ``fit`` calls.

    The other attributes speak of the last one. Before the first ``fit`` they raise
    ``UserError``.
    """

    def __init__(
        self,
        path: Path | None = None,
        record: RunRecord | None = None,
        model: Any = None,
        best: state.Snapshot | None = None,
    ) -> None:
        self._members: list[Any] = []
        self._path, self._record, self._model, self._best = path, record, model, best
        self.on_wait: Callable[[float | None], bool] = lambda timeout: True  # noqa: ARG005

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read a run back from its directory."""
        return cls(path, store.read_record(path))

    def add(self, path: Path, record: RunRecord, model: Any, best: state.Snapshot | None) -> None:
        """Take in a ``fit`` that has ended."""
        self._members.append(type(self)(path, record, model, best))
        self._path, self._record, self._model, self._best = path, record, model, best

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for a detached run, and for what its cell made to come back.

        Return ``False`` if that takes longer than ``timeout`` seconds; at once for other runs.
        """
        return self.on_wait(timeout)

    def receive(self, model: Any) -> None:
        """Take the model that the last ``fit`` has trained in another process."""
        self._model = model
        for member in self._members[-1:]:
            member.receive(model)

    @property
    def runs(self) -> list[Any]:
        """All runs, one for each ``fit``, in order."""
        return list(self._members) or ([self] if self._record else [])

    @property
    def record(self) -> RunRecord:  # type: ignore[override]
        """All that is known about the run."""
        if self._record is None:
            message = "Nothing was trained yet: this run has no record."
            raise UserError(message)
        return self._record

    @property
    def path(self) -> Path:
        """The run's directory."""
        assert self.record is not None and self._path is not None  # noqa: S101, PT018
        return self._path

    @property
    def history(self) -> dict[str, list[float]]:
        """Metric name to its value in each finished epoch."""
        return self.record.history

    @property
    def best(self) -> Best | None:
        """The best epoch: ``.epoch`` (from 1), ``.metric``, ``.value``."""
        return self.record.best

    @property
    def epochs(self) -> int:
        """How many epochs were finished."""
        return len(self.record.epochs)

    @property
    def seconds(self) -> float:
        """How long the run took, in seconds."""
        return self.record.seconds

    @property
    def interventions(self) -> list[Intervention]:
        """What was steered by hand, in order."""
        return list(self.record.interventions)

    @property
    def model(self) -> Any:
        """The trained model; for a run read from disk, rebuilt with its best weights.

        Raises:
            UserError: the model cannot be rebuilt, because its class is the user's own or no
                weights were kept. ``load_best`` puts the weights into a model you built.
        """
        if self._model is None:
            self._model = self._rebuild()
        return self._model

    def load_best(self, model: Any) -> Any:
        """Put the best weights of this run into ``model`` and return it.

        ``model`` must have been built, with the shapes of the model that was trained.
        """
        from nb_optimizer.core.training.framework import of  # noqa: PLC0415 - loads Keras

        state.put_weights(state.Subject(of(model), model), self._best_snapshot())
        return model

    def restore_best(self) -> None:
        """Give the trained model its best weights."""
        self.load_best(self.model)

    def plot(self) -> Any:
        """Return the curves as a matplotlib ``Figure``, one panel for each metric."""
        from nb_optimizer.core.figure import figure  # noqa: PLC0415 - loads matplotlib

        return figure(self.record)

    def to_code(self) -> str:
        """Return plain Keras code that repeats what the options and the hands did."""
        from nb_optimizer.core.code import to_code  # noqa: PLC0415 - rarely needed

        return to_code(self.record)

    def _best_snapshot(self) -> state.Snapshot:
        if self._best is None:
            file = self.path / BEST
            if not file.is_file():
                message = f"{self.id} kept no weights: it ended before its first epoch did."
                raise UserError(message)
            self._best = state.load(file)
        return self._best

    def _rebuild(self) -> Any:
        file = self.path / MODEL
        if not file.is_file():
            message = (
                f"{self.id} cannot rebuild its model, whose class is your own. "
                "Build it, then call run.load_best(model)."
            )
            raise UserError(message)
        framework = Framework(importlib.import_module(self.record.begin.framework))
        try:
            model = framework.module.models.model_from_json(file.read_text())
        except (TypeError, ValueError, ImportError) as error:
            first = str(error).strip().splitlines()[0]
            message = f"{self.id} cannot rebuild its model ({first}). Use run.load_best(model)."
            raise UserError(message) from error
        return self.load_best(model)
