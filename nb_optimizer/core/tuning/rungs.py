"""Successive halving without waiting: at each rung the best third goes on, the others pause.

After Li and others, "A system for massively parallel hyperparameter tuning" (ASHA, MLSys 2020).
A trial that has just reached a rung goes straight on while it is among the best third of those
that have reached it; one that pauses is taken up again when later trials put it there.
"""

from __future__ import annotations

from collections.abc import Sequence

from nb_optimizer.core.record import RUNNING
from nb_optimizer.core.tuning.record import COMPLETED, FAILED, PRUNED, SearchRecord, Trial

ETA = 3


def next_rung(first: int, done: int) -> int:
    """Return the first rung above ``done`` epochs; rungs are ``first`` times a power of three."""
    rung = first
    while rung <= done:
        rung *= ETA
    return rung


def ranked(record: SearchRecord, trials: Sequence[Trial], rung: int) -> list[Trial]:
    """Return the trials that have reached a rung, by their score within it, best first."""
    reached = [t for t in trials if _reached(t, rung) and t.score_at(rung) is not None]
    sign = -1 if record.direction == "max" else 1
    return sorted(reached, key=lambda t: (sign * (t.score_at(rung) or 0.0), t.number))


def top_share(record: SearchRecord, trials: Sequence[Trial], rung: int) -> list[Trial]:
    """Return the best third of the trials that have reached a rung, best first."""
    reached = ranked(record, trials, rung)
    return reached[: len(reached) // ETA]


def goes_on(record: SearchRecord, trials: Sequence[Trial], trial: Trial, first: int) -> bool:
    """Whether a trial that stands at a rung is among its best."""
    rung = trial.epochs
    if next_rung(first, rung - 1) != rung:
        return True
    return trial in top_share(record, trials, rung)


def reason(record: SearchRecord, trial: Trial) -> str:
    """Return why a trial was not let go on."""
    if record.begin.search == "bayesian":
        return "worse than the median of the others"
    done = "1 epoch" if trial.epochs == 1 else f"{trial.epochs} epochs"
    return f"not among the best third after {done}"


def promotable(
    record: SearchRecord, trials: Sequence[Trial], held: set[int], first: int
) -> Trial | None:
    """Return the paused trial of the highest rung that is among that rung's best."""
    paused = [t for t in trials if t.status == PRUNED and t.number in held]
    for rung in sorted({t.epochs for t in paused}, reverse=True):
        top = top_share(record, trials, rung)
        for trial in top:
            if trial in paused and trial.epochs == rung and next_rung(first, rung - 1) == rung:
                return trial
    return None


def finalist(record: SearchRecord, trials: Sequence[Trial], held: set[int]) -> Trial | None:
    """Return the best paused trial, if none was trained to its end and none is running.

    A search of few trials may never fill a rung; its best trial is finished all the same.
    """
    if any(t.status in (COMPLETED, RUNNING) for t in trials):
        return None
    ranked = record.ranked()
    paused = [t for t in ranked if t in trials and t.status == PRUNED and t.number in held]
    return max(paused, key=lambda t: (t.epochs, -ranked.index(t)), default=None)


def _reached(trial: Trial, rung: int) -> bool:
    # One that ended by itself before the rung stands there with what it had reached.
    return trial.status != FAILED and (trial.epochs >= rung or trial.status == COMPLETED)
