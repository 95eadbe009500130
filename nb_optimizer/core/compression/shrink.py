"""Structured pruning: whole channels go, and a smaller dense model of the same kind remains.

Channels are ranked by the L1 size of their weights times the scale of the normalization behind
them (Li et al. 2017, "Pruning Filters for Efficient ConvNets"; Liu et al. 2017, "Network
Slimming"). A layer is shrunk where everything that reads its channels is known: convolutions and
dense layers, with normalization, activation, pooling, dropout, padding and flattening between.
Channels that meet another path (an addition, a concatenation, an output) stay.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nb_optimizer.core.compression import graph
from nb_optimizer.core.errors import UserError

Array = np.ndarray[Any, Any]
_PRODUCERS = {"Conv1D": "filters", "Conv2D": "filters", "Dense": "units"}
_READERS = ("Conv1D", "Conv2D", "Dense")
_THROUGH = ("BatchNormalization", "ReLU", "LeakyReLU", "Activation", "Dropout", "MaxPooling1D",
            "MaxPooling2D", "AveragePooling1D", "AveragePooling2D", "GlobalAveragePooling1D",
            "GlobalAveragePooling2D", "GlobalMaxPooling1D", "GlobalMaxPooling2D", "Flatten",
            "ZeroPadding2D", "SpatialDropout2D", "DepthwiseConv2D")  # fmt: skip
_LEAST = 4  # channels that always stay
_STEP = 4  # widths are rounded up to a multiple of this: fast kernels work in blocks


@dataclass
class Width:
    """A layer's channels: which stay, what they pass through, who reads them."""

    layer: Any
    kept: Array
    through: list[Any] = field(default_factory=list)
    readers: list[tuple[Any, int]] = field(default_factory=list)  # and places for each channel


def smaller(
    model: Any, share: float, single: dict[str, float] | None = None
) -> tuple[Any, dict[str, str]]:
    """Return a new model without ``share`` of its channels, and what was left alone, and why.

    ``single`` are shares of single layers, by name; the others keep theirs.

    Raises:
        UserError: no layer's channels can be taken away.
    """
    widths, left = _widths(model)
    widths = _narrower(widths, lambda w: _share_of(w, share, single))
    if not widths:
        reasons = "; ".join(sorted(set(left.values())))
        message = f"--shrink finds no layer whose channels can go ({reasons})."
        raise UserError(message)
    return _made(model, widths), left


def without(model: Any, idle: dict[str, list[int]]) -> Any:
    """Return a new model without the ``idle`` channels, given by name of the layer."""
    widths, _ = _widths(model)
    return _made(model, _narrower(widths, lambda w: _awake(w, idle)))


def widths_of(model: Any) -> list[Width]:
    """Return the layers whose channels can go, first ones first, with all their channels."""
    return _widths(model)[0]


def _made(model: Any, widths: list[Width]) -> Any:
    import keras  # noqa: PLC0415 - loads on first use

    by_layer = {id(w.layer): w for w in widths}
    made: dict[int, Any] = {}

    def make(operation: Any) -> Any:
        if not isinstance(operation, keras.Layer):
            return operation
        config = operation.get_config()
        width = by_layer.get(id(operation))
        if width is not None:
            config[_PRODUCERS[type(operation).__name__]] = len(width.kept)
        made[id(operation)] = type(operation).from_config(config)
        return made[id(operation)]

    inputs = [keras.Input(batch_shape=t.shape, dtype=t.dtype, name=t.name.partition(":")[0])
              for t in graph.inputs_of(model)]  # fmt: skip
    outputs = graph.rebuild(model, inputs, make)
    new = keras.Model(graph.packed(model, inputs), outputs, name=model.name)
    _fill(model, made, widths)
    return new


def layers_of(model: Any) -> list[Any]:
    """Return the layers whose channels can go, first ones first."""
    half = _narrower(_widths(model)[0], lambda w: _share_of(w, 0.5))
    return [w.layer for w in half]


def _narrower(widths: list[Width], keep: Callable[[Width], Array]) -> list[Width]:
    """Choose what stays; return the layers that lose a channel."""
    for width in widths:
        width.kept = keep(width)
    return [w for w in widths if len(w.kept) < _count(w)]


def _count(width: Width) -> int:
    return int(width.layer.kernel.shape[-1])


def _widths(model: Any) -> tuple[list[Width], dict[str, str]]:
    """Return the layers whose channels can go, with all of them, and why others' cannot."""
    every = list(graph.flat_nodes(model))
    readers: dict[int, list[Any]] = {}
    uses: dict[int, int] = {}
    for node in every:
        uses[id(node.operation)] = uses.get(id(node.operation), 0) + 1
        for tensor in node.inputs:
            readers.setdefault(id(tensor), []).append(node)
    found, left = [], {}
    for node in every:
        layer = node.operation
        if type(layer).__name__ not in _PRODUCERS:
            continue
        width = Width(layer, np.arange(int(layer.kernel.shape[-1])))
        reason = (
            "used more than once" if uses[id(layer)] > 1 else _follow(node, readers, uses, width, 1)
        )
        if reason or getattr(layer, "groups", 1) != 1:
            left[layer.name] = reason or "grouped"
            continue
        found.append(width)
    return found, left


def _follow(node: Any, readers: Any, uses: Any, width: Width, places: int) -> str:
    """Collect what reads a layer's channels; return why they must stay, or nothing."""
    following = readers.get(id(node.outputs[0]), [])
    if not following:
        return "its channels are an output"
    for other in following:
        kind = type(other.operation).__name__
        if uses[id(other.operation)] > 1:
            return f"read by {other.operation.name}, which is used more than once"
        if kind in _READERS and getattr(other.operation, "groups", 1) == 1:
            width.readers.append((other.operation, places))
        elif kind in _THROUGH:
            if kind == "DepthwiseConv2D" and other.operation.depth_multiplier != 1:
                return f"read by {other.operation.name}"
            width.through.append(other.operation)
            more = places
            if kind == "Flatten":
                more *= int(np.prod([n or 1 for n in other.inputs[0].shape[1:-1]]))
            reason = _follow(other, readers, uses, width, more)
            if reason:
                return reason
        else:
            return f"its channels meet {other.operation.name}"
    return ""


def _share_of(width: Width, share: float, single: dict[str, float] | None = None) -> Array:
    """Return the strongest channels, when this share of them goes."""
    gone = single.get(width.layer.name, 0.0) if single else share
    rounded = max(_LEAST, int(np.ceil((1 - gone) * _count(width) / _STEP)) * _STEP)
    return np.sort(np.argsort(-_strength(width), kind="stable")[:rounded])


def _awake(width: Width, idle: dict[str, list[int]]) -> Array:
    """Return the channels that are not idle, and one where all are."""
    gone = idle.get(width.layer.name, [])
    awake = np.setdiff1d(np.arange(_count(width)), gone)
    return awake if len(awake) else np.arange(1)


def _strength(width: Width) -> Array:
    kernel = np.abs(np.asarray(width.layer.kernel))
    score = kernel.reshape(-1, kernel.shape[-1]).sum(axis=0)
    for layer in width.through:
        if type(layer).__name__ == "BatchNormalization" and layer.scale:
            deviation = np.sqrt(np.asarray(layer.moving_variance) + layer.epsilon)
            score = score * np.abs(np.asarray(layer.gamma)) / deviation
    return np.asarray(score)


def _fill(model: Any, made: dict[int, Any], widths: list[Width]) -> None:
    """Copy the weights that stay."""
    out = {id(w.layer): w.kept for w in widths}
    through = {id(x): w.kept for w in widths for x in w.through}
    into = {id(r): (w, places) for w in widths for r, places in w.readers}
    for layer in graph.sublayers(model):
        if id(layer) not in made:
            continue
        values = [np.asarray(v) for v in layer.weights]
        if id(layer) in through:
            values = [_channels(v, through[id(layer)], layer) for v in values]
        if id(layer) in into:
            width, places = into[id(layer)]
            values[0] = _rows(values[0], width, places)
        if id(layer) in out:
            values = [v[..., out[id(layer)]] for v in values]
        for variable, value in zip(made[id(layer)].weights, values, strict=True):
            variable.assign(value)


def _channels(value: Array, kept: Array, layer: Any) -> Array:
    if type(layer).__name__ == "DepthwiseConv2D" and value.ndim > 1:
        return np.asarray(value[:, :, kept])
    return np.asarray(value[..., kept])


def _rows(kernel: Array, width: Width, places: int) -> Array:
    """Take the inputs that stay; behind a Flatten each channel has many places."""
    before = _count(width)
    if places == 1:
        return np.asarray(kernel[..., width.kept, :])
    grid = kernel.reshape(places, before, kernel.shape[-1])
    return np.asarray(grid[:, width.kept].reshape(-1, kernel.shape[-1]))
