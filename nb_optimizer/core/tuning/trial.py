"""One trial as the events of its search tell it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from nb_optimizer.core.tuning.space import Values

WAITING, PRUNED, COMPLETED, FAILED = "waiting", "pruned", "completed", "failed"


@dataclass
class Trial:
    """One set of values and what came of it; ``number`` counts from 1.

    ``status`` is waiting, running, pruned (paused early; it may be taken up again), completed or
    failed. ``score`` is the best value of the objective in any epoch.
    """

    number: int
    values: Values
    origin: str = "uniform"
    status: str = WAITING
    reason: str = ""
    score: float | None = None
    best_epoch: int = 0
    logs: list[dict[str, float]] = field(default_factory=list)  # one for each epoch
    scores: list[float | None] = field(default_factory=list)  # best up to each epoch
    longest: float = 0.0  # seconds of its longest epoch
    planned: int | None = None  # epochs of all fits met so far
    parameters: int = 0
    crashes: int = 0  # workers that died with it
    worker: int | None = None
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    memory_mb: float = 0.0
    began: float = 0.0
    fault: dict[str, Any] | None = None

    @property
    def epochs(self) -> int:
        """How many epochs were finished."""
        return len(self.logs)

    @property
    def history(self) -> dict[str, list[float]]:
        """Metric name to its value by finished epoch."""
        names = dict.fromkeys(name for log in self.logs for name in log)
        return {n: [log[n] for log in self.logs if n in log] for n in names}

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come of it, unless a pruned trial is revived."""
        return self.status in (PRUNED, COMPLETED, FAILED)

    def score_at(self, epoch: int) -> float | None:
        """Return the best score within the first ``epoch`` epochs."""
        return self.scores[min(epoch, len(self.scores)) - 1] if self.scores and epoch else None
