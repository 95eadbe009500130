"""The configuration of a Keras 3 layer as that of the tf_keras layer of the same name."""

from __future__ import annotations

import inspect
from typing import Any

from nb_optimizer.core.compression.bridge.activations import UntranslatableError, translate

_RENAMED = {"LeakyReLU": {"negative_slope": "alpha"}}
# Settings that tf_keras lacks and that change no output.
_NO_EFFECT = ("quantization_config", "lora_rank", "lora_alpha", "seed", "flash_attention",
              "zero_output_for_mask", "optional", "sparse", "ragged", "data_format", "unroll",
              "use_gate")  # fmt: skip
# Same name, other meaning; or made of Python code.
_OTHER = ("Lambda", "RMSNormalization", "GroupQueryAttention", "GroupedQueryAttention",
          "Normalization", "Discretization", "CategoryEncoding", "Hashing", "HashedCrossing",
          "StringLookup", "IntegerLookup", "TextVectorization", "Pipeline", "MelSpectrogram",
          "STFTSpectrogram", "RNN", "StackedRNNCells", "SpectralNormalization", "TFSMLayer",
          "JaxLayer", "FlaxLayer", "TorchModuleWrapper")  # fmt: skip


def twin_of(layer: Any, name: str, **changed: Any) -> Any:
    """Return a tf_keras layer that computes the same; its weights are still its own.

    Raises:
        UntranslatableError: there is none; the message says why.
    """
    import tf_keras  # noqa: PLC0415 - worker processes only

    kind = type(layer).__name__
    if not type(layer).__module__.startswith("keras.src.layers"):
        message = "a class of its own"
        raise UntranslatableError(message)
    if kind == "Bidirectional":
        return _bidirectional(layer, name)
    if kind == "TimeDistributed":
        return tf_keras.layers.TimeDistributed(twin_of(layer.layer, layer.layer.name), name=name)
    cls = getattr(tf_keras.layers, kind, None)
    if kind in _OTHER or kind.startswith("Random") or cls is None:
        message = f"tf_keras has no equal {kind}"
        raise UntranslatableError(message)
    return cls(**{**_settings(layer, cls), **changed, "name": name})


def _bidirectional(layer: Any, name: str) -> Any:
    import tf_keras  # noqa: PLC0415 - worker processes only

    return tf_keras.layers.Bidirectional(
        twin_of(layer.forward_layer, layer.forward_layer.name),
        backward_layer=twin_of(layer.backward_layer, layer.backward_layer.name),
        merge_mode=layer.merge_mode,
        name=name,
    )


def _settings(layer: Any, cls: Any) -> dict[str, Any]:
    known = {
        p
        for c in cls.__mro__
        if "__init__" in c.__dict__ and c is not object
        for p in inspect.signature(c.__init__).parameters
    }
    renamed = _RENAMED.get(type(layer).__name__, {})
    found: dict[str, Any] = {}
    for key, value in layer.get_config().items():
        name = renamed.get(key, key)
        if key == "dtype":
            found[key] = (
                value["config"].get("name", "float32") if isinstance(value, dict) else value
            )
        elif key in ("activation", "recurrent_activation"):
            found[key] = translate(value)
        elif key.endswith(("_regularizer", "_constraint", "_initializer")):
            made = _object(value, key.rpartition("_")[2] + "s")
            found.update({key: made} if made is not None else {})
        elif name in known:
            found[name] = value
        elif value not in (None, False, [], {}, ()) and key not in _NO_EFFECT:
            message = f"{type(layer).__name__}.{key}={value!r} is new in Keras 3"
            raise UntranslatableError(message)
    if not isinstance(found.get("seed"), int):
        found.pop("seed", None)
    return found


def _object(described: Any, kind: str) -> Any:
    """Build a regularizer or constraint; initializers are not needed, for values are copied."""
    import tf_keras  # noqa: PLC0415 - worker processes only

    if described is None or kind == "initializers":
        return None
    if isinstance(described, str):
        return getattr(tf_keras, kind).get(described)
    cls = getattr(getattr(tf_keras, kind), described["class_name"], None)
    if cls is None:
        message = f"{kind}.{described['class_name']}"
        raise UntranslatableError(message)
    taken = inspect.signature(cls.__init__).parameters
    return cls(**{k: v for k, v in described["config"].items() if k in taken})
