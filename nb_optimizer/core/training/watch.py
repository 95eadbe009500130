"""Turns Keras' hooks into events, and lets steering happen between batches.

Per batch it stores one number and looks at a clock. Two to twenty times a second the loss is read,
five times people are listened to, and twice what is shown changes.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from nb_optimizer.core import events as ev
from nb_optimizer.core.record import halve
from nb_optimizer.core.training import diagnosis
from nb_optimizer.core.training.sampling import BatchLoss, Memory, Speed

if TYPE_CHECKING:
    from nb_optimizer.core.training.fit import Fit

_ATTEND, _SHOW, _PAUSED_TICK = 0.2, 0.5, 0.05  # seconds
_SAMPLE, _RARELY, _SAMPLES = 0.05, 0.5, 15  # often in a short epoch, seldom in a long one
_POINTS = 16  # most points that one Progress event carries to the journal


class Watch:
    """The hooks of one ``fit`` call; see :class:`~.framework.Watcher`."""

    def __init__(self, fit: Fit) -> None:
        self._fit = fit
        lockstep = fit.call.share.in_lockstep  # reading a metric takes all workers
        read = (lambda: None) if lockstep else fit.framework.loss_totals(fit.model)
        self._loss = BatchLoss(read)
        self._speed = Speed()
        self._memory = Memory()
        self.epoch = 0  # from 1, as people count
        self.step = -1  # index of the batch that was begun last
        self.validation_step = 0
        self.in_validation = False
        self._is_between = False  # one epoch is over, the next has not begun
        self._tick_due = self._sample_due = self._attend_due = 0.0
        self._sample_every = _SAMPLE
        self._show_due = self._journal_due = 0.0
        self._points: list[tuple[float, float]] = []
        self._unsaved: list[tuple[float, float]] = []
        self._epoch_start = self._began = time.perf_counter()
        self._validation_start: float | None = None
        self._validation_seconds = 0.0
        self._sampled_step = 0
        self._reported_non_finite = False

    # ---- hooks

    def train_begin(self, params: dict[str, Any]) -> None:
        """The model is built; nothing is trained yet."""
        self._fit.begin(params.get("steps"))

    def epoch_begin(self, epoch: int) -> None:
        """Epoch ``epoch`` (from 0) starts."""
        now = time.perf_counter()
        self.epoch, self.step, self.validation_step = epoch + 1, -1, 0
        self._is_between = False
        self._epoch_start, self._validation_seconds = now, 0.0
        self._sampled_step = 0
        self._tick_due = self._sample_due = 0.0
        self._sample_every = _SAMPLE
        self._loss.restart()
        self._speed.restart()
        self._fit.epoch_begin()
        if self.epoch == self._fit.call.initial_epoch + 1:
            self._progress("compiling")

    def batch_begin(self, step: int) -> None:
        """Batch ``step`` (from 0) is next."""
        self.step = step
        if time.perf_counter() >= self._tick_due:
            self._tick("training")

    def test_begin(self) -> None:
        """A validation pass starts."""
        if self.epoch:
            self._sample(self.steps_done)
            self.in_validation = True
            self._validation_start = time.perf_counter()

    def test_batch_begin(self, step: int) -> None:
        """Validation batch ``step`` is next."""
        self.validation_step = step
        if time.perf_counter() >= self._tick_due and self.in_validation:
            self._tick("validating")

    def test_end(self) -> None:
        """The validation pass of this epoch is over."""
        self.in_validation = False
        if self._validation_start is not None:
            self._validation_seconds = time.perf_counter() - self._validation_start

    def epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Epoch ``epoch`` (from 0) is over, validation included."""
        self._sample(self.steps_done)
        values = {k: float(logs[k]) for k in _in_order(logs) if _is_number(logs[k])}
        if not self._reported_non_finite and "loss" in values:
            self._look_for_nan(values["loss"], 1, self.steps_done)
        self._progress("training")
        event = ev.EpochEnd(
            time=time.time(),
            epoch=epoch + 1,
            values=values,
            learning_rate=self._fit.rate.get(),
            steps=self.steps_done,
            seconds=time.perf_counter() - self._epoch_start,
            validation_seconds=self._validation_seconds,
            partial=self._fit.is_partial(self.steps_done),
            stopping=self._fit.options.stopping_state(),
        )
        self._is_between = not event.partial
        self._fit.epoch_end(event)
        if time.perf_counter() >= self._attend_due:
            self._attend("training")

    @property
    def position(self) -> tuple[int, int]:
        """Epoch (from 1) and batch (from 0) before which a deed takes effect now."""
        return (self.epoch + 1, 0) if self._is_between else (self.epoch, max(0, self.step))

    # ---- the clock

    @property
    def steps_done(self) -> int:
        """Batches of this epoch that are done, as far as ``step`` tells."""
        return self.step + self._fit.steps_per_execution if self.step >= 0 else 0

    def _tick(self, phase: str) -> None:
        now = time.perf_counter()
        if now >= self._sample_due and phase == "training":
            self._sample(self.step)
            self._sample_every = max((now - self._epoch_start) / _SAMPLES, _SAMPLE)
            self._sample_due = now + min(self._sample_every, _RARELY)
        if now >= self._attend_due:
            self._attend(phase)
            now = time.perf_counter()
            self._attend_due = now + _ATTEND
        if now >= self._show_due:
            self._show_due = now + _SHOW
            self._progress(phase)
        # In a long epoch all is done at one go: each time the processor turns from the model to
        # Python, it has to fetch both anew.
        alone = phase == "training" and self._sample_every < _ATTEND
        self._tick_due = min(self._sample_due, self._attend_due) if alone else self._attend_due

    def _attend(self, phase: str) -> None:
        """Let the front end's messages in, act on them, and wait while paused."""
        fit = self._fit
        fit.attend()
        if fit.control.pause.is_set() and not fit.control.stop.is_set():
            self._pause()
        if fit.control.stop.is_set():
            fit.model.stop_training = True
            if phase == "validating":
                fit.framework.cut_validation(fit.model)

    def _pause(self) -> None:
        fit, start = self._fit, time.perf_counter()
        fit.intervened("pause")
        self._progress("paused")
        while fit.control.pause.is_set() and not fit.control.stop.is_set():
            time.sleep(_PAUSED_TICK)
            fit.attend()
        fit.intervened("resume", time.perf_counter() - start)
        self._speed.restart()
        self._epoch_start += time.perf_counter() - start

    def _sample(self, steps: int) -> None:
        if steps <= self._sampled_step:
            return
        loss = self._loss.since_last()
        if loss is None:
            loss = self._fit.options.logged_loss()
        if loss is not None:
            self._points.append((float(steps), loss))
            self._look_for_nan(loss, self._sampled_step + 1, steps)
        self._sampled_step = steps
        self._speed.update(time.perf_counter(), steps)

    def _look_for_nan(self, loss: float, first: int, last: int) -> None:
        if self._reported_non_finite or diagnosis.is_finite(loss):
            return
        self._reported_non_finite = True
        causes = diagnosis.causes(self._fit.model, self._fit.call.values, self._fit.rate.get())
        self._fit.emit(ev.NonFinite(time.time(), self.epoch, first, last, loss, causes))

    def _progress(self, phase: str) -> None:
        points, self._points = self._points, []
        self._unsaved.extend(points)
        event = ev.Progress(
            time=time.time(),
            epoch=self.epoch,
            step=self._sampled_step,
            phase=phase,
            points=[list(p) for p in points],
            batches_per_second=round(self._speed.value, 3),
            memory_mb=round(self._memory.value(), 1),
            validation_step=self.validation_step,
        )
        now = time.perf_counter()
        save = now >= self._journal_due
        self._fit.emit(event, save=False)
        if save:
            # Ever rarer, so that the journal of a week is not a thousand times that of an hour.
            self._journal_due = now + max(1.0, (now - self._began) / 500)
            while len(self._unsaved) > _POINTS:
                self._unsaved = halve(self._unsaved)
            self._fit.write(ev.Progress(**{**vars(event), "points": self._unsaved}))
            self._unsaved = []


def _in_order(names: Iterable[str]) -> list[str]:
    """Training before validation, the loss before the metrics."""
    return sorted(names, key=lambda n: (n.startswith("val_"), n.removeprefix("val_") != "loss"))


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True
