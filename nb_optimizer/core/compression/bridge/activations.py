"""Activations by name in Keras 3, as tf_keras has them or as functions of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# What both packages mean the same by.
SAME = ("linear", "relu", "sigmoid", "tanh", "softmax", "elu", "selu", "softplus", "softsign",
        "exponential", "gelu", "mish")  # fmt: skip


class UntranslatableError(Exception):
    """There is nothing in tf_keras that does the same; the layer is called as it is."""


def hard_sigmoid(x: Any) -> Any:
    """Keras 3 divides by 6 where Keras 2 multiplied by 0.2."""
    import tensorflow as tf  # noqa: PLC0415 - loads on first use

    return tf.nn.relu6(x + 3.0) / 6.0


def hard_silu(x: Any) -> Any:
    """Keras 2 has none."""
    return x * hard_sigmoid(x)


def relu6(x: Any) -> Any:
    """Keras 2 has a layer for it, but no function."""
    import tensorflow as tf  # noqa: PLC0415 - loads on first use

    return tf.nn.relu6(x)


def leaky_relu(x: Any) -> Any:
    """Keras 3's slope is 0.2."""
    import tensorflow as tf  # noqa: PLC0415 - loads on first use

    return tf.nn.leaky_relu(x, alpha=0.2)


def log_softmax(x: Any) -> Any:
    """Keras 2 has none."""
    import tensorflow as tf  # noqa: PLC0415 - loads on first use

    return tf.nn.log_softmax(x)


def celu(x: Any) -> Any:
    """Keras 2 has none."""
    import tensorflow as tf  # noqa: PLC0415 - loads on first use

    return tf.maximum(x, 0.0) + tf.minimum(tf.exp(x) - 1.0, 0.0)


OWN: dict[str, Callable[[Any], Any]] = {
    "hard_sigmoid": hard_sigmoid,
    "hard_silu": hard_silu,
    "hard_swish": hard_silu,
    "relu6": relu6,
    "leaky_relu": leaky_relu,
    "log_softmax": log_softmax,
    "celu": celu,
}


def translate(activation: Any) -> Any:
    """Return what tf_keras takes in place of a Keras 3 activation's configuration.

    Raises:
        UntranslatableError: an activation of the user's own.
    """
    name = activation
    while isinstance(name, dict):  # a function is described as {"config": name}
        inner = name.get("config")
        name = inner.get("name") if isinstance(inner, dict) else inner
    if name is None or name in SAME:
        return name
    if name in ("silu", "swish"):
        return "swish"
    if name in OWN:
        return OWN[name]
    message = f"activation {name}"
    raise UntranslatableError(message)
