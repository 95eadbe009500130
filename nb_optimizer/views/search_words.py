"""A search in sentences; every view of searches speaks through this file."""

from __future__ import annotations

from typing import Any

from nb_optimizer.core.record import RUNNING
from nb_optimizer.core.tuning.record import (
    COMPLETED,
    FAILED,
    PRUNED,
    WAITING,
    SearchRecord,
    Trial,
)
from nb_optimizer.views import words

_STATUS = {
    RUNNING: "running",
    COMPLETED: "completed",
    PRUNED: "pruned",
    FAILED: "failed",
    WAITING: "waiting",
}


def value(one: Any) -> str:
    """Return one value: ``0.003162``, ``64``, ``relu``."""
    if isinstance(one, bool) or one is None:
        return str(one).lower()
    if isinstance(one, int):
        return str(one)
    return words.number(one) if isinstance(one, float) else words.one_line(one, 40)


def values(trial: Trial, limit: int = 200) -> str:
    """Return the values of a trial: ``lr=0.003162 units=64``."""
    pairs = (f"{words.one_line(k, 30)}={value(v)}" for k, v in trial.values.items())
    return words.one_line(" ".join(pairs), limit)


def trial_word(trial: Trial) -> str:
    """Return a trial's status in a word."""
    return _STATUS.get(trial.status, words.one_line(trial.status, 30))


def epochs(trial: Trial) -> str:
    """Return how far a trial came: ``9/27``."""
    return f"{trial.epochs}/{trial.planned}" if trial.planned else str(trial.epochs)


def title(record: SearchRecord) -> str:
    """Return the search's id and, where it has one, its name."""
    begin = record.begin
    return begin.run + (f' "{words.one_line(begin.name, 60)}"' if begin.name else "")


def about(record: SearchRecord) -> str:
    """Return what is searched: ``asha over lr, units; seed 7``."""
    names = list(dict.fromkeys(r.name for r in record.space.ranges))
    over = words.one_line(", ".join(names), 120) or "what the cell's hp asks for"
    return f"{record.begin.search} over {over}; seed {record.begin.seed}"


def counts(record: SearchRecord) -> str:
    """Return how many trials are in which state: ``12 of 40 trials: 3 completed, 9 pruned``."""
    total = record.planned_trials
    begun = len(record.trials)
    head = f"{begun} of {total} trials" if total and total != begun else words.many(begun, "trial")
    kinds = [(s, len(record.of_status(s))) for s in _STATUS]
    told = ", ".join(f"{n} {_STATUS[s]}" for s, n in kinds if n)
    return f"{head}: {told}" if told else head


def status(record: SearchRecord) -> str:
    """Return the sentence that says how the search stands or how it ended."""
    word = words.status_word(record.as_run())
    if record.status == RUNNING and record.paused:
        word = "paused"
    reason = f"; {words.one_line(record.reason)}" if record.reason else ""
    again = "; go on with --resume" if record.status in ("interrupted", "stopped") else ""
    return f"{word}, {counts(record)}, {words.many(record.epochs_done, 'epoch')}{reason}{again}"


def best(record: SearchRecord) -> str:
    """Return the best trial: ``val_accuracy 0.9612 in trial 7 (lr=0.003 units=64)``."""
    top = record.best
    if top is None:
        return ""
    epoch = f", epoch {top.best_epoch}" if top.best_epoch else ""
    metric = words.one_line(record.on, 40)
    return f"{metric} {words.number(top.score)} in trial {top.number}{epoch} ({values(top)})"


def trial_line(record: SearchRecord, trial: Trial) -> str:
    """Return one trial as a line."""
    count = record.planned_trials or "?"
    parts = [f"trial {trial.number}/{count}", trial_word(trial)]
    if trial.score is not None:
        parts.append(f"{words.one_line(record.on, 40)} {words.number(trial.score)}")
    parts += [f"epochs {epochs(trial)}", values(trial)]
    if trial.reason:
        parts.append(f"[{words.one_line(trial.reason, 160)}]")
    if trial is record.best:
        parts.append("best")
    return "  ".join(parts)


def importance(record: SearchRecord) -> list[tuple[str, float, float]]:
    """Return name, share and error of each range, the most important first."""
    found = record.importance
    if found is None:
        return []
    rows = [(n, s, found.errors.get(n, 0.0)) for n, s in found.shares.items()]
    return sorted(rows, key=lambda r: -r[1])


def see_again(record: SearchRecord) -> str:
    """Return how to see this search again."""
    do = "attach" if record.status == RUNNING else "show"
    return f"%runs {do} {words.one_line(record.begin.run, 60)}"
