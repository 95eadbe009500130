"""A run as its events tell it: the one thing that every view shows.

``RunRecord.apply`` folds one event in. A live run, a finished run and a run read back from disk
are the same object, so they look the same. Its size is bounded for a run of any length.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from nb_optimizer.core import events as ev

MAX_BATCH_POINTS = 600
RUNNING = "running"


@dataclass(frozen=True)
class Best:
    """The best epoch so far: ``epoch`` counts from 1."""

    epoch: int
    metric: str
    value: float


@dataclass
class RunRecord:
    """Everything known about one run. Fields are filled by :meth:`apply` only."""

    begin: ev.RunBegin = field(default_factory=lambda: ev.RunBegin(time=0.0, run=""))
    status: str = RUNNING
    reason: str = ""
    epochs: list[ev.EpochEnd] = field(default_factory=list)
    best: Best | None = None  # by the monitored metric, over the finished epochs
    partial_epoch: ev.EpochEnd | None = None
    planned_epochs: int = 1
    progress: ev.Progress | None = None
    batch_losses: list[tuple[float, float]] = field(default_factory=list)  # of this epoch
    interventions: list[ev.Intervention] = field(default_factory=list)
    notes: list[ev.Note] = field(default_factory=list)
    accelerated: ev.Accelerated | None = None
    distributed: ev.Distributed | None = None
    scaling: ev.Scaling | None = None
    non_finite: ev.NonFinite | None = None
    checkpoints: dict[str, ev.Checkpoint] = field(default_factory=dict)
    restored_epoch: int | None = None
    resumed_after: list[int] = field(default_factory=list)
    seconds: float = 0.0
    damaged_lines: int = 0
    last_time: float = 0.0
    ghost: RunRecord | None = None
    measured: list[ev.Measured] = field(default_factory=list)  # rows of a compression
    layers: list[dict[str, Any]] = field(default_factory=list)  # of the model compressed
    picks: dict[str, int] = field(default_factory=dict)
    owner: tuple[str, int, float] = ("", 0, 0.0)  # host, pid, when that process started

    @classmethod
    def of(cls, stream: Iterable[ev.Event]) -> RunRecord:
        """Fold a whole stream of events."""
        record = cls()
        for event in stream:
            record.apply(event)
        return record

    def apply(self, event: ev.Event) -> None:
        """Fold one event in."""
        self.last_time = event.time
        if self.begin.run:
            self.seconds = max(self.seconds, event.time - self.begin.time)
        _FOLDS[type(event)](self, event)

    # ---- questions people ask

    @property
    def history(self) -> dict[str, list[float]]:
        """Metric name to its value by finished epoch, as Keras' ``History.history``."""
        names = dict.fromkeys(name for epoch in self.epochs for name in epoch.values)
        return {n: [e.values[n] for e in self.epochs if n in e.values] for n in names}

    @property
    def epochs_since_best(self) -> int:
        """How many epochs have passed without a new best."""
        return self.epochs[-1].epoch - self.best.epoch if self.epochs and self.best else 0

    @property
    def stopping(self) -> dict[str, Any] | None:
        """The early-stopping state after the last epoch, or ``None``."""
        return self.epochs[-1].stopping if self.epochs else None

    @property
    def learning_rate(self) -> float | None:
        """The learning rate in force."""
        changed = [i for i in self.interventions if i.action == "learning_rate"]
        last = self.epochs[-1] if self.epochs else None
        if changed and (last is None or changed[-1].time > last.time):
            return changed[-1].value
        return last.learning_rate if last else None

    @property
    def eta_seconds(self) -> float | None:
        """Seconds left for the whole run, validation counted in; ``None`` while unknown."""
        if self.status != RUNNING or self.progress is None:
            return None
        left_here = self._left_in_epoch()
        if left_here is None:
            return None
        epochs_left = max(0, self.planned_epochs - self.progress.epoch)
        return left_here + epochs_left * self._epoch_seconds()

    def metrics(self) -> list[str]:
        """Names of the training metrics, ``loss`` first; ``val_`` names are not listed."""
        names = [n for n in self.history if not n.startswith("val_")]
        return sorted(names, key=lambda n: n != "loss")

    def _left_in_epoch(self) -> float | None:
        now = self.progress
        steps = self.begin.steps or (self.epochs[-1].steps if self.epochs else 0)
        if now is None or not steps or not now.batches_per_second:
            return None
        left = max(0, steps - now.step) / now.batches_per_second
        validation = self._validation_seconds()
        if now.phase == "validating":
            return validation / 2
        return left + validation

    def _validation_seconds(self) -> float:
        recent = [e.validation_seconds for e in self.epochs[-5:]]
        if recent:
            return sum(recent) / len(recent)
        # Before the first validation its length is unknown; a fifth of an epoch is a usual split.
        steps = self.begin.steps or 0
        speed = self.progress.batches_per_second if self.progress else 0.0
        return steps / speed / 5 if self.begin.validates and speed else 0.0

    def _epoch_seconds(self) -> float:
        # The first epoch pays for compiling, so it counts only while it is alone.
        recent = [e.seconds for e in self.epochs[-5:] if e.epoch > 1 or len(self.epochs) == 1]
        if recent and len(self.epochs) > 1:
            return sum(recent) / len(recent)
        speed = self.progress.batches_per_second if self.progress else 0.0
        steps = self.begin.steps or (self.epochs[-1].steps if self.epochs else 0)
        return (steps / speed if speed else 0.0) + self._validation_seconds()


def better(direction: str, value: float, than: float) -> bool:
    """Whether ``value`` beats ``than`` where ``direction`` is ``min`` or ``max``."""
    return value > than if direction == "max" else value < than


def _begin(record: RunRecord, event: ev.RunBegin) -> None:
    record.begin = event
    record.planned_epochs = event.epochs
    record.owner = (event.host, event.pid, event.started)


def _resumed(record: RunRecord, event: ev.Resumed) -> None:
    record.epochs = [e for e in record.epochs if e.epoch <= event.epoch]
    record.best = record.partial_epoch = record.progress = None
    for epoch in record.epochs:
        record.best = _best_of(record, epoch)
    record.batch_losses = []
    record.status, record.reason = RUNNING, ""
    record.planned_epochs = event.epochs
    record.owner = (event.host, event.pid, event.started)
    record.resumed_after.append(event.epoch)


def _progress(record: RunRecord, event: ev.Progress) -> None:
    if record.progress is None or event.epoch != record.progress.epoch:
        record.batch_losses = []
    record.progress = event
    record.batch_losses.extend((p[0], p[1]) for p in event.points)
    if len(record.batch_losses) > MAX_BATCH_POINTS:
        record.batch_losses = halve(record.batch_losses)


def _epoch_end(record: RunRecord, event: ev.EpochEnd) -> None:
    if event.partial:
        record.partial_epoch = event
    else:
        record.epochs.append(event)
        record.best = _best_of(record, event)


def _best_of(record: RunRecord, epoch: ev.EpochEnd) -> Best | None:
    value = epoch.values.get(record.begin.monitor)
    if value is None or math.isnan(value):
        return record.best
    if record.best is None or better(record.begin.direction, value, record.best.value):
        return Best(epoch.epoch, record.begin.monitor, value)
    return record.best


def _intervention(record: RunRecord, event: ev.Intervention) -> None:
    record.interventions.append(event)
    if event.action == "epochs" and event.value is not None:
        record.planned_epochs = int(event.value)


def _end(record: RunRecord, event: ev.RunEnd) -> None:
    record.status, record.reason = event.status, event.reason
    record.restored_epoch = event.restored_epoch
    record.seconds = event.seconds or record.seconds


def _picked(record: RunRecord, event: ev.Picked) -> None:
    record.picks = dict(event.picks)


def _layers(record: RunRecord, event: ev.Layers) -> None:
    record.layers = event.rows


def _append(name: str, record: RunRecord, event: ev.Event) -> None:
    getattr(record, name).append(event)


def _checkpoint(record: RunRecord, event: ev.Checkpoint) -> None:
    record.checkpoints[event.file] = event


def _accelerated(record: RunRecord, event: ev.Accelerated) -> None:
    record.accelerated = event
    record.notes.append(ev.Note(event.time, event.text))


def _distributed(record: RunRecord, event: ev.Distributed) -> None:
    record.distributed = event
    record.notes.append(ev.Note(event.time, event.text))


def _scaling(record: RunRecord, event: ev.Scaling) -> None:
    record.scaling = event
    record.notes.append(ev.Note(event.time, event.text))


def _non_finite(record: RunRecord, event: ev.NonFinite) -> None:
    record.non_finite = record.non_finite or event


_FOLDS: dict[type[ev.Event], Callable[[RunRecord, Any], None]] = {
    ev.RunBegin: _begin,
    ev.Resumed: _resumed,
    ev.Progress: _progress,
    ev.EpochEnd: _epoch_end,
    ev.Checkpoint: _checkpoint,
    ev.Intervention: _intervention,
    ev.Note: partial(_append, "notes"),
    ev.Accelerated: _accelerated,
    ev.Distributed: _distributed,
    ev.Scaling: _scaling,
    ev.NonFinite: _non_finite,
    ev.Measured: partial(_append, "measured"),
    ev.Layers: _layers,
    ev.Kept: lambda *_: None,  # for who resumes
    ev.Picked: _picked,
    ev.RunEnd: _end,
}


def halve(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Halve a curve: each pair of points becomes its mean, so no level is invented."""
    pairs = zip(points[::2], points[1::2], strict=False)
    return [((a[0] + b[0]) / 2, (a[1] + b[1]) / 2) for a, b in pairs]
