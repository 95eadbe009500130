"""Grid search: every point once, in order."""

from __future__ import annotations

from nb_optimizer.core.errors import UserError
from nb_optimizer.core.tuning.contract import Suggestion
from nb_optimizer.core.tuning.record import SearchRecord, Trial
from nb_optimizer.core.tuning.space import key_of


class GridSearch:
    """Walks through the product of all ranges, the last one varying fastest."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def suggest(self, record: SearchRecord) -> Suggestion | None:
        """Return the first point that no trial has had.

        The points are found from what was tried, not counted: a search that goes on after a
        crash, or meets new hyperparameters on its way, leaves none out and repeats none.
        """
        for one in record.space.ranges:
            if one.points() is None:
                message = f"--search grid needs a step in continuous ranges: {one.name}={one}."
                raise UserError(message)
        tried = {key_of(t.values) for t in record.trials}
        point = next((p for p in record.space.grid() if key_of(p) not in tried), None)
        return None if point is None else Suggestion(point, "grid")

    def ask_at(self, record: SearchRecord, trial: Trial) -> int | None:  # noqa: ARG002
        """Never wait."""
        return None

    def goes_on(self, record: SearchRecord, trial: Trial) -> bool:  # noqa: ARG002
        """Always."""
        return True

    def revive(self, record: SearchRecord, held: set[int]) -> Trial | None:  # noqa: ARG002
        """Nothing pauses."""
        return None
