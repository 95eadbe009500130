"""A search as its events tell it: the one thing that searches, views and results look at."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nb_optimizer.core import events as ev
from nb_optimizer.core import journal
from nb_optimizer.core.record import RUNNING, Best, RunRecord, better
from nb_optimizer.core.training.metric import direction as direction_of
from nb_optimizer.core.tuning import events as te
from nb_optimizer.core.tuning.space import Space
from nb_optimizer.core.tuning.trial import COMPLETED, FAILED, PRUNED, WAITING, Trial

__all__ = [
    "COMPLETED",
    "FAILED",
    "PRUNED",
    "SEARCH",
    "WAITING",
    "SearchRecord",
    "Trial",
    "fold",
    "read_events",
]
SEARCH = "search"  # what stands for a model's name in the list of runs


@dataclass
class SearchRecord:
    """Everything known about one search. Fields are filled by :meth:`apply` only."""

    begin: te.SearchBegin = field(default_factory=lambda: te.SearchBegin(time=0.0, run=""))
    status: str = RUNNING
    reason: str = ""
    fault: dict[str, Any] | None = None
    on: str = ""
    direction: str = "min"
    space: Space = field(default_factory=Space)
    trials: list[Trial] = field(default_factory=list)
    planned_trials: int | None = None
    time_limit: float = math.inf  # seconds of work
    best: Trial | None = None
    paused: bool = False
    workers: dict[int, te.Worker] = field(default_factory=dict)
    importance: te.Importance | None = None
    notes: list[ev.Note] = field(default_factory=list)
    resumed: int = 0
    seconds: float = 0.0  # of work, over all processes
    last_time: float = 0.0
    damaged_lines: int = 0
    owner: tuple[str, int, float] = ("", 0, 0.0)
    progress: list[tuple[int, float]] = field(default_factory=list)  # epochs in all, best score
    epochs_done: int = 0
    _from: float = 0.0
    _before: float = 0.0

    @classmethod
    def of(cls, stream: Iterable[ev.Event]) -> SearchRecord:
        """Fold a whole stream of events."""
        record = cls()
        for event in stream:
            record.apply(event)
        return record

    def apply(self, event: ev.Event) -> None:
        """Fold one event in."""
        self.last_time = event.time
        if self._from and self.status == RUNNING:
            self.seconds = self._before + max(0.0, event.time - self._from)
        _FOLDS[type(event)](self, event)

    def takes(self, event: ev.Event) -> bool:
        """Whether the event makes sense here; its trial's beginning may have been lost."""
        number = getattr(event, "trial", None)
        if number is None or number <= len(self.trials):
            return True
        if not isinstance(event, te.TrialBegin):
            return False
        self.fill(number)
        return True

    def trial(self, number: int) -> Trial:
        """Return a trial by number, from 1."""
        return self.trials[number - 1]

    def fill(self, up_to: int) -> None:
        """Make up trials whose beginning was lost in a damaged journal, as failed ones."""
        while len(self.trials) < up_to - 1:
            lost = "its lines in the journal are damaged"
            self.trials.append(Trial(len(self.trials) + 1, {}, status=FAILED, reason=lost))

    def of_status(self, *wanted: str) -> list[Trial]:
        """Return the trials with one of these statuses."""
        return [t for t in self.trials if t.status in wanted]

    def ranked(self) -> list[Trial]:
        """Return the trials that have a score, best first; earlier ones first among equals."""
        scored = [t for t in self.trials if t.score is not None and t.status != FAILED]
        sign = -1 if self.direction == "max" else 1
        return sorted(scored, key=lambda t: (sign * (t.score or 0.0), t.number))

    def better(self, value: float, than: float) -> bool:
        """Whether one score beats another."""
        return better(self.direction, value, than)

    def as_run(self) -> RunRecord:
        """Return the search as a run whose epochs are trials, for lists of runs."""
        begin = self.begin
        over = [t for t in self.trials if t.is_over]
        run = RunRecord(
            begin=ev.RunBegin(
                time=begin.time, run=begin.run, name=begin.name, key=begin.key, model=SEARCH,
                cell_id=begin.cell_id, monitor=self.on, direction=self.direction,
            ),
            status=self.status,
            reason=self.reason,
            planned_epochs=self.planned_trials or len(self.trials),
            epochs=[ev.EpochEnd(begin.time, t.number, {}) for t in over],
            seconds=self.seconds,
            last_time=self.last_time,
            owner=self.owner,
        )  # fmt: skip
        if self.best and self.best.score is not None:
            run.best = Best(self.best.number, self.on, self.best.score)
        return run


def _begin(record: SearchRecord, event: te.SearchBegin) -> None:
    record.begin = event
    record.on = event.on
    record.direction = event.direction or (direction_of(event.on) if event.on else "min")
    record.space = Space.from_json(event.space)
    record.planned_trials = event.trials
    record.time_limit = event.seconds or math.inf
    record.owner = (event.host, event.pid, event.started)
    record._from = event.time  # noqa: SLF001 - its own fold


def _resumed(record: SearchRecord, event: te.SearchResumed) -> None:
    record.planned_trials = event.trials
    record.time_limit = event.seconds or math.inf
    record.owner = (event.host, event.pid, event.started)
    record.status, record.reason, record.fault = RUNNING, "", None
    record.resumed += 1
    record.paused = False
    record.workers.clear()
    record._before, record._from = record.seconds, event.time  # noqa: SLF001 - its own fold
    for trial in record.of_status(RUNNING):
        trial.status, trial.worker = WAITING, None


def _objective(record: SearchRecord, event: te.Objective) -> None:
    record.on, record.direction = event.on, event.direction


def _grown(record: SearchRecord, event: te.SpaceGrown) -> None:
    record.space.add(Space.from_json(event.space).ranges)


def _trial_begin(record: SearchRecord, event: te.TrialBegin) -> None:
    if event.trial > len(record.trials):
        record.trials.append(Trial(event.trial, dict(event.values), event.origin))
    trial = record.trial(event.trial)
    trial.status, trial.reason, trial.worker = RUNNING, "", event.worker
    trial.began, trial.fault = event.time, None


def _trial_fit(record: SearchRecord, event: te.TrialFit) -> None:
    trial = record.trial(event.trial)
    trial.planned, trial.parameters = event.epochs, event.parameters
    trial.values.update(event.values)


def _trial_epoch(record: SearchRecord, event: te.TrialEpoch) -> None:
    trial = record.trial(event.trial)
    again = event.epoch <= trial.epochs  # what was lost with a worker is trained once more
    del trial.logs[event.epoch - 1 :], trial.scores[event.epoch - 1 :]
    trial.logs.append(event.values)
    trial.scores.append(trial.scores[-1] if trial.scores else None)
    trial.longest = max(trial.longest, event.seconds)
    trial.memory_mb = max(trial.memory_mb, event.memory_mb)
    record.epochs_done += not again
    value = event.values.get(record.on)
    before = trial.scores[-1]
    if value is not None and math.isfinite(value):
        if before is None or record.better(value, before):
            trial.scores[-1], trial.best_epoch = value, event.epoch
        trial.score = trial.scores[-1]
        _new_best(record, trial)
    _step(record)


def _new_best(record: SearchRecord, trial: Trial) -> None:
    top = record.best
    if trial.score is None or trial.status == FAILED:
        return
    if top is None or top.score is None or record.better(trial.score, top.score):
        record.best = trial


def _step(record: SearchRecord) -> None:
    if record.best is not None and record.best.score is not None:
        record.progress.append((record.epochs_done, record.best.score))


def _trial_end(record: SearchRecord, event: te.TrialEnd) -> None:
    trial = record.trial(event.trial)
    trial.status, trial.reason, trial.worker = event.status, event.reason, None
    trial.seconds += event.seconds
    trial.cpu_seconds += event.cpu_seconds
    trial.crashes += event.crashed
    trial.fault = event.fault
    trial.values.update(event.values or {})
    if event.score is not None and math.isfinite(event.score):
        trial.score = event.score
        trial.scores = [*trial.scores[:-1], event.score] if trial.scores else [event.score]
        _new_best(record, trial)
        _step(record)
    if event.status == FAILED and record.best is trial:
        record.best = next(iter(record.ranked()), None)


def _worker(record: SearchRecord, event: te.Worker) -> None:
    record.workers[event.worker] = event


def _paused(record: SearchRecord, event: te.Paused) -> None:
    record.paused = event.on


def _importance(record: SearchRecord, event: te.Importance) -> None:
    record.importance = event


def _note(record: SearchRecord, event: ev.Note) -> None:
    record.notes.append(event)


def _end(record: SearchRecord, event: te.SearchEnd) -> None:
    record.status, record.reason, record.fault = event.status, event.reason, event.fault
    record.workers.clear()


_FOLDS: dict[type[ev.Event], Callable[[SearchRecord, Any], None]] = {
    te.SearchBegin: _begin,
    te.SearchResumed: _resumed,
    te.Objective: _objective,
    te.SpaceGrown: _grown,
    te.TrialBegin: _trial_begin,
    te.TrialFit: _trial_fit,
    te.TrialEpoch: _trial_epoch,
    te.TrialEnd: _trial_end,
    te.Worker: _worker,
    te.Paused: _paused,
    te.Importance: _importance,
    te.SearchEnd: _end,
    ev.Note: _note,
}


def read_events(path: Path) -> SearchRecord:
    """Read the journal in a search's directory, leaving out what is damaged."""
    events, damaged = journal.read(path / te.FILE, te.EVENTS)
    record = fold(events)
    record.damaged_lines = damaged
    return record


def fold(events: Iterable[ev.Event]) -> SearchRecord:
    """Fold a journal, leaving out what refers to lines that were damaged."""
    record = SearchRecord()
    for event in events:
        if record.takes(event):
            record.apply(event)
    return record
