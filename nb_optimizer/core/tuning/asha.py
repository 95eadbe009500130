"""ASHA, the default: many short trials, the best third of each rung trained three times longer.

Values are drawn at random at first, then by a model of what the rungs have told: most
trials go where the model expects the most, every eighth stays random, so that a model which was
misled by short trainings cannot keep the search in the wrong place.
"""

from __future__ import annotations

from nb_optimizer.core.record import RUNNING
from nb_optimizer.core.tuning import rungs
from nb_optimizer.core.tuning.contract import Suggestion, uniform
from nb_optimizer.core.tuning.gaussian import Effort, Noise
from nb_optimizer.core.tuning.model import Known, suggested
from nb_optimizer.core.tuning.record import FAILED, WAITING, SearchRecord, Trial
from nb_optimizer.core.tuning.space import Values, rng_of

_RANDOM_SHARE = 8  # one of so many trials is drawn at random
_EFFORT = Effort(noise=Noise(usual=1.0, spread=2.0, most=4.0))  # places of few epochs tell little
_PASSED = 0.5  # what a rung that was passed makes of a place


class AshaSearch:
    """Rungs at 1, 3, 9, 27, ... epochs; see :mod:`.rungs`."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def suggest(self, record: SearchRecord) -> Suggestion | None:
        """Return values where the model expects the most, or random ones."""
        number = len(record.trials) + 1
        known = standing(record)
        if len(known) >= _first_random(record) and number % _RANDOM_SHARE:
            running = [t.values for t in record.of_status(RUNNING, WAITING) if not t.epochs]
            rng = rng_of(self._seed, number, "model")
            values = suggested(record, known, running, rng, _EFFORT)
            if values is not None:
                return Suggestion(values, "model")
        drawn = uniform(record, self._seed, number)
        return None if drawn is None else Suggestion(drawn, "uniform")

    def ask_at(self, record: SearchRecord, trial: Trial) -> int | None:  # noqa: ARG002
        """Wait at the next rung."""
        return rungs.next_rung(1, trial.epochs)

    def goes_on(self, record: SearchRecord, trial: Trial) -> bool:
        """Whether the trial is among the best third of the rung it stands at."""
        return rungs.goes_on(record, record.trials, trial, 1)

    def revive(self, record: SearchRecord, held: set[int]) -> Trial | None:
        """Return a paused trial that later ones have put among the best third."""
        return rungs.promotable(record, record.trials, held, 1)


def _first_random(record: SearchRecord) -> int:
    """Return how many random trials come before the model: enough to see each range vary."""
    return max(4, min(10, len(record.space.ranges)))


def standing(record: SearchRecord) -> list[Known]:
    """Return values and standing of each trial as a normal score: the smaller, the better.

    Scores after one epoch and after nine do not compare, so a trial's place is that among the
    trials that have come to its last rung: 0 for the best, 1 for the last, and half as much for
    each rung that it has passed. No less, because who is last after nine epochs promises no more
    than many that were paused after the first. Failed trials come last of all.
    """
    from scipy.special import ndtri  # noqa: PLC0415 - a moment, only where a model is fitted

    failed = record.of_status(FAILED)
    longest = max((t.epochs for t in record.trials), default=0)
    places: dict[int, tuple[Values, float]] = {}
    rung, worth = 1, 1.0
    while rung <= max(longest, 1):
        there = rungs.ranked(record, record.trials, rung) + (failed if rung == 1 else [])
        for i, trial in enumerate(there):
            places[trial.number] = (trial.values, worth * (i + 0.5) / len(there))
        rung, worth = rung * rungs.ETA, worth * _PASSED
    return [(values, float(ndtri(place))) for values, place in places.values()]
