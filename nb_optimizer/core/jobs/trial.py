"""One trial inside a worker: the cell with its names bound, every ``fit`` reported.

The cell runs under the same session as ``%%train``: it gives each epoch's end, keeps checkpoint and
best weights, steps faster where that is exact, and brings a paused trial back bit for bit.
"""

from __future__ import annotations

import linecache
import math
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nb_optimizer.core import events as ev
from nb_optimizer.core.errors import UserError
from nb_optimizer.core.plan import TrainPlan
from nb_optimizer.core.record import RunRecord
from nb_optimizer.core.store import Store
from nb_optimizer.core.training.control import Control
from nb_optimizer.core.training.session import Source, Training

CELL = "<the cell>"
Send = Callable[[dict[str, Any]], None]


@dataclass
class Task:
    """What the supervisor asks for: trial ``number`` with ``values``, waiting after ``until``."""

    number: int
    values: dict[str, Any]
    seed: int
    folder: Path
    resume: bool = False
    until: int | None = None
    on: str = ""
    checks_metrics: bool = False
    direction: str = ""
    line_names: tuple[str, ...] = ()  # ranges of the line, which are variables beside ``hp``
    devices: str | None = None  # what trains it together, as ``--devices`` says it


@dataclass
class Desk:
    """How a trial talks with the supervisor: ``send`` a message, ``verdict`` waits for one."""

    send: Send
    verdict: Callable[[], dict[str, Any]]
    stopped: Callable[[], bool] = lambda: False  # the supervisor wants the trial to pause now
    memory: Callable[[], float] = lambda: 0.0


class Reporter:
    """Sees every event of a trial's fits; pauses the trial where the supervisor says so."""

    def __init__(self, task: Task, desk: Desk) -> None:
        self.task, self.desk = task, desk
        self.until = task.until
        self.paused = False
        self.seen_on = False
        self.non_finite = False
        self.check_metric: Callable[[], list[str]] = list
        self.drawn: Any | None = None  # the cell's hp
        self.fits = 0
        self._is_told = True  # the fit's length, and what it had trained before
        self._base = 0  # epochs of the fits before this one
        self._record: RunRecord | None = None
        self._control = Control()

    def __call__(self, record: RunRecord, control: Control) -> Reporter:
        """Be the view of the next ``fit``."""
        if self._record is not None:
            self._base += len(self._record.epochs)
        self.fits += 1
        self._is_told = False
        self._record, self._control = record, control
        return self

    def show(self, event: ev.Event, record: RunRecord) -> None:
        """Report what matters to the search."""
        if not self._is_told:
            self._begin(record)
        if isinstance(event, ev.RunBegin):
            if known := self.check_metric():
                self.desk.send({"is": "unknown", "known": known})
                self._pause()
        elif isinstance(event, ev.EpochEnd) and not event.partial:
            self._epoch(event)
        elif isinstance(event, ev.NonFinite):
            self.non_finite = True
            self._control.request_stop("search")
        elif isinstance(event, ev.Note) and (self.task.devices or event.level == "warning"):
            self.desk.send({"is": "note", "text": event.text, "level": event.level})

    def pump(self) -> None:
        """Stop at a batch boundary when the supervisor wants it."""
        if not self.paused and self.desk.stopped():
            self._pause()

    def close(self, record: RunRecord) -> None:
        """Do nothing."""

    def drawing(self) -> dict[str, Any]:
        """Return what the cell's ``hp`` has drawn, and the ranges that it met."""
        return (
            {} if self.drawn is None else {"values": self.drawn.drawn(), "space": self.drawn.met()}
        )

    def _begin(self, record: RunRecord) -> None:
        """Tell a fit's length, and its epochs: reports may be lost with the supervisor."""
        self._is_told = True
        self.desk.send({
            "is": "fit", "fit": self.fits, "epochs": self._base + record.planned_epochs,
            "parameters": record.begin.parameters, **self.drawing(),
        })  # fmt: skip
        for event in record.epochs:
            self._tell(event, is_new=False)

    def _tell(self, event: ev.EpochEnd, *, is_new: bool) -> int:
        epoch = self._base + event.epoch
        self.seen_on = self.seen_on or self.task.on in event.values
        self.desk.send({
            "is": "epoch", "epoch": epoch, "values": dict(event.values), "new": is_new,
            "seconds": event.seconds, "memory": self.desk.memory(),
        })  # fmt: skip
        return epoch

    def _epoch(self, event: ev.EpochEnd) -> None:
        epoch = self._tell(event, is_new=True)
        is_last = self._record is not None and event.epoch >= self._record.planned_epochs
        if self.until is not None and epoch >= self.until and not is_last and not self.paused:
            self._wait()

    def _wait(self) -> None:
        verdict = self.desk.verdict()
        self.until = verdict.get("until")
        if not verdict["go"]:
            self._pause()

    def _pause(self) -> None:
        self.paused = True
        self._control.request_stop("search")


class Paused(BaseException):
    """Ends the cell after a paused ``fit``; a ``BaseException``, so that no cell catches it."""


def run(
    task: Task,
    job: dict[str, Any],
    make_names: Callable[[], dict[str, Any]],
    desk: Desk,
) -> dict[str, Any]:
    """Run a trial and return its end as a message; no exception of the cell leaves."""
    began, source = time.perf_counter(), job["source"]
    linecache.cache[CELL] = (len(source), None, source.splitlines(keepends=True), CELL)
    names: dict[str, Any] = {}
    reporter = Reporter(task, desk)
    status, reason, fault = "completed", "", None
    try:
        names.update(make_names())
        reporter.drawn = bind(names, task, uses_hp=job["uses_hp"])
        with _training(task, source, reporter, job["sets"]):
            exec(compile(source, CELL, "exec"), names)  # noqa: S102 - the user's own cell
    except Paused:
        status = "pruned"
    except Exception as error:  # noqa: BLE001 - a guarded place: whatever the cell raises is told
        status, reason, fault = "failed", told(error), describe(error)
    if reporter.non_finite:
        status, reason, fault = "failed", "the loss became NaN or infinite", None
    score = number(names.get(task.on)) if status == "completed" and not reporter.seen_on else None
    seconds = time.perf_counter() - began
    end = {"is": "end", "status": status, "reason": reason, "fault": fault, "score": score}
    return {**end, "seconds": seconds, "trained": reporter.fits > 0, **reporter.drawing()}


def _training(task: Task, source: str, reporter: Reporter, sets: list[str]) -> Training:
    surely = task.on == "loss" or task.on.startswith("val_")  # a cell may have a variable "loss"
    is_metric = task.on and (surely or task.on not in sets)
    plan = TrainPlan(
        seed=task.seed,
        resume=task.resume,
        restore_best=False,
        monitor=task.on if is_metric else None,
        devices=task.devices,
    )
    training = Training(
        plan,
        source=Source(source),
        store=Store(task.folder),
        view=reporter,
        checkpoint_seconds=0.0,  # at most one epoch is lost
    )
    training.on_fit_end = lambda: _leave(reporter)
    training.direction = task.direction
    if is_metric and task.checks_metrics:
        reporter.check_metric = lambda: unknown_metric(training.current, task.on)
    return training


def unknown_metric(fit: Any, on: str) -> list[str]:
    """Return the metrics that a ``fit`` will have, if ``on`` is none of them.

    Metrics tell their names once they have seen data: a few rows, of which nothing is learned.
    """
    values, call = fit.call.values, fit.call
    if not call.takes_arrays or values["y"] is None:
        return []
    count = max(2, call.share.replicas)  # each device must get a row
    rows = _first_rows(values["x"], count), _first_rows(values["y"], count)
    found = fit.model.evaluate(*rows, batch_size=count, verbose=0, return_dict=True)
    names = sorted(found, key=lambda name: name != "loss")
    known = names + ([f"val_{n}" for n in names] if call.validates else [])
    return [] if on in known else known


def _first_rows(data: Any, count: int) -> Any:
    if isinstance(data, dict):
        return {k: _first_rows(v, count) for k, v in data.items()}
    if isinstance(data, list | tuple):
        return type(data)(_first_rows(v, count) for v in data)
    return data[:count]


def bind(names: dict[str, Any], task: Task, *, uses_hp: bool) -> Any | None:
    """Give the cell its values: as variables, or through ``hp``; return that, if it is used."""
    if not uses_hp:
        names.update(task.values)
        return None
    from nb_optimizer.core.tuning.hyper import hyperparameters  # noqa: PLC0415 - loads Keras Tuner

    names["hp"] = made = hyperparameters(task.values, task.seed)
    names.update({k: v for k, v in task.values.items() if k in task.line_names})
    return made


def _leave(reporter: Reporter) -> None:
    """Do not run what comes after a ``fit`` that was paused: it belongs to the finished trial."""
    if reporter.paused or reporter.non_finite:
        raise Paused


def told(error: BaseException) -> str:
    """Return an exception as one line."""
    if isinstance(error, UserError):
        return str(error).replace("--monitor", "--on")
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}"[:300].rstrip(": ")


def describe(error: BaseException) -> dict[str, Any]:
    """Return what is needed to show an exception elsewhere: its kind, the cell's line, the rest."""
    frames = traceback.extract_tb(error.__traceback__)
    inside = [f for f in frames if f.filename == CELL]
    line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else None
    first = next((i for i, f in enumerate(frames) if f.filename == CELL), 0)
    error.__traceback__ = _skip(error.__traceback__, first)
    text = "".join(traceback.format_exception(error))
    return {
        "kind": type(error).__name__,
        "text": told(error) if isinstance(error, UserError) else str(error)[:2000],
        "line": inside[0].lineno if inside else line,
        "place": f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "",
        "traceback": text[-8000:],
    }


def _skip(trace: Any, count: int) -> Any:
    for _ in range(count):
        trace = trace.tb_next if trace is not None and trace.tb_next is not None else trace
    return trace


def number(value: Any) -> float | None:
    """Return a finite number, or ``None`` for anything else."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None
