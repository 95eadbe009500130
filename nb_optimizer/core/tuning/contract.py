"""What every search must offer, and what they share.

A search keeps no state: each answer is computed from the record and the seed. So a search that
was killed goes on as if nothing had happened, and the same seed gives the same values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from nb_optimizer.core.tuning.record import SearchRecord, Trial
from nb_optimizer.core.tuning.space import Values, key_of, rng_of

_DRAWS = 200  # tries to find a point that was not tried, before a space counts as exhausted


@dataclass(frozen=True)
class Suggestion:
    """Values for the next trial, and how they were found."""

    values: Values
    origin: str


class Search(Protocol):
    """Decides what to try, what to pause, what to take up again."""

    def suggest(self, record: SearchRecord) -> Suggestion | None:
        """Return values for the next trial, or ``None`` when there is nothing left to try."""

    def ask_at(self, record: SearchRecord, trial: Trial) -> int | None:
        """Return the epoch after which the trial must wait for a verdict, if any."""

    def goes_on(self, record: SearchRecord, trial: Trial) -> bool:
        """Whether a running trial shall go on; called after each of its epochs."""

    def revive(self, record: SearchRecord, held: set[int]) -> Trial | None:
        """Return a paused trial that has earned more epochs; ``held`` have their state kept."""


def uniform(record: SearchRecord, seed: int, number: int) -> Values | None:
    """Draw values that no trial has had; ``None`` when the space seems exhausted.

    Each trial has a stream of its own, so that no trial's values depend on how many came before
    from elsewhere.
    """
    tried = {key_of(t.values) for t in record.trials}
    rng = rng_of(seed, number, "values")
    if len(tried) >= record.space.size():
        return None
    for _ in range(_DRAWS):
        values = record.space.sample(rng)
        if key_of(values) not in tried:
            return values
    if record.space.size() > _DRAWS * max(1, len(tried)):
        return record.space.sample(rng)
    return next((v for v in record.space.grid() if key_of(v) not in tried), None)
