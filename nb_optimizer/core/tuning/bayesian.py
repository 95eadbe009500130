"""Bayesian search: a Gaussian process of the scores chooses where to look next.

Trials that are worse than the median of the others at the same epoch are ended early.
"""

from __future__ import annotations

from nb_optimizer.core.record import RUNNING
from nb_optimizer.core.tuning import median
from nb_optimizer.core.tuning.contract import Suggestion, uniform
from nb_optimizer.core.tuning.gaussian import Effort
from nb_optimizer.core.tuning.model import suggested
from nb_optimizer.core.tuning.record import FAILED, WAITING, SearchRecord, Trial
from nb_optimizer.core.tuning.space import rng_of

# Chosen on Hartmann's, Ackley's, Levy's, Branin's and Rosenbrock's functions, seeds 1000 to 2011.
_EFFORT = Effort(drawn=512, neighbours=8, distances=(0.2, 0.1, 0.04, 0.015, 0.005), tops=4)
_MOST_RANDOM = 12  # trials before the model, or twice as many as there are ranges


class BayesianSearch:
    """Random at first, then where the expected improvement is largest."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def suggest(self, record: SearchRecord) -> Suggestion | None:
        """Return values where the model expects the most."""
        number = len(record.trials) + 1
        sign = -1.0 if record.direction == "max" else 1.0
        done = [t for t in record.trials if t.score is not None and t.status != FAILED]
        known = [(t.values, sign * (t.score or 0.0)) for t in done if t.is_over]
        known += [(t.values, max(s for _, s in known)) for t in record.of_status(FAILED) if known]
        if len(known) >= max(4, min(_MOST_RANDOM, 2 * len(record.space.ranges))):
            running = [t.values for t in record.of_status(RUNNING, WAITING)]
            rng = rng_of(self._seed, number, "model")
            values = suggested(record, known, running, rng, _EFFORT)
            if values is not None:
                return Suggestion(values, "model")
        drawn = uniform(record, self._seed, number)
        return None if drawn is None else Suggestion(drawn, "uniform")

    def ask_at(self, record: SearchRecord, trial: Trial) -> int | None:  # noqa: ARG002
        """Ask after every epoch, so that where a trial ends does not depend on timing."""
        return trial.epochs + 1

    def goes_on(self, record: SearchRecord, trial: Trial) -> bool:
        """Whether the trial is no worse than the median."""
        return median.goes_on(record, trial)

    def revive(self, record: SearchRecord, held: set[int]) -> Trial | None:  # noqa: ARG002
        """What the median rule has ended stays so."""
        return None
