"""Operations of ``keras.ops`` as the tf_keras layers that mean the same, where there are such."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_MERGES = ("Add", "Multiply", "Subtract", "Maximum", "Minimum")
_CONSTANT: dict[
    str, Callable[[float], tuple[float, float]]
] = {  # with one tensor and one number: scale and offset
    "Add": lambda c: (1.0, c),
    "Subtract": lambda c: (1.0, -c),
    "Multiply": lambda c: (c, 0.0),
    "TrueDivide": lambda c: (1.0 / c, 0.0),
}
_ACTIVATIONS = {"Sigmoid": "sigmoid", "Tanh": "tanh", "Softplus": "softplus", "Silu": "swish"}


def layer_for(operation: Any, args: Any, tensors: list[Any], name: str) -> Callable[[], Any] | None:
    """Return a call that makes the output, or ``None`` where no layer means the same.

    Args:
        operation: a Keras 3 operation.
        args: its positional arguments, with tf_keras tensors.
        tensors: the tf_keras tensors among its arguments.
        name: for the layer.
    """
    if not type(operation).__module__.startswith("keras.src.ops"):
        return None
    kind = type(operation).__name__
    for rule in (_merge, _constant, _joined, _simple, _pooled, _reshaped):
        made: Callable[[], Any] | None = rule(operation, kind, args, tensors, name)
        if made is not None:
            return made
    return None


def _merge(_: Any, kind: str, args: Any, tensors: list[Any], name: str) -> Any:
    import tf_keras  # noqa: PLC0415 - worker processes only

    same = len(tensors) == len(args) == 2 and _shape(tensors[0]) == _shape(tensors[1])  # noqa: PLR2004
    if kind in _MERGES and same:
        return lambda: getattr(tf_keras.layers, kind)(name=name)(list(args))
    return None


def _constant(_: Any, kind: str, args: Any, tensors: list[Any], name: str) -> Any:
    import tf_keras  # noqa: PLC0415 - worker processes only

    one = len(tensors) == 1 and len(args) == 2 and tensors[0] is args[0]  # noqa: PLR2004
    if kind not in _CONSTANT or not one or not isinstance(args[1], int | float):
        return None
    if not tensors[0].dtype.is_floating or (kind == "TrueDivide" and not args[1]):
        return None
    scale, offset = _CONSTANT[kind](float(args[1]))
    return lambda: tf_keras.layers.Rescaling(scale, offset, name=name)(args[0])


def _joined(operation: Any, kind: str, args: Any, tensors: list[Any], name: str) -> Any:
    import tf_keras  # noqa: PLC0415 - worker processes only

    if kind != "Concatenate" or len(tensors) < 2:  # noqa: PLR2004 - of one there is nothing to join
        return None
    return lambda: tf_keras.layers.Concatenate(axis=operation.axis, name=name)(list(args[0]))


def _simple(operation: Any, kind: str, args: Any, tensors: list[Any], name: str) -> Any:
    import tf_keras  # noqa: PLC0415 - worker processes only

    if len(tensors) != 1:
        return None
    if kind in ("Relu", "Relu6"):
        top = 6.0 if kind == "Relu6" else None
        return lambda: tf_keras.layers.ReLU(max_value=top, name=name)(args[0])
    if kind == "Softmax" and getattr(operation, "axis", -1) == -1:
        return lambda: tf_keras.layers.Activation("softmax", name=name)(args[0])
    if kind in _ACTIVATIONS:
        return lambda: tf_keras.layers.Activation(_ACTIVATIONS[kind], name=name)(args[0])
    return None


def _pooled(operation: Any, kind: str, args: Any, tensors: list[Any], name: str) -> Any:
    import tf_keras  # noqa: PLC0415 - worker processes only

    if kind != "Mean" or len(tensors) != 1 or len(_shape(tensors[0])) != 4:  # noqa: PLR2004 - images
        return None
    axes = operation.axis if isinstance(operation.axis, list | tuple) else [operation.axis]
    if sorted(a for a in axes if a is not None) != [1, 2]:
        return None
    pool = tf_keras.layers.GlobalAveragePooling2D
    return lambda: pool(keepdims=operation.keepdims, name=name)(args[0])


def _reshaped(operation: Any, kind: str, args: Any, tensors: list[Any], name: str) -> Any:
    import tf_keras  # noqa: PLC0415 - worker processes only

    shape = getattr(operation, "newshape", None)
    if kind != "Reshape" or len(tensors) != 1 or shape is None:
        return None
    if shape[0] not in (-1, None) or None in shape[1:]:
        return None
    return lambda: tf_keras.layers.Reshape(shape[1:], name=name)(args[0])


def _shape(tensor: Any) -> list[Any]:
    return list(tensor.shape.as_list())
