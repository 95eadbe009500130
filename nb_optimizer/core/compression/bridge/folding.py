"""Dense → BatchNormalization → ReLU as one Dense, exactly, and back again.

TF-MOT leaves a Dense with a normalization behind it in float, and loses the zeros and clusters
of a Dense whose ReLU is a layer of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nb_optimizer.core.compression import graph

_MATRIX = 2  # the rank of a batch of rows


@dataclass
class Folds:
    """By ``id`` of a Dense: its normalization, and whether its ReLU moves in."""

    norm: dict[int, Any] = field(default_factory=dict)
    relu: set[int] = field(default_factory=set)
    gone: set[int] = field(default_factory=set)  # what is left out of the new graph


def find(model: Any) -> Folds:
    """Find what can be folded: Dense layers that are read once, by one layer used once."""
    folds = Folds()
    every = list(graph.flat_nodes(model))
    readers: dict[int, list[Any]] = {}
    uses: dict[int, int] = {}
    for node in every:
        uses[id(node.operation)] = uses.get(id(node.operation), 0) + 1
        for tensor in node.inputs:
            readers.setdefault(id(tensor), []).append(node)
    for node in every:
        if type(node.operation).__name__ == "Dense" and _is_plain(node, uses):
            _fold(node, readers, uses, folds)
    return folds


def _is_plain(node: Any, uses: dict[int, int]) -> bool:
    dense, output = node.operation, node.outputs[0]
    linear = getattr(dense.activation, "__name__", "") == "linear"
    return linear and uses[id(dense)] == 1 and len(output.shape) == _MATRIX


def _fold(node: Any, readers: Any, uses: dict[int, int], folds: Folds) -> None:
    dense = node.operation
    following = _only(node, readers, uses)
    if following is not None and type(following.operation).__name__ == "BatchNormalization":
        folds.norm[id(dense)] = following.operation
        folds.gone.add(id(following.operation))
        following = _only(following, readers, uses)
    if following is not None and _is_relu(following.operation):
        folds.relu.add(id(dense))
        folds.gone.add(id(following.operation))


def _only(node: Any, readers: Any, uses: dict[int, int]) -> Any:
    found = readers.get(id(node.outputs[0]), [])
    alone = len(found) == 1 and uses[id(found[0].operation)] == 1
    return found[0] if alone else None


def _is_relu(layer: Any) -> bool:
    if type(layer).__name__ == "ReLU":
        return layer.max_value is None and not layer.negative_slope and not layer.threshold
    return getattr(getattr(layer, "activation", None), "__name__", "") == "relu" and (
        type(layer).__name__ == "Activation"
    )


def fold(dense: Any, norm: Any, new: Any) -> None:
    """Give ``new`` the weights of ``dense`` with ``norm`` behind it."""
    kernel = np.asarray(dense.kernel)
    bias = np.asarray(dense.bias) if dense.use_bias else 0.0
    gamma = np.asarray(norm.gamma) if norm.scale else 1.0
    beta = np.asarray(norm.beta) if norm.center else 0.0
    scale = gamma / np.sqrt(np.asarray(norm.moving_variance) + norm.epsilon)
    new.set_weights([kernel * scale, (bias - np.asarray(norm.moving_mean)) * scale + beta])


def unfold(dense: Any, norm: Any, new: Any) -> None:
    """Give ``dense`` the weights of ``new`` and let ``norm`` change nothing."""
    kernel, bias = new.get_weights()
    count = kernel.shape[1]
    dense.kernel.assign(kernel)
    if dense.use_bias:
        dense.bias.assign(bias)
    shift = np.zeros(count, "float32") if dense.use_bias else bias
    norm.moving_variance.assign(np.full(count, 1 if norm.scale else 1 - norm.epsilon, "float32"))
    if norm.scale:
        norm.gamma.assign(np.full(count, np.sqrt(1 + norm.epsilon), "float32"))
    if norm.center:
        norm.beta.assign(shift)
        norm.moving_mean.assign(np.zeros(count, "float32"))
    else:
        norm.moving_mean.assign(-shift)
