"""Four bits where it costs little, eight elsewhere: mixed precision by measured sensitivity.

Each operation alone is given 4 bits and the change of the outputs is measured; then operations
move to 4 bits for good, those with the most bytes saved for the least change first, as long as
the whole file stays within the allowed loss. A move that breaks it is taken back; after three of
those the search ends.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from nb_optimizer.core.compression.bench import Bench, Probe
from nb_optimizer.core.compression.recipe import Recipe
from nb_optimizer.core.compression.workers import WorkerError

_REVERTS = 3
_MOST = 16  # operations that are tried one by one, the largest
_KINDS = ("CONV_2D", "FULLY_CONNECTED")  # that have 4-bit kernels


class Sensitivity:
    """Looks for the operations of one float file that 4 bits serve."""

    def __init__(self, bench: Bench, source: Path, base: Recipe, allowed: float) -> None:
        self._bench, self._source, self._base, self._allowed = bench, source, base, allowed
        every = [o for o in bench.operations(source) if o["kind"] in _KINDS]
        self.operations = sorted(every, key=lambda o: -o["weights"])[:_MOST]

    def table(self) -> list[dict[str, Any]]:
        """Return the operations with the change of the outputs that 4 bits alone cause."""
        rows = []
        for operation in self.operations:
            change = self._try({str(operation["index"]): "int4"})
            if change is not None:
                rows.append({**operation, "change": change.change})
        return sorted(rows, key=lambda r: r["change"] / r["weights"])

    def best(self, time_left: Any) -> dict[str, str]:
        """Return the formats of the operations that moved to 4 bits."""
        formats: dict[str, str] = {}
        reverts = 0
        for row in self.table():
            if time_left() <= 0 or reverts >= _REVERTS:
                break
            trial = {**formats, str(row["index"]): "int4"}
            tried = self._try(trial)
            if tried is not None and tried.drop <= self._allowed:
                formats = trial
            else:
                reverts += 1
        return formats

    def _try(self, formats: dict[str, str]) -> Probe | None:
        """Return loss and mean squared change of the outputs, or ``None`` where it fails."""
        try:
            return self._bench.probe(self._source, replace(self._base, formats=formats))
        except WorkerError:
            return None
