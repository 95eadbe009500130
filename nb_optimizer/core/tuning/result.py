"""A search as Python code sees it: its trials, its best values, its best model."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from nb_optimizer.core import store
from nb_optimizer.core.errors import UserError
from nb_optimizer.core.jobs import folder as places
from nb_optimizer.core.recorded import Recorded
from nb_optimizer.core.run import RunResult
from nb_optimizer.core.store import Store
from nb_optimizer.core.training.state_files import BEST
from nb_optimizer.core.tuning import cell as cells
from nb_optimizer.core.tuning.record import SearchRecord, Trial
from nb_optimizer.core.tuning.space import rng_of


class SearchResult(Recorded):
    """One search; while it runs, ``refresh`` reads what has happened since."""

    def __init__(self, path: Path, record: SearchRecord | None = None) -> None:
        self.path = path
        self.record: SearchRecord = record or store.read_search(path)
        self._model: Any = None

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read a search back from its directory."""
        return cls(path)

    def refresh(self) -> Self:
        """Read the journal again."""
        self.record = store.read_search(self.path)
        return self

    @property
    def trials(self) -> list[Trial]:
        """All trials, in the order in which they were begun."""
        return list(self.record.trials)

    @property
    def best_trial(self) -> Trial:
        """The trial with the best score.

        Raises:
            UserError: no trial has a score yet.
        """
        if self.record.best is None:
            message = f"{self.id} has no best trial: none has a score."
            raise UserError(message)
        return self.record.best

    @property
    def best_values(self) -> dict[str, Any]:
        """The values of the best trial."""
        return dict(self.best_trial.values)

    @property
    def best_model(self) -> Any:
        """The model of the best trial with the weights of its best epoch.

        After ``%%tune`` that is the cell's own; for a search read from disk it is rebuilt.

        Raises:
            UserError: it cannot be rebuilt, because its class is the user's own.
        """
        if self._model is None:
            self._model = self._best_run().model
        return self._model

    @property
    def seconds(self) -> float:
        """How long the search worked, in seconds."""
        return self.record.seconds

    def to_code(self) -> str:
        """Return the cell with the best values filled in."""
        begin = self.record.begin
        return cells.filled(begin.source, self.best_values, uses_hp=begin.uses_hp)

    def plot(self) -> Any:
        """Return the search as a matplotlib ``Figure``: best so far, and all learning curves."""
        from nb_optimizer.core.tuning.figure import figure  # noqa: PLC0415 - loads matplotlib

        return figure(self.record)

    @contextlib.contextmanager
    def replayed(self) -> Iterator[None]:
        """Within the block, each ``fit`` of the cell brings the best trial's weights instead."""
        from nb_optimizer.core.plan import TrainPlan  # noqa: PLC0415 - with Keras
        from nb_optimizer.core.training.session import Source, Training  # noqa: PLC0415 - loads it

        training = Training(
            TrainPlan(seed=self.seed_of(self.best_trial), resume=True, restore_best=False),
            source=Source(self.record.begin.source),
            store=self._store(self.best_trial),
            replay=True,
        )
        with training:
            yield
        if training.run.runs:
            self._model = training.run.model

    def seed_of(self, trial: Trial) -> int:
        """Return the seed with which a trial was trained."""
        return int(rng_of(self.record.begin.seed, trial.number, "train").integers(2**32))

    @property
    def can_replay(self) -> bool:
        """Whether the best trial has weights that a replay could bring back."""
        return self.record.best is not None and bool(self._saved())

    def _store(self, trial: Trial) -> Store:
        return Store(self.path / places.TRIALS / str(trial.number))

    def _best_run(self) -> RunResult:
        if not self._store(self.best_trial).paths():
            message = f"{self.id} has no model: its trials trained none."
            raise UserError(message)
        if not (paths := self._saved()):
            message = (
                f"{self.id} has no weights of its best trial, {self.best_trial.number}: they "
                "could not be saved. Its values are in best_values."
            )
            raise UserError(message)
        return RunResult.open(paths[-1])

    def _saved(self) -> list[Path]:
        """Return the runs of the best trial whose best weights lie on disk."""
        return [p for p in self._store(self.best_trial).paths() if (p / BEST).is_file()]
