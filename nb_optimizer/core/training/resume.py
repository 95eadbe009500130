"""Going on where an earlier run of the same cell ended."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nb_optimizer.core import events as ev
from nb_optimizer.core import store
from nb_optimizer.core.errors import UserError
from nb_optimizer.core.record import RUNNING, RunRecord
from nb_optimizer.core.training import state
from nb_optimizer.core.training.keras_input import InputReplay
from nb_optimizer.core.training.state_files import BEST, LATEST

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nb_optimizer.core.training.fit import Fit

_FINISHED = ("completed", "early_stopped")


class Resume:
    """The earlier run that a ``fit`` goes on from; without one, every method does nothing."""

    def __init__(self, fit: Fit) -> None:
        self._fit = fit
        self._replay = InputReplay()
        self._history_is_put = False
        self.path: Path | None = None
        self.record: RunRecord | None = None
        self.best: state.Snapshot | None = None
        self.finished = False
        self.seconds = 0.0
        self._from: state.Snapshot | None = None
        if fit.plan.resume:
            self._find(fit)

    def _find(self, fit: Fit) -> None:
        path = fit.training.store.newest(fit.key)
        if path is None:
            return
        record = store.read_record(path)
        if record.status == RUNNING:
            message = f"{path.name} is still running. Watch it, or end it: %runs stop {path.name}"
            raise UserError(message)
        self.path, self.record, self.seconds = path, record, record.seconds
        self.best = state.load(path / BEST) if (path / BEST).is_file() else None
        latest = state.load(path / LATEST) if (path / LATEST).is_file() else None
        found = [s for s in (latest, self.best) if s is not None]
        self._from = max(found, key=lambda s: s.epoch) if found else None
        self._set_epochs(record)

    def _set_epochs(self, record: RunRecord) -> None:
        values, done = self._fit.call.values, self.epoch
        if record.planned_epochs > record.begin.epochs:  # epochs were added by hand
            values["epochs"] = max(self._fit.call.epochs, record.planned_epochs)
        enough = self._fit.call.epochs <= record.planned_epochs
        over = (record.status in _FINISHED and enough) or self._fit.training.replay
        self.finished = over and self._from is not None
        values["initial_epoch"] = max(self._fit.call.initial_epoch, done)
        if self.finished:
            values["epochs"] = values["initial_epoch"] = done

    @property
    def epoch(self) -> int:
        """How many epochs are done already."""
        return self._from.epoch if self._from else 0

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Catch the input iterator, if its draws have to be repeated."""
        if self._from is None:
            yield
            return
        with self._replay.installed(self._fit.framework):
            yield

    def open(self) -> None:
        """Write in the journal that the run goes on."""
        if self.finished:
            self._fit.note("this run was complete: its weights are back, nothing is left to train")
            return
        self._fit.emit(
            ev.Resumed(time.time(), self.epoch, self._fit.call.epochs, *store.this_process())
        )
        if not self.epoch:
            self._fit.note("no state was saved before it ended, so it starts again at epoch 1")

    def restore(self, subject: state.Subject) -> None:
        """Put the saved state on the model, the callbacks and the random streams."""
        if self._from is None:
            return
        state.put(subject, self._from)
        self._fit.rate.scale(self._from.rest["rate_factor"])
        if not self.finished:
            self._repeat_input()
        unmatched = state.put_rest(self._from, self._fit.options.stateful_callbacks)
        for name in unmatched:
            self._fit.note(f"the state of {name} was not saved, so it starts afresh", "warning")
        wanted = self.record and (self.record.restored_epoch or self._fit.training.replay)
        if self.finished and wanted and self.best:
            state.put_weights(subject, self.best)

    def put_history(self, model: Any) -> None:
        """Let Keras' ``History`` begin with the epochs of before."""
        if self._history_is_put or self.record is None:
            return
        self._history_is_put = True
        done = [e for e in self.record.epochs if e.epoch <= self.epoch]
        names = dict.fromkeys(n for e in done for n in e.values)
        before = {n: [e.values[n] for e in done if n in e.values] for n in names}
        model.history.history = before
        model.history.epoch = [e.epoch - 1 for e in done]

    def _repeat_input(self) -> None:
        start = time.perf_counter()
        if not self._replay.run(self.epoch):
            text = "the order of the input could not be restored; the weights were"
            self._fit.note(text, "warning")
        elif (seconds := time.perf_counter() - start) > 1:
            self._fit.note(f"input of the {self.epoch} finished epochs repeated in {seconds:.0f} s")
