"""A tf_keras model as the Keras 3 model that it is, so that all of a compression serves it.

Both packages read the HDF5 file of the older one, once its configuration is left with what
Keras 3 knows. The twin must give the same outputs on the user's own rows, or the model is taken
as it is.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import json
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nb_optimizer.core.compression import graph
from nb_optimizer.core.compression.data import Data

TOLERANCE = 1e-4  # of the largest output
_ROWS = 16
_RENAMED = {("LeakyReLU", "alpha"): "negative_slope"}
_EVERY_LAYER = ("name", "dtype", "trainable", "activity_regularizer")


@dataclass(frozen=True)
class Twin:
    """The model to work on, and what to tell of it."""

    model: Any
    note: str = ""


def taken(model: Any, read: Callable[[Any], Data]) -> tuple[Twin, Data]:
    """Return what to work on for a model, and the rows that ``read`` returns for that.

    A tf_keras model is worked on as its Keras 3 twin, if that gives the same outputs on the rows;
    any other model as it is.
    """
    twin = _twin(model) if graph.is_old(model) else Twin(model)
    rows = read(twin.model)
    if twin.model is model:
        return twin, rows
    gap = _gap(model, twin.model, rows)
    if gap <= TOLERANCE:
        return twin, rows
    why = f"its outputs there differ by {gap:.1e} of the largest"
    return _without(model, why), read(model)


def _twin(model: Any) -> Twin:
    try:
        twin = _read(model)
    except (ValueError, TypeError, NotImplementedError, AttributeError, KeyError, OSError) as error:
        return _without(model, f"{type(error).__name__}: {error}")
    with contextlib.suppress(ValueError, TypeError, AttributeError):
        _compile(twin, model)  # without a loss it gets number formats only, as any such model
    return Twin(twin, f"{model.name} is a tf_keras model: its Keras 3 twin is compressed")


def _gap(model: Any, twin: Any, rows: Data) -> float:
    few = rows.take(np.arange(min(_ROWS, len(rows)))).for_keras()
    theirs, ours = (_outputs(m, few) for m in (model, twin))
    largest = max(float(np.abs(a).max()) for a in theirs) or 1.0
    return max(float(np.abs(a - b).max()) for a, b in zip(theirs, ours, strict=True)) / largest


def _without(model: Any, why: str) -> Twin:
    first = " ".join(why.split())[:160]
    return Twin(model, f"{model.name} stays a tf_keras model, which Keras 3 cannot read: {first}")


def _read(model: Any) -> Any:
    import keras  # noqa: PLC0415 - loads on first use

    h5py: Any = importlib.import_module("h5py")  # comes with Keras

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.h5"
        with warnings.catch_warnings():  # of the old format and of old names of arguments
            warnings.simplefilter("ignore", UserWarning)
            model.save(path, include_optimizer=False)
            with h5py.File(path, "r+") as file:
                config = _without_unknown(json.loads(file.attrs["model_config"]))
                file.attrs["model_config"] = json.dumps(config)
            return keras.models.load_model(path, compile=False)


def _without_unknown(config: Any) -> Any:
    """Return a configuration without what Keras 3's layers of the same names do not take.

    What tf_keras calls otherwise or keeps for itself (``time_major``, shapes of inputs) goes; that
    nothing was lost by it, the comparison of outputs shows.
    """
    if isinstance(config, list):
        return [_without_unknown(one) for one in config]
    if not isinstance(config, dict):
        return config
    known = _arguments(config.get("class_name"))
    own = config.get("config")
    if known and isinstance(own, dict):
        own = {_RENAMED.get((config["class_name"], k), k): v for k, v in own.items()}
        config = {**config, "config": {k: v for k, v in own.items() if k in known}}
    return {k: _without_unknown(v) for k, v in config.items() if k != "build_config"}


def _arguments(kind: Any) -> set[str]:
    """Return what a layer of Keras 3 takes; nothing for what is no such layer, or an input."""
    import keras  # noqa: PLC0415 - loads on first use

    layer = getattr(keras.layers, str(kind), None)
    if layer is None or kind == "InputLayer":
        return set()
    return {*inspect.signature(layer.__init__).parameters, *_EVERY_LAYER}


def _compile(twin: Any, model: Any) -> None:
    """Compile the twin as the model is: its loss, the kind of its optimizer, the learning rate."""
    import keras  # noqa: PLC0415 - loads on first use

    kind = getattr(keras.optimizers, type(model.optimizer).__name__, keras.optimizers.Adam)
    told = model.optimizer.get_config()["learning_rate"]
    if isinstance(told, dict):
        schedules = importlib.import_module("tf_keras").optimizers.schedules
        told = schedules.deserialize(told)(0)
    twin.compile(kind(float(told)), _loss(model.loss))


def _loss(loss: Any) -> Any:
    import keras  # noqa: PLC0415 - loads on first use

    if isinstance(loss, str):
        return loss
    config = {k: v for k, v in loss.get_config().items() if k not in ("fn", "reduction")}
    return getattr(keras.losses, type(loss).__name__)(**config)


def _outputs(model: Any, rows: Any) -> list[Any]:
    said = model.predict(rows, verbose=0)
    if isinstance(said, dict):
        return [np.asarray(said[name]) for name in sorted(said)]
    return [np.asarray(a) for a in (said if isinstance(said, list | tuple) else [said])]
