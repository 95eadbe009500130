"""Keras 3 → tf_keras: the same graph again, with the same weights, and a proof of it.

A layer becomes the tf_keras layer of the same name with its settings translated; an operation
of ``keras.ops`` becomes a layer where one means the same; everything else is called as it is.
Nested models are opened and every name gets a prefix, for TF-MOT refuses the first and mixes up
layers that share a name with those it makes itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nb_optimizer.core.compression import graph
from nb_optimizer.core.compression.bridge import folding, opaque, operations
from nb_optimizer.core.compression.bridge.activations import OWN, UntranslatableError
from nb_optimizer.core.compression.bridge.layers import twin_of

TOLERANCE = 1e-4  # largest difference between both outputs, relative to their size
_PREFIX = "nb_"


@dataclass
class Translation:
    """The tf_keras model, how its layers belong to those of Keras 3, and what was called as is."""

    source: Any
    model: Any = None
    pairs: list[tuple[Any, Any]] = field(default_factory=list)
    folds: list[tuple[Any, Any, Any]] = field(default_factory=list)
    called: dict[str, str] = field(default_factory=dict)  # layer or operation to the reason

    def copy_weights(self, *, back: bool = False) -> None:
        """Copy the weights to the tf_keras model, or ``back`` to the Keras 3 model."""
        for old, new in self.pairs:
            origin, target = (new, old) if back else (old, new)
            values, places = origin.get_weights(), target.get_weights()
            if [v.shape for v in values] != [p.shape for p in places]:
                message = f"the weights of {old.name} have other shapes in tf_keras"
                raise UntranslatableError(message)
            target.set_weights(values)
        for dense, norm, new in self.folds:
            (folding.unfold if back else folding.fold)(dense, norm, new)

    def difference(self, inputs: Any) -> float:
        """Return the largest difference of both outputs, relative to the largest value."""
        from keras import tree  # noqa: PLC0415 - worker processes only

        ours = [np.asarray(t, "float64") for t in tree.flatten(self.source(inputs, training=False))]
        other = tree.flatten(self.model(inputs, training=False))
        theirs = [np.asarray(t, "float64") for t in other]
        top = max(float(np.abs(a).max()) for a in ours) or 1.0
        return max(float(np.abs(a - b).max()) for a, b in zip(ours, theirs, strict=True)) / top


def translate(model: Any, *, fold: bool = False) -> Translation:
    """Return ``model`` in tf_keras; ``fold`` prepares it for quantization-aware training.

    Raises:
        UserError: the model has no graph.
        UntranslatableError: the weights do not fit.
    """
    made = Translation(model)
    _Translating(made, folding.find(model) if fold else folding.Folds()).run()
    made.copy_weights()
    return made


class _Translating:
    def __init__(self, made: Translation, folds: folding.Folds) -> None:
        self._made, self._folds = made, folds
        self._names: set[str] = set()

    def run(self) -> None:
        import tf_keras  # noqa: PLC0415 - worker processes only

        source = self._made.source
        inputs = [
            tf_keras.Input(
                batch_shape=t.shape,
                dtype=t.dtype,
                name=self._unique(t.name.partition(":")[0], prefix=""),
            )
            for t in graph.inputs_of(source)
        ]
        outputs = graph.rebuild(source, inputs, self._make)
        self._made.model = tf_keras.Model(graph.packed(source, inputs), outputs, name=source.name)

    def _make(self, operation: Any) -> Any:
        if id(operation) in self._folds.gone:
            return lambda x, **_: x
        if any(c.__name__ == "Layer" for c in type(operation).__mro__):
            return self._layer(operation)
        return lambda *args, **kwargs: self._operation(operation, args, kwargs)

    def _layer(self, layer: Any) -> Any:
        name = self._unique(layer.name)
        try:
            return self._twin(layer, name)
        except UntranslatableError as reason:
            self._made.called[layer.name] = f"{type(layer).__name__}: {reason}"
            return opaque.layer(layer, name)

    def _twin(self, layer: Any, name: str) -> Any:
        import tf_keras  # noqa: PLC0415 - worker processes only

        if type(layer).__name__ == "Activation":
            function = getattr(layer.activation, "__name__", "")
            if function == "relu6":
                return tf_keras.layers.ReLU(6.0, name=name)
            if function in OWN:
                return opaque.activation(function, name)
        changed: dict[str, Any] = {}
        if id(layer) in self._folds.relu:
            changed["activation"] = "relu"
        norm = self._folds.norm.get(id(layer))
        if norm is not None:
            made = twin_of(layer, name, use_bias=True, **changed)
            self._made.folds.append((layer, norm, made))
            return made
        made = twin_of(layer, name, **changed)
        self._made.pairs.append((layer, made))
        return made

    def _operation(self, operation: Any, args: Any, kwargs: Any) -> Any:
        from keras import tree  # noqa: PLC0415 - worker processes only

        name = self._unique(operation.name)
        tensors: list[Any] = []

        def slot(value: Any) -> Any:
            if not type(value).__name__.endswith("KerasTensor"):
                return value
            tensors.append(value)
            return opaque.Slot(len(tensors) - 1)

        template = tree.map_structure(slot, (args, kwargs))
        made = operations.layer_for(operation, args, tensors, name)
        if made is not None:
            return made()
        self._made.called[operation.name] = f"{type(operation).__name__}: an operation"
        called = opaque.operation(operation, template, name)
        return called(tensors if len(tensors) > 1 else tensors[0])

    def _unique(self, name: str, prefix: str = _PREFIX) -> str:
        base = prefix + name.replace("/", "_")
        free, number = base, 1
        while free in self._names:
            number += 1
            free = f"{base}__{number}"
        self._names.add(free)
        return free
