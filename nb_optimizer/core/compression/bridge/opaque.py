"""tf_keras layers that call what has no counterpart there: Keras 3 layers and operations.

They share the variables of the Keras 3 layer, so training the one trains the other.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

_HELD: dict[str, Any] = {}  # by key: TF-MOT makes layers again from their configuration


class Slot:
    """Stands for the tensor number ``index`` in the arguments of an operation."""

    def __init__(self, index: int) -> None:
        self.index = index


def layer(inner: Any, name: str) -> Any:
    """Return a tf_keras layer that calls a Keras 3 layer."""
    key = f"layer:{id(inner)}"
    _HELD[key] = inner
    return classes()["CalledLayer"](key, name=name)


def operation(inner: Any, template: Any, name: str) -> Any:
    """Return a tf_keras layer that calls an operation of ``keras.ops``.

    ``template`` is its ``(args, kwargs)`` with a :class:`Slot` for each tensor.
    """
    key = f"operation:{id(inner)}:{name}"
    _HELD[key] = (inner, template)
    return classes()["CalledOperation"](key, name=name)


def activation(function: str, name: str) -> Any:
    """Return a tf_keras layer for an activation that TF-MOT's 8-bit scheme refuses."""
    return classes()["OwnActivation"](function, name=name)


@functools.cache
def classes() -> dict[str, Any]:
    """Return the layer classes by name; made on first use, in a worker process."""
    import tf_keras  # noqa: PLC0415 - worker processes only

    register = tf_keras.utils.register_keras_serializable("nb_optimizer")

    class Called(tf_keras.layers.Layer):  # type: ignore[misc]
        """Base: known by the key of what it calls."""

        def __init__(self, key: str, **settings: Any) -> None:
            super().__init__(**settings)
            self.key = key

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "key": self.key}

    made = [_called_layer(Called), _called_operation(Called), _own_activation()]
    return {c.__name__: register(c) for c in made}


def _called_layer(base: Any) -> Any:
    import tensorflow as tf  # noqa: PLC0415 - worker processes only

    class CalledLayer(base):  # type: ignore[misc]
        """Calls a Keras 3 layer."""

        def __init__(self, key: str, **settings: Any) -> None:
            super().__init__(key, **settings)
            inner = _HELD[key]
            self._trained = [v.value for v in inner.trainable_variables]
            self._fixed = [v.value for v in inner.non_trainable_variables]
            self._takes_training = "training" in inspect.signature(inner.call).parameters

        def get_prunable_weights(self) -> list[Any]:
            return []

        def call(self, *args: Any, training: Any = None, **kwargs: Any) -> Any:
            if self._takes_training:
                kwargs["training"] = bool(training) if isinstance(training, bool | int) else False
            run = tf.autograph.experimental.do_not_convert(_HELD[self.key].call)
            return run(*args, **kwargs)

    return CalledLayer


def _called_operation(base: Any) -> Any:
    import tensorflow as tf  # noqa: PLC0415 - worker processes only
    from keras import tree  # noqa: PLC0415 - as above

    class CalledOperation(base):  # type: ignore[misc]
        """Calls an operation of ``keras.ops``."""

        def call(self, tensors: Any) -> Any:
            inner, template = _HELD[self.key]
            given = list(tensors) if isinstance(tensors, list | tuple) else [tensors]
            args, kwargs = tree.map_structure(
                lambda x: given[x.index] if isinstance(x, Slot) else x, template
            )
            return tf.autograph.experimental.do_not_convert(inner.call)(*args, **kwargs)

    return CalledOperation


def _own_activation() -> Any:
    import tf_keras  # noqa: PLC0415 - worker processes only

    from nb_optimizer.core.compression.bridge.activations import OWN  # noqa: PLC0415 - as above

    class OwnActivation(tf_keras.layers.Layer):  # type: ignore[misc]
        """Applies one of ``activations.OWN``."""

        def __init__(self, function: str, **settings: Any) -> None:
            super().__init__(**settings)
            self.function = function
            self.supports_masking = True

        def call(self, x: Any) -> Any:
            return OWN[self.function](x)

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "function": self.function}

    return OwnActivation
