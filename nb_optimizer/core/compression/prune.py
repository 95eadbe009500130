"""Magnitude pruning of a Keras 3 model while it trains, with the schedules of TF-MOT.

The masks are those of TF-MOT's ``PruneLowMagnitude``, step by step: they are set before a batch
whenever the schedule says so, weights are masked before each batch and after the last of an
epoch, and in between a pruned weight may grow back. ``tests/core/compression`` compares both.
Zhu and Gupta 2017, "To prune, or not to prune" (polynomial schedule); Mishra et al. 2021,
"Accelerating Sparse Deep Neural Networks" (2:4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
_BLOCK, _KEPT = 4, 2  # of 2:4


@dataclass(frozen=True)
class Polynomial:
    """Sparsity grows from ``initial`` to ``final`` between two steps (from 1), fast at first."""

    final: float
    end: int
    initial: float = 0.0
    begin: int = 0
    power: float = 3.0
    every: int = 100

    def updates(self, step: int) -> bool:
        """Whether masks are set anew before this step."""
        return self.begin <= step <= self.end and (step - self.begin) % self.every == 0

    def sparsity(self, step: int) -> float:
        """Return the share of zeros from this step on."""
        done = np.float32(min(1.0, max(0.0, (step - self.begin) / (self.end - self.begin))))
        gap = np.float32(self.initial) - np.float32(self.final)
        return float(gap * (1 - done) ** np.float32(self.power) + np.float32(self.final))


@dataclass(frozen=True)
class Constant:
    """The same sparsity from ``begin`` on."""

    final: float
    begin: int = 0
    every: int = 100

    def updates(self, step: int) -> bool:
        """Whether masks are set anew before this step."""
        return step >= self.begin and (step - self.begin) % self.every == 0

    def sparsity(self, step: int) -> float:  # noqa: ARG002 - every schedule takes the step
        """Return the share of zeros."""
        return self.final


@dataclass(frozen=True)
class TwoOfFour:
    """Two zeros in any four weights that are neighbours in the file, chosen at the first step."""

    def updates(self, step: int) -> bool:
        """Whether masks are set anew before this step."""
        return step == 1

    def sparsity(self, step: int) -> float:  # noqa: ARG002 - every schedule takes the step
        """Return the share of zeros."""
        return 1 - _KEPT / _BLOCK


Schedule = Polynomial | Constant | TwoOfFour


def schedule_for(sparsity: float, steps: int, kind: str = "polynomial") -> Polynomial | Constant:
    """Return a schedule that reaches ``sparsity`` at 60 % of ``steps``, on an update exactly.

    A ``constant`` one is there from the first step on.
    """
    every = max(1, round(0.6 * steps / 60))
    if kind == "constant":
        return Constant(sparsity, begin=1, every=every)
    updates = max(1, int(0.6 * steps) // every)
    return Polynomial(final=sparsity, end=updates * every, every=every)


def mask(weights: Array, schedule: Schedule, step: int) -> Array:
    """Return ones where weights stay and zeros where they go."""
    if isinstance(schedule, TwoOfFour):
        return _two_of_four(weights)
    size = np.abs(weights).ravel()
    share = np.float32(1) - np.float32(schedule.sparsity(step))
    kept = max(1, int(np.round(np.float32(size.size) * share)))
    threshold = np.partition(size, size.size - kept)[size.size - kept]
    return np.asarray(np.abs(weights) >= threshold, weights.dtype)


def fits_two_of_four(shape: tuple[int, ...]) -> bool:
    """Whether a kernel has a layout for which 2:4 is defined: dense or two-dimensional."""
    return len(shape) in (2, 4)


def _two_of_four(weights: Array) -> Array:
    """Neighbours in the file run along the input channels of one output."""
    rows = np.moveaxis(weights, -1, 0).reshape(weights.shape[-1], -1)
    missing = -rows.shape[1] % _BLOCK
    blocks = np.pad(np.abs(rows), ((0, 0), (0, missing))).reshape(-1, _BLOCK)
    order = np.argsort(-blocks, axis=1, kind="stable")[:, :_KEPT]
    kept = np.zeros_like(blocks)
    np.put_along_axis(kept, order, 1, axis=1)
    flat = kept.reshape(rows.shape[0], -1)[:, : rows.shape[1]]
    moved = flat.reshape(weights.shape[-1], *weights.shape[:-1])
    return np.moveaxis(moved, 0, -1).astype(weights.dtype)
