"""Weight sharing: each kernel takes a few different values only, which are trained.

The values are found by one-dimensional k-means. While training goes on, the weights of a group
are moved to their mean after each step: that moves their shared value by the mean of their
gradients. Han et al. 2016, "Deep Compression". Zeros of a pruned kernel stay zeros.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
_ROUNDS = 30


def group(weights: Array, count: int, *, keep_zeros: bool) -> tuple[Array, Array]:
    """Return the group of each weight and the value of each group.

    Args:
        weights: a kernel of any shape.
        count: how many values it may take, zero included where zeros are kept.
        keep_zeros: give zeros a group of their own, of value zero, which is group 0.
    """
    flat = weights.ravel().astype("float64")
    free = flat[flat != 0] if keep_zeros else flat
    wanted = count - 1 if keep_zeros else count
    centres = _kmeans(free, wanted)
    groups = _nearest(flat, centres)
    if keep_zeros:
        groups = np.where(flat == 0, 0, groups + 1)
        centres = np.concatenate([[0.0], centres])
    return groups.astype("int32"), centres


def _kmeans(values: Array, count: int) -> Array:
    different = np.unique(values)
    if len(different) <= count:
        return np.asarray(different, "float64")
    # From evenly spread over the range, which keeps the rare large weights (linear init).
    centres = np.linspace(values.min(), values.max(), count)
    for _ in range(_ROUNDS):
        groups = _nearest(values, centres)
        sums = np.bincount(groups, values, count)
        sizes = np.bincount(groups, minlength=count)
        moved = np.where(sizes > 0, sums / np.maximum(sizes, 1), centres)
        if np.allclose(moved, centres, atol=1e-9):
            break
        centres = np.sort(moved)
    return centres


def _nearest(values: Array, centres: Array) -> Array:
    """Return the index of the nearest of the sorted ``centres`` for each value."""
    return np.searchsorted((centres[1:] + centres[:-1]) / 2, values)
