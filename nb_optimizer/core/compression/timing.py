"""How much faster than the float file a file is, as several fresh processes see it.

The same file is up to 1.35 times as slow in one process as in another, and of many files that were
looked at once the fastest is often the luckiest. So what may be recommended is looked at in
several processes, in each beside the float file by turns, and the median counts.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

SECONDS = 0.6  # of timing in one process
THREADS = 1
LOOKS = 5  # at what may be recommended

Call = Callable[[dict[str, Any]], dict[str, Any]]  # does a task in a fresh process


class Look(NamedTuple):
    """What one process saw, in milliseconds; ``reference_ms`` is the float file."""

    latency_ms: float
    latency_p90_ms: float
    reference_ms: float

    @property
    def speed(self) -> float:
        """How many times as fast as the float file."""
        return self.reference_ms / self.latency_ms


def looks(
    call: Call, path: Path, reference: Path, inputs: dict[str, str], count: int
) -> list[Look]:
    """Time a file beside ``reference`` in so many fresh processes.

    Raises:
        WorkerError: it does not run.
    """
    request = {
        "task": "time", "file": str(path), "reference": str(reference), "inputs": inputs,
        "threads": THREADS, "seconds": SECONDS,
    }  # fmt: skip
    return [Look(**call(request)) for _ in range(count)]


def typical(seen: list[Look]) -> Look:
    """Return the look whose speed is the median, the slower of two."""
    return sorted(seen, key=lambda look: look.speed)[(len(seen) - 1) // 2]
