"""What to do next in a search: a trial that was lost, given values, a revival, a suggestion."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nb_optimizer.core.jobs.disk import Shelf
from nb_optimizer.core.tuning import rungs
from nb_optimizer.core.tuning.contract import Search
from nb_optimizer.core.tuning.record import WAITING, SearchRecord, Trial
from nb_optimizer.core.tuning.space import Values, rng_of


@dataclass(frozen=True)
class Work:
    """A trial to begin (``trial`` is ``None``) or to take up again."""

    values: Values
    origin: str
    trial: Trial | None = None


class Agenda:
    """Decides what an idle worker gets; ``tries`` are values given meanwhile, in the panel."""

    def __init__(
        self,
        record: SearchRecord,
        search: Search,
        job: dict[str, Any],
        shelf: Shelf,
        tries: Sequence[Values] = (),
    ) -> None:
        self._record, self._search, self._shelf = record, search, shelf
        self._sets = frozenset(job["sets"])
        self.given = _due(record, [*job["given"], *tries])
        self.slowest = 0.0  # seconds that a suggestion took at most
        self._finalist = 0

    def next(self, *, others_run: bool) -> Work | None:
        """Return what to do, or ``None`` if there is nothing at the moment."""
        record = self._record
        for trial in record.of_status(WAITING):
            return Work(trial.values, trial.origin, trial)
        if self.given:
            return self._given(self.given.pop(0))
        held = self._shelf.held(record)
        if (revived := self._search.revive(record, held)) is not None:
            return Work(revived.values, revived.origin, revived)
        if (fresh := self._suggest()) is not None:
            return fresh
        final = None if others_run else rungs.finalist(record, record.trials, held)
        if final is None:
            return None
        self._finalist = final.number
        return Work(final.values, final.origin, final)

    def until(self, trial: Trial) -> int | None:
        """Return the epoch after which a trial waits for a verdict; the finalist never waits."""
        if trial.number == self._finalist or self._scores_come_late():
            return None
        return self._search.ask_at(self._record, trial)

    def _scores_come_late(self) -> bool:
        """Whether the cell leaves the score in a variable at its end, so that no rung knows it."""
        on = self._record.on
        is_metric = any(on in log for t in self._record.trials for log in t.logs[:1])
        return on in self._sets and not is_metric

    def _suggest(self) -> Work | None:
        if len(self._record.trials) >= (self._record.planned_trials or math.inf):
            return None
        began = time.perf_counter()
        found = self._search.suggest(self._record)
        self.slowest = max(self.slowest, time.perf_counter() - began)
        return None if found is None else Work(found.values, found.origin)

    def _given(self, values: dict[str, Any]) -> Work:
        """Fill up values that somebody gave for some of the ranges."""
        number = len(self._record.trials) + 1
        rng = rng_of(self._record.begin.seed, number, "values")
        fitting = _fitting(self._record, values)
        filled = self._record.space.sample(rng, fitting)
        return Work({**filled, **fitting}, "given")


def _fitting(record: SearchRecord, values: Values) -> Values:
    """Return the values that lie in their ranges; for some, no range is known yet."""
    known = {r.name: r for r in record.space.ranges}
    return {k: v for k, v in values.items() if k not in known or known[k].contains(v)}


def _due(record: SearchRecord, given: Sequence[Values]) -> list[Values]:
    """Return the given sets of values that no trial has had yet; each trial counts for one."""
    done = [t.values for t in record.trials if t.origin == "given"]
    due = []
    for values in given:
        wanted = _fitting(record, values).items()
        had = next((d for d in done if wanted <= d.items()), None)
        if had is None:
            due.append(values)
        else:
            done.remove(had)
    return due
