"""A larger batch with a larger learning rate: scaled linearly, reached step by step.

The rule of Goyal et al., "Accurate, Large Minibatch SGD" (2017): a batch k times as large takes
a learning rate k times as large, approached linearly over the first five epochs.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nb_optimizer.core.training.framework import Framework
    from nb_optimizer.core.training.rate import Rate

EPOCHS, SHARE = 5, 4  # of warm-up; never more than one part in SHARE of a run


def length(epochs: int) -> int:
    """Return how many of ``epochs`` warm up."""
    return max(1, min(EPOCHS, epochs // SHARE))


def warm_up(framework: Framework, rate: Rate, base: float, factor: float, epochs: int) -> Any:
    """Return a callback that raises the rate from ``base`` to ``factor`` times it.

    A fixed rate rises with every batch. A schedule, whose every change compiles the step again,
    rises with every epoch. Once somebody else changes the rate, it is left alone.
    """

    class WarmUp(framework.module.callbacks.Callback):  # type: ignore[misc, name-defined]
        def on_train_begin(self, logs: Any = None) -> None:  # noqa: ARG002
            self.epoch = 0
            self.last = math.nan
            self.is_over = False

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
            self.epoch = epoch
            if rate.is_schedule and not self.is_over:
                rate.scale(self.share(epoch + 1))
                self.is_over = epoch + 1 >= epochs

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
            if self.is_over or rate.is_schedule:
                return
            now = rate.get() or 0.0
            steered = not math.isnan(self.last) and not math.isclose(now, self.last, rel_tol=1e-5)
            done = self.epoch + batch / (self.params.get("steps") or math.inf)
            self.is_over = steered or done >= epochs
            if not steered:
                self.last = base * self.share(min(done, epochs))
                rate.set(self.last)

        def share(self, done: float) -> float:
            return 1 + (factor - 1) * min(1.0, done / epochs)

    return WarmUp()
