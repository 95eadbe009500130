"""A run as plain text: the line for each event, the final summary, the list of runs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from nb_optimizer.core import events as ev
from nb_optimizer.core.record import RUNNING, RunRecord
from nb_optimizer.core.training.control import Control
from nb_optimizer.views import words

TABLE_ROWS = 12
SHOWN = 8  # notes, causes and interventions that are told one by one
EVERY_EPOCH = 30  # longer runs print about this many epochs
MESSAGES = 20
PAUSE = 0.2  # seconds between two epoch lines
_COLUMNS = 6
_GROWTH = 1.5


def line(event: ev.Event, record: RunRecord) -> str | None:
    """Return what to print when ``event`` has just been folded into ``record``, if anything."""
    tell = _LINES.get(type(event))
    return tell(event, record) if tell else None


def _begin(begin: ev.RunBegin, record: RunRecord) -> str:
    batches = f" of {words.many(begin.steps, 'batch')}" if begin.steps else ""
    parts = [words.model(record), words.many(begin.epochs, "epoch") + batches]
    return f"{words.title(record)}: " + ", ".join(p for p in parts if p)


def _epoch(event: ev.EpochEnd, record: RunRecord) -> str:
    planned = str(record.planned_epochs)
    parts = [f"epoch {event.epoch:>{len(planned)}}/{planned}"]
    parts += ["cut short"] if event.partial else []
    shown = list(event.values.items())[:SHOWN]
    parts += [f"{words.one_line(name, 30)} {words.number(value)}" for name, value in shown]
    parts += [f"and {len(event.values) - SHOWN} more"] if len(event.values) > SHOWN else []
    if event.learning_rate is not None:
        parts.append(f"lr {words.number(event.learning_rate)}")
    parts.append(words.duration(event.seconds))
    if record.best and record.best.epoch == event.epoch:
        parts.append("best")
    if record.eta_seconds is not None and event.epoch < record.planned_epochs:
        parts.append(f"ETA {words.duration(record.eta_seconds)}")
    return "  ".join(parts)


def _non_finite(event: ev.NonFinite) -> str:
    causes = "; ".join(words.one_line(c, 120) for c in event.causes[:SHOWN])
    return words.non_finite(event) + (f"; likely causes: {causes}" if causes else "")


_LINES: dict[type[ev.Event], Callable[[Any, RunRecord], str]] = {
    ev.RunBegin: _begin,
    ev.Resumed: lambda event, _: f"{words.resumed(event.epoch)}, up to epoch {event.epochs}",
    ev.EpochEnd: _epoch,
    ev.Intervention: lambda event, _: words.intervention(event),
    ev.Note: lambda event, _: words.note(event),
    ev.Accelerated: lambda event, _: words.one_line(event.text),
    ev.Distributed: lambda event, _: words.one_line(event.text),
    ev.Scaling: lambda event, _: words.one_line(event.text),
    ev.NonFinite: lambda event, _: _non_finite(event),
    ev.RunEnd: lambda _, record: words.status(record),
}


# ---- the final text


def summary(record: RunRecord) -> str:
    """Return the final text of a run; short for a run of any length."""
    blocks = [
        _heading(record),
        _epochs_table(record),
        _trouble(record),
        _listed("notes", [words.note(n) for n in record.notes]),
        _listed("steered", [words.intervention(i) for i in record.interventions]),
        f"see it again: {words.see_again(record)}",
    ]
    return "\n".join(b for b in blocks if b)


def _heading(record: RunRecord) -> str:
    lines = [f"{words.title(record)}: {words.status(record)}"]
    facts = [f"best {words.best(record)}" if record.best else "", words.model(record)]
    facts += [f"{words.duration(record.seconds)} in all"]
    lines.append(", ".join(f for f in facts if f))
    if record.stopping:
        lines.append(f"early stopping: {words.meter(record)}")
    lines += [words.resumed(epoch) for epoch in record.resumed_after[-3:]]
    return "\n".join(lines)


def _trouble(record: RunRecord) -> str:
    return _non_finite(record.non_finite) if record.non_finite else ""


def _listed(name: str, sentences: list[str]) -> str:
    hidden = len(sentences) - SHOWN
    more = [f"  - and {hidden} earlier ones"] if hidden > 0 else []
    body = [*more, *(f"  - {s}" for s in sentences[-SHOWN:])]
    return "\n".join([f"{name}:", *body]) if sentences else ""


def chosen(record: RunRecord, rows: int = TABLE_ROWS) -> list[ev.EpochEnd]:
    """Return at most ``rows`` epochs: first, last, best and others at even distances."""
    epochs = record.epochs
    if len(epochs) <= rows:
        return list(epochs)
    best = {i for i, e in enumerate(epochs) if record.best and e.epoch == record.best.epoch}
    even = rows - 1
    spread = {round(i * (len(epochs) - 1) / (even - 1)) for i in range(even)}
    return [epochs[i] for i in sorted(spread | best)]


def _epochs_table(record: RunRecord) -> str:
    if not record.epochs:
        return ""
    names = [n for m in record.metrics() for n in (m, f"val_{m}") if n in record.history]
    shown = names[:_COLUMNS]
    head = ["epoch", *(words.one_line(n, 24) for n in shown), "lr", "time", ""]
    rows = [_epoch_row(e, shown, record) for e in chosen(record)]
    more = f"\n({len(names) - _COLUMNS} more metrics in run.history)"
    return columns([head, *rows]) + (more if len(names) > _COLUMNS else "")


def _epoch_row(epoch: ev.EpochEnd, names: list[str], record: RunRecord) -> list[str]:
    values = [words.number(epoch.values.get(n)) for n in names]
    best = "best" if record.best and record.best.epoch == epoch.epoch else ""
    rate = words.number(epoch.learning_rate)
    return [str(epoch.epoch), *values, rate, words.duration(epoch.seconds), best]


def columns(rows: list[list[str]], left: Sequence[int] = ()) -> str:
    """Return rows of cells as aligned lines; the columns in ``left`` start at the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]

    def cell(i: int, text: str) -> str:
        return text.ljust(widths[i]) if i in left else text.rjust(widths[i])

    return "\n".join("  ".join(cell(i, t) for i, t in enumerate(r)).rstrip() for r in rows)


# ---- the list of runs

RUN_COLUMNS = ("id", "name", "status", "epochs", "best", "started", "duration")


def run_row(run: str, record: RunRecord) -> list[str]:
    """Return the cells of one run under ``RUN_COLUMNS``."""
    begun = record.begin.time
    started = datetime.fromtimestamp(begun).astimezone() if begun else None
    return [
        words.one_line(run, 40),
        words.one_line(record.begin.name, 30),
        words.status_word(record),
        "-" if record.measured else f"{len(record.epochs)}/{record.planned_epochs}",
        words.best(record) or _recommended(record) or "-",
        f"{started:%Y-%m-%d %H:%M}" if started else "-",
        words.duration(record.seconds),
    ]


def _recommended(record: RunRecord) -> str:
    """Return the name of the model that a compression recommends, or nothing."""
    best = record.picks.get("best")
    rows = [e.row for e in record.measured if e.row.get("number") == best]
    return words.one_line(rows[-1].get("name", ""), 40) if rows else ""


def table(rows: Iterable[tuple[str, RunRecord]]) -> str:
    """Return the list of runs, one per line."""
    body = [run_row(run, record) for run, record in rows]
    if not body:
        return "no runs yet"
    return columns([list(RUN_COLUMNS), *body], left=(0, 1, 2, 4, 5))


# ---- live


class TextView:
    """Prints a run as it goes: few lines however long it is, and never a carriage return."""

    def __init__(
        self,
        record: RunRecord,  # noqa: ARG002 - every view is made from these two
        control: Control,  # noqa: ARG002
        write: Callable[[str], None] = print,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write = write
        self._clock = clock
        self._held: str | None = None
        self._epoch_lines = self._last_epoch = self._messages = 0
        self._last_print = -math.inf

    def show(self, event: ev.Event, record: RunRecord) -> None:
        """Print the line of an event, if it is worth one."""
        if isinstance(event, ev.EpochEnd):
            self._show_epoch(event, record)
        elif isinstance(event, ev.RunEnd):
            self._flush()  # close() tells the status
        elif text := line(event, record):
            self._message(text)

    def pump(self) -> None:
        """Do nothing: plain text has no front end to listen to."""

    def close(self, record: RunRecord) -> None:
        """Print the summary."""
        self._flush()
        self._write(summary(record))

    def _show_epoch(self, event: ev.EpochEnd, record: RunRecord) -> None:
        text = _epoch(event, record)
        last = event.epoch == record.planned_epochs and record.status == RUNNING
        if last or event.partial or self._due(event.epoch, record.planned_epochs):
            self._print_epoch(text, event.epoch)
        else:
            self._held = text

    def _due(self, epoch: int, planned: int) -> bool:
        if self._clock() - self._last_print < PAUSE:
            return False
        if self._epoch_lines > EVERY_EPOCH:
            # The plan grew again and again: only ever rarer lines keep the total bounded.
            return epoch >= self._last_epoch * _GROWTH
        return epoch == 1 or epoch % max(1, math.ceil(planned / EVERY_EPOCH)) == 0

    def _print_epoch(self, text: str, epoch: int) -> None:
        self._held = None
        self._epoch_lines += 1
        self._last_epoch = epoch
        self._last_print = self._clock()
        self._write(text)

    def _flush(self) -> None:
        if self._held is not None:
            self._print_epoch(self._held, self._last_epoch)

    def _message(self, text: str) -> None:
        self._messages += 1
        if self._messages <= MESSAGES:
            self._write(text)
        elif self._messages == MESSAGES + 1:
            self._write("further messages: see the summary")
