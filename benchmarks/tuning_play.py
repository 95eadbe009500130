"""Plays a search against a function instead of trainings: the events are real, the epochs free."""

from __future__ import annotations

import time
from collections.abc import Callable

from nb_optimizer.core.jobs.agenda import Agenda
from nb_optimizer.core.tuning import events as te
from nb_optimizer.core.tuning.record import COMPLETED, PRUNED, SearchRecord, Trial
from nb_optimizer.core.tuning.searches import SEARCHES
from nb_optimizer.core.tuning.space import Space


class AllHeld:
    """A shelf on which every paused trial keeps its state."""

    def held(self, record: SearchRecord) -> set[int]:
        """Return the paused trials."""
        return {t.number for t in record.of_status(PRUNED)}


def play(  # noqa: PLR0913 - what makes up an experiment
    name: str,
    space: Space,
    score: Callable[[dict, int], float],
    *,
    seed: int,
    epochs: int,
    budget: int,
    direction: str = "max",
    trials: int | None = None,
    target: float | None = None,
) -> tuple[SearchRecord, int | None, list[float]]:
    """Return the record, epochs until ``target`` (or ``None``), CPU seconds of each suggestion."""
    record = SearchRecord()
    record.apply(
        te.SearchBegin(
            time=1.0, run="play", on="score", direction=direction, search=name, trials=trials,
            seed=seed, space=space.to_json(),
        )
    )  # fmt: skip
    agenda = Agenda(record, SEARCHES[name](seed), {"given": [], "sets": []}, AllHeld())
    spent, reached, seconds = 0, None, []
    while spent < budget:
        began = time.process_time()
        work = agenda.next(others_run=False)
        seconds.append(time.process_time() - began)
        if work is None:
            break
        number = work.trial.number if work.trial else len(record.trials) + 1
        record.apply(te.TrialBegin(2.0, number, work.values, work.origin, 0))
        trial = record.trial(number)
        record.apply(te.TrialFit(2.0, number, 1, epochs))
        status = COMPLETED
        for epoch in range(trial.epochs + 1, epochs + 1):
            value = score(trial.values, epoch)
            record.apply(te.TrialEpoch(3.0, number, epoch, {"score": value}))
            spent += 1
            if target is not None and reached is None and _hits(value, target, direction):
                reached = spent
            if epoch < epochs and not goes_on(agenda, record, trial):
                status = PRUNED
                break
            if spent >= budget or reached is not None:
                break
        record.apply(te.TrialEnd(4.0, number, status))
        if reached is not None:
            break
    return record, reached, seconds


def _hits(value: float, target: float, direction: str) -> bool:
    return value >= target if direction == "max" else value <= target


def goes_on(agenda: Agenda, record: SearchRecord, trial: Trial) -> bool:
    """Ask for a verdict where the supervisor would."""
    search = agenda._search  # noqa: SLF001 - a benchmark looks inside
    until = search.ask_at(record, trial)
    waits = until is None or agenda.until(trial) is not None
    return not waits or search.goes_on(record, trial)
