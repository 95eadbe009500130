"""Random search: every set of values drawn alike, every trial trained to its end."""

from __future__ import annotations

from nb_optimizer.core.tuning.contract import Suggestion, uniform
from nb_optimizer.core.tuning.record import SearchRecord, Trial


class RandomSearch:
    """Draws values uniformly on the scale of each range, never the same twice."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def suggest(self, record: SearchRecord) -> Suggestion | None:
        """Draw values that were not tried."""
        values = uniform(record, self._seed, len(record.trials) + 1)
        return None if values is None else Suggestion(values, "uniform")

    def ask_at(self, record: SearchRecord, trial: Trial) -> int | None:  # noqa: ARG002
        """Never wait."""
        return None

    def goes_on(self, record: SearchRecord, trial: Trial) -> bool:  # noqa: ARG002
        """Always."""
        return True

    def revive(self, record: SearchRecord, held: set[int]) -> Trial | None:  # noqa: ARG002
        """Nothing pauses."""
        return None
