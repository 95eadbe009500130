"""A search as plain text: a line for each trial, the final summary."""

from __future__ import annotations

import time
from collections.abc import Callable

from nb_optimizer.core import events as ev
from nb_optimizer.core.tuning import events as te
from nb_optimizer.core.tuning.record import SearchRecord, Trial
from nb_optimizer.views import search_words as sw
from nb_optimizer.views import text, words

ROWS = 10
LINES = 60  # lines of trials; longer searches print only what is better than all before
PAUSE = 5.0  # seconds between two lines that tell only where the search is


def summary(record: SearchRecord) -> str:
    """Return the final text of a search; short however many trials it had."""
    lines = [f"{sw.title(record)}: {sw.status(record)}"]
    if record.best:
        lines.append(f"best {sw.best(record)}")
    lines.append(f"{sw.about(record)}; {words.duration(record.seconds)} in all")
    lines += [_table(record), _importance(record), _failures(record)]
    lines += [words.note(n) for n in record.notes[-text.SHOWN :]]
    lines.append(f"see it again: {sw.see_again(record)}")
    return "\n".join(line for line in lines if line)


def _table(record: SearchRecord) -> str:
    ranked = record.ranked()
    if not ranked:
        return ""
    head = ["trial", words.one_line(record.on, 24) or "score", "epochs", "status", "values"]
    rows = [_row(t) for t in ranked[:ROWS]]
    more = len(record.trials) - len(rows)
    tail = f"\n({words.many(more, 'more trial')} in search.trials)" if more > 0 else ""
    return text.columns([head, *rows], left=(3, 4)) + tail


def _row(trial: Trial) -> list[str]:
    score = words.number(trial.score)
    return [str(trial.number), score, sw.epochs(trial), sw.trial_word(trial), sw.values(trial)]


def _importance(record: SearchRecord) -> str:
    rows = sw.importance(record)[: text.SHOWN]
    if not rows or record.importance is None:
        return ""
    told = ", ".join(f"{n} {share:.0%} \u00b1 {error:.0%}" for n, share, error in rows)
    return f"importance, from {record.importance.trials} trials: {told}"


def _failures(record: SearchRecord) -> str:
    failed = record.of_status("failed")
    rows = [f"  - trial {t.number}: {words.one_line(t.reason, 200)}" for t in failed[: text.SHOWN]]
    hidden = len(failed) - text.SHOWN
    more = [f"  - and {hidden} more"] if hidden > 0 else []
    return "\n".join(["failed trials:", *rows, *more]) if rows else ""


class SearchLines:
    """Prints a search as it goes; never a carriage return."""

    def __init__(
        self,
        write: Callable[[str], None] = print,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write, self._clock = write, clock
        self._lines = 0
        self._last = -PAUSE
        self._best = 0
        self.width = 0

    def show(self, event: ev.Event, record: SearchRecord) -> None:
        """Print the line of an event, if it is worth one."""
        if isinstance(event, te.SearchBegin):
            self._write(f"{sw.title(record)}: {sw.about(record)}")
        elif isinstance(event, te.SearchResumed):
            self._write(f"{sw.title(record)} goes on: {sw.counts(record)}")
        elif isinstance(event, te.TrialEnd):
            self._trial(record.trial(event.trial), record)
        elif isinstance(event, ev.Note):
            self._write(words.note(event))
        elif isinstance(event, te.TrialEpoch) and self._clock() - self._last >= PAUSE:
            self._where(record)

    def pump(self) -> None:
        """Do nothing: plain text has no front end to listen to."""

    def close(self, record: SearchRecord) -> None:
        """Print the summary."""
        self._write(summary(record))

    def _trial(self, trial: Trial, record: SearchRecord) -> None:
        is_best = trial is record.best and trial.number != self._best
        self._best = trial.number if trial is record.best else self._best
        self._lines += 1
        if self._lines <= LINES or is_best:
            self._last = self._clock()
            self._write(sw.trial_line(record, trial))
        elif self._lines == LINES + 1:
            self._write("further trials: only those that are better than all before")

    def _where(self, record: SearchRecord) -> None:
        self._last = self._clock()
        top = f"; best {sw.best(record)}" if record.best else ""
        self._write(sw.status(record) + top)
