"""How sparse each layer should be for a given sparsity of the whole model.

Layer-adaptive magnitude scores (Lee et al. 2021, "Layer-adaptive sparsity for the
Magnitude-based Pruning"): a weight's square over the sum of the squares of all larger ones in its
layer and itself. One threshold over all layers then takes more from layers with much to spare.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nb_optimizer.core.compression.kernels import Kernel

_MOST = 0.99  # of one layer: a layer without weights passes nothing on


def sparsities(chosen: list[Kernel], share: float) -> dict[str, float]:
    """Return the sparsity of each kernel by name, so that ``share`` of all weights go."""
    scores = {k.name: _scores(k.variable.numpy()) for k in chosen}
    every = np.concatenate(list(scores.values()))
    gone = min(len(every) - 1, int(share * len(every)))
    threshold = np.partition(every, gone)[gone]
    return {
        name: round(min(_MOST, float(np.mean(values < threshold))), 4)
        for name, values in scores.items()
    }


def _scores(weights: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    squares = np.sort(weights.astype("float64").ravel() ** 2)
    larger = np.cumsum(squares[::-1])[::-1]
    return np.asarray(squares / np.maximum(larger, 1e-30))
