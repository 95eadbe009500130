"""Hyperband: several successive halvings, from many short trials to few long ones.

After Li and others, "Hyperband: a novel bandit-based approach to hyperparameter optimization"
(JMLR 2018); within a bracket trials go on without waiting for the others, as in ASHA.
"""

from __future__ import annotations

import math

from nb_optimizer.core.tuning import rungs
from nb_optimizer.core.tuning.contract import Suggestion, uniform
from nb_optimizer.core.tuning.record import SearchRecord, Trial

_EPOCHS = 27  # until the first fit tells how long a whole training is


class HyperbandSearch:
    """Trials belong to brackets by their number; each bracket has rungs of its own."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def suggest(self, record: SearchRecord) -> Suggestion | None:
        """Draw values that were not tried."""
        values = uniform(record, self._seed, len(record.trials) + 1)
        return None if values is None else Suggestion(values, "uniform")

    def ask_at(self, record: SearchRecord, trial: Trial) -> int | None:
        """Wait at the next rung of the trial's bracket."""
        return rungs.next_rung(self._first(record, trial), trial.epochs)

    def goes_on(self, record: SearchRecord, trial: Trial) -> bool:
        """Whether the trial is among the best third of its rung in its bracket."""
        mates = self._mates(record, self._bracket(record, trial.number))
        return rungs.goes_on(record, mates, trial, self._first(record, trial))

    def revive(self, record: SearchRecord, held: set[int]) -> Trial | None:
        """Return a paused trial that is now among the best third of its rung."""
        for bracket in range(_brackets(record), -1, -1):
            mates = self._mates(record, bracket)
            if not mates:
                continue
            first = self._first(record, mates[0])
            if (found := rungs.promotable(record, mates, held, first)) is not None:
                return found
        return None

    def _mates(self, record: SearchRecord, bracket: int) -> list[Trial]:
        return [t for t in record.trials if self._bracket(record, t.number) == bracket]

    def _first(self, record: SearchRecord, trial: Trial) -> int:
        bracket = self._bracket(record, trial.number)
        return max(1, int(_longest(record) / rungs.ETA**bracket))

    def _bracket(self, record: SearchRecord, number: int) -> int:
        """Return the bracket of a trial: the highest, with the shortest trials, comes first."""
        highest = _brackets(record)
        sizes = [math.ceil((highest + 1) / (b + 1) * rungs.ETA**b) for b in range(highest, -1, -1)]
        place = (number - 1) % sum(sizes)
        for bracket, size in zip(range(highest, -1, -1), sizes, strict=True):
            if place < size:
                return bracket
            place -= size
        return 0


def _longest(record: SearchRecord) -> int:
    return max((t.planned for t in record.trials if t.planned), default=_EPOCHS)


def _brackets(record: SearchRecord) -> int:
    return int(math.log(_longest(record)) / math.log(rungs.ETA) + 1e-9)
