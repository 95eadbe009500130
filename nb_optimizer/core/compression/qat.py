"""Quantization-aware training of a Keras 3 model: it trains while it feels 8-bit rounding.

A twin of the model is built whose kernels are rounded as the exporter will round them (symmetric,
one scale per output channel, -127 to 127) and whose activations are rounded to 8 bits between
moving averages of their extremes, wherever the file will hold 8-bit activations: after a
convolution and its normalization and activation, not between them. Gradients pass through
(Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference"). The trained weights go back into a plain model, which is then
quantized like any other; so every layer whose kernel can be rounded takes part, recurrent layers,
one-dimensional convolutions, embeddings and attention among them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from nb_optimizer.core.compression import graph, kernels

_MOMENTUM = 0.99
_LINEAR = ("Conv1D", "Conv2D", "Conv3D", "Dense", "DepthwiseConv2D", "Conv2DTranspose",
           "SeparableConv2D", "Add", "EinsumDense")  # fmt: skip
_FUSED = ("BatchNormalization", "ReLU", "Activation")  # what the exporter folds into them
_PASSIVE = ("Dropout", "SpatialDropout1D", "SpatialDropout2D", "Flatten", "Reshape", "Permute",
            "MaxPooling1D", "MaxPooling2D", "ZeroPadding2D", "Cropping2D", "Identity",
            "Embedding", "InputLayer", "GaussianNoise")  # fmt: skip


class Twin:
    """A model that rounds as the exported file will, and its way back to the plain model.

    ``shared`` names the layers with one scale for a whole kernel, those with few different
    values; ``bits`` is the width of the kernels. Activations have 8 bits.
    """

    def __init__(self, model: Any, shared: set[str] | None = None, bits: int = 8) -> None:
        import keras  # noqa: PLC0415 - loads on first use

        self._shared, self._bits = shared or set(), bits
        self._pairs: list[tuple[Any, Any]] = []
        self._rounded: list[Any] = []
        self._names: set[str] = set()
        self._breaks = _boundaries(model)
        inputs = [
            keras.Input(batch_shape=t.shape, dtype=t.dtype, name=t.name.partition(":")[0])
            for t in graph.inputs_of(model)
        ]
        outputs = graph.rebuild(model, inputs, self._make)
        self.model = keras.Model(graph.packed(model, inputs), outputs)
        self._copy(back=False)

    def kernels_of(self, chosen: list[kernels.Kernel]) -> list[kernels.Kernel]:
        """Return the twin's own kernels in place of the plain model's."""
        mine = {
            id(old): new
            for plain, twin in self._pairs
            for old, new in zip(_kernels(plain), _kernels(twin), strict=True)
        }
        return [
            kernels.Kernel(k.layer, mine[id(k.variable)], k.name)
            for k in chosen
            if id(k.variable) in mine
        ]

    def calibrate(self, inputs: Any) -> None:
        """Set the activation ranges from real rows before the first step."""
        for layer in self._rounded:
            layer.collecting = True
        self.model(inputs, training=False)
        for layer in self._rounded:
            layer.collecting = False

    def give_back(self) -> None:
        """Put the trained weights into the plain model."""
        self._copy(back=True)

    def _copy(self, *, back: bool) -> None:
        for old, new in self._pairs:
            source, target = (new, old) if back else (old, new)
            target.set_weights(source.get_weights())

    def _make(self, operation: Any) -> Callable[..., Any]:
        import keras  # noqa: PLC0415 - loads on first use

        made = operation
        if isinstance(operation, keras.Layer):
            made = type(operation).from_config(
                {**operation.get_config(), "name": self._unique(operation.name)}
            )
            self._pairs.append((operation, made))
            if isinstance(getattr(operation, "dtype_policy", None), keras.DTypePolicy):
                _round_kernels(made, operation, self._shared, self._bits)
        if operation.name not in self._breaks:
            return made  # type: ignore[no-any-return]
        rounding = rounding_layer(self._unique(f"{operation.name}_rounded"))
        self._rounded.append(rounding)
        return lambda *args, **kwargs: rounding(made(*args, **kwargs))

    def _unique(self, name: str) -> str:
        free, number = name, 1
        while free in self._names:
            number += 1
            free = f"{name}_{number}"
        self._names.add(free)
        return free


def fake_quantize(weights: Any, bits: int, *, per_channel: bool) -> Any:
    """Round weights to ``2**bits - 1`` levels around zero; gradients pass."""
    import tensorflow as tf  # noqa: PLC0415 - loads on first use

    shape = tf.shape(weights)
    flat = tf.reshape(weights, [-1, weights.shape[-1]])
    if per_channel:
        top = tf.stop_gradient(tf.reduce_max(tf.abs(flat), axis=0)) + 1e-8
        rounded = tf.quantization.fake_quant_with_min_max_vars_per_channel(
            flat, -top, top, num_bits=bits, narrow_range=True
        )
    else:
        top = tf.stop_gradient(tf.reduce_max(tf.abs(flat))) + 1e-8
        rounded = tf.quantization.fake_quant_with_min_max_vars(
            flat, -top, top, num_bits=bits, narrow_range=True
        )
    return tf.reshape(rounded, shape)


def rounding_layer(name: str) -> Any:
    """Return a layer that rounds activations to 8 bits between moving extremes."""
    import keras  # noqa: PLC0415 - loads on first use
    import tensorflow as tf  # noqa: PLC0415 - as above

    class Rounded(keras.layers.Layer):  # type: ignore[misc]
        """Knows the extremes of what passes through it."""

        collecting = False

        def build(self, shape: Any) -> None:  # noqa: ARG002
            make = functools.partial(self.add_weight, shape=(), trainable=False)
            self.low = make(initializer="zeros", name="low")
            self.high = make(initializer="zeros", name="high")

        def call(self, x: Any, training: bool | None = None) -> Any:  # noqa: FBT001
            value = tf.cast(x, "float32")
            if training or self.collecting:
                self._follow(value)
            low, high = tf.convert_to_tensor(self.low), tf.convert_to_tensor(self.high)
            rounded = tf.quantization.fake_quant_with_min_max_vars(value, low, high + 1e-6)
            return tf.cast(rounded, x.dtype)

        def _follow(self, value: Any) -> None:
            keep = 0.0 if self.collecting else _MOMENTUM
            low = tf.reduce_min(_of_all(tf.minimum(tf.reduce_min(value), 0.0)))
            high = tf.reduce_max(_of_all(tf.maximum(tf.reduce_max(value), 0.0)))
            self.low.assign(keep * self.low + (1 - keep) * low)
            self.high.assign(keep * self.high + (1 - keep) * high)

        def compute_output_shape(self, shape: Any) -> Any:
            return shape

    return Rounded(name=name)


def _of_all(value: Any) -> Any:
    """Return a number of each device that takes part in this step, on all of them."""
    import tensorflow as tf  # noqa: PLC0415 - loads on first use

    context = tf.distribute.get_replica_context()
    count = 1 if context is None else context.num_replicas_in_sync
    if count == 1:
        return value
    own = tf.one_hot(context.replica_id_in_sync_group, count) * tf.stop_gradient(value)
    return context.all_reduce(tf.distribute.ReduceOp.SUM, own)


def _round_kernels(layer: Any, plain: Any, shared: set[str], bits: int) -> None:
    """Have the layer's own ``call`` see rounded kernels: whatever it does with them."""
    import keras  # noqa: PLC0415 - loads on first use

    original = layer.call
    recurrent = hasattr(plain, "cell") or "Embedding" in type(plain).__name__
    per_channel = not recurrent and plain.name not in shared

    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        found = _kernels(layer)
        if not found:
            return original(*args, **kwargs)
        seen = [(v, fake_quantize(v.value, bits, per_channel=per_channel)) for v in found]
        with keras.StatelessScope(state_mapping=seen) as scope:
            out = original(*args, **kwargs)
        for variable in layer.non_trainable_variables:  # seeds of dropout inside the layer
            value = scope.get_current_value(variable)
            if value is not None:
                variable.assign(value)
        return out

    layer.call = call


def _kernels(layer: Any) -> list[Any]:
    found = {
        id(v): v
        for inner in [layer, *graph.sublayers(layer)]
        for name in (*kernels.NAMES, "depthwise_kernel")
        if (v := getattr(inner, name, None)) is not None and len(getattr(v, "shape", ())) > 1
    }
    return list(found.values())


def _boundaries(model: Any) -> set[str]:
    """Return the names of the operations behind which the file holds 8-bit activations."""
    every = list(graph.flat_nodes(model))
    readers: dict[int, list[str]] = {}
    for node in every:
        for tensor in node.inputs:
            readers.setdefault(id(tensor), []).append(type(node.operation).__name__)
    found = set()
    for node in every:
        kind = type(node.operation).__name__
        next_kinds = [k for t in node.outputs for k in readers.get(id(t), [])]
        linear = kind in (*_LINEAR, "BatchNormalization") and _is_linear(node.operation)
        fused = linear and next_kinds and all(k in _FUSED for k in next_kinds)
        last = not next_kinds
        floats = all("float" in str(t.dtype) for t in node.outputs) and len(node.outputs) == 1
        if floats and kind not in _PASSIVE and not fused and not last:
            found.add(node.operation.name)
    return found


def _is_linear(operation: Any) -> bool:
    activation = getattr(operation, "activation", None)
    return activation is None or getattr(activation, "__name__", "") == "linear"
