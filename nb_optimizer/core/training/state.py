"""The whole state of a training at the end of an epoch: taken, put back, saved, loaded.

A state file is a NumPy ``.npz`` without pickles: arrays, and one JSON text with the rest.
"""

from __future__ import annotations

import json
import os
import random
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nb_optimizer.core.errors import UserError
from nb_optimizer.core.training.framework import Framework, to_array

Array = np.ndarray[Any, Any]
_MAX_PLAIN = 1_000_000  # elements of one attribute of a callback


@dataclass
class Snapshot:
    """State after ``epoch`` finished epochs."""

    epoch: int
    model: list[Array]
    extra: list[Array]  # seeds of layers that were added for the run
    optimizers: list[list[Array]]
    paths: list[str] = field(default_factory=list)
    seed: Array | None = None
    rest: dict[str, Any] = field(default_factory=dict)  # history, callbacks, random streams
    arrays: dict[str, Array] = field(default_factory=dict)  # arrays that ``rest`` refers to


@dataclass
class Subject:
    """What a snapshot is taken of."""

    framework: Framework
    model: Any
    extra: list[Any] = field(default_factory=list)  # variables of layers added for the run

    def variables(self) -> list[Any]:
        """Return the model's variables."""
        return self.framework.variables(self.model)

    def optimizers(self) -> list[list[Any]]:
        """Return the variables of each optimizer."""
        found = self.framework.optimizers(self.model)
        return [self.framework.optimizer_variables(o, self.model) for o in found]


def take(subject: Subject, epoch: int) -> Snapshot:
    """Copy the model's and the optimizers' state."""
    variables = subject.variables()
    seed = subject.framework.global_seed()
    return Snapshot(
        epoch=epoch,
        model=[to_array(v) for v in variables],
        extra=[to_array(v) for v in subject.extra],
        optimizers=[[to_array(v) for v in group] for group in subject.optimizers()],
        paths=[str(getattr(v, "path", v.name)) for v in variables],
        seed=None if seed is None else to_array(seed),
    )


def is_finite(snapshot: Snapshot) -> bool:
    """Whether all weights are numbers."""
    floats = (a for a in snapshot.model if a.dtype.kind == "f")
    return all(bool(np.isfinite(a).all()) for a in floats)


def take_rest(snapshot: Snapshot, callbacks: list[Any], **more: Any) -> None:
    """Add the callbacks' state and the random streams of Python and NumPy to a snapshot."""
    snapshot.rest = {
        **more,
        "callbacks": [
            {"class": type(c).__name__, "state": _callback_state(c, snapshot.arrays)}
            for c in callbacks
        ],
        "python": _pack(random.getstate(), snapshot.arrays),
        "numpy": _pack(np.random.get_state(), snapshot.arrays),  # noqa: NPY002 - the user's
    }


def put_weights(subject: Subject, snapshot: Snapshot) -> None:
    """Give the model the weights of the snapshot; optimizers and seeds stay as they are."""
    variables, arrays = subject.variables(), snapshot.model
    _check(variables, arrays, snapshot.paths)
    for variable, array in zip(variables, arrays, strict=True):
        if "seed_generator" not in str(getattr(variable, "path", "")):
            variable.assign(array)


def put(subject: Subject, snapshot: Snapshot, *, keep_rate: bool = False) -> None:
    """Give model, optimizers and seeds the state of the snapshot.

    ``keep_rate`` leaves the learning rate in force, for going back within a run.
    """
    variables, groups = subject.variables(), subject.optimizers()
    _check(variables, snapshot.model, snapshot.paths)
    if [len(g) for g in groups] != [len(g) for g in snapshot.optimizers]:
        message = "The saved run used another optimizer than this model has."
        raise UserError(message)
    pairs = [*zip(variables, snapshot.model, strict=True), *zip(subject.extra, snapshot.extra)]  # noqa: B905 - options may have changed
    for variable, array in pairs:
        variable.assign(array)
    for group, arrays in zip(groups, snapshot.optimizers, strict=True):
        for variable, array in zip(group, arrays, strict=True):
            if not (keep_rate and "learning_rate" in str(getattr(variable, "path", variable.name))):
                variable.assign(array)
    seed = subject.framework.global_seed()
    if seed is not None and snapshot.seed is not None:
        seed.assign(snapshot.seed)


def put_rest(snapshot: Snapshot, callbacks: list[Any]) -> list[str]:
    """Put callbacks' state and random streams back; return the callbacks that do not match."""
    saved = snapshot.rest["callbacks"]
    unmatched = [type(c).__name__ for c in callbacks[len(saved) :]]
    for callback, entry in zip(callbacks, saved, strict=False):
        if type(callback).__name__ == entry["class"]:
            vars(callback).update(_unpack(entry["state"], snapshot.arrays))
        else:
            unmatched.append(type(callback).__name__)
    random.setstate(_unpack(snapshot.rest["python"], snapshot.arrays))
    np.random.set_state(_unpack(snapshot.rest["numpy"], snapshot.arrays))  # noqa: NPY002
    return unmatched


def save(snapshot: Snapshot, path: Path) -> None:
    """Write the snapshot so that ``path`` holds either the old or the new one, never half."""
    arrays = {f"model.{i}": a for i, a in enumerate(snapshot.model)}
    for number, group in enumerate(snapshot.optimizers):
        arrays |= {f"optimizer.{number}.{i}": a for i, a in enumerate(group)}
    arrays |= {f"extra.{i}": a for i, a in enumerate(snapshot.extra)}
    arrays |= {f"rest.{k}": a for k, a in snapshot.arrays.items()}
    if snapshot.seed is not None:
        arrays["seed"] = snapshot.seed
    header = {
        "epoch": snapshot.epoch,
        "paths": snapshot.paths,
        "extra": len(snapshot.extra),
        "optimizers": [len(g) for g in snapshot.optimizers],
        "rest": snapshot.rest,
        "dtypes": {k: a.dtype.name for k, a in arrays.items() if a.dtype.kind == "V"},
    }
    arrays = {k: a.view(np.uint8) if a.dtype.kind == "V" else a for k, a in arrays.items()}
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    part = path.with_suffix(".part")
    try:
        with part.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def load(path: Path) -> Snapshot:
    """Read a snapshot; ``UserError`` if the file is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            header = json.loads(file["header"].tobytes())
            kinds = header["dtypes"]
            arrays = {k: _as(file[k], kinds.get(k)) for k in file.files if k != "header"}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        why = type(error).__name__
        message = f"{path} cannot be read ({why}); without --resume the run starts afresh."
        raise UserError(message) from error
    return Snapshot(
        epoch=header["epoch"],
        model=[arrays[f"model.{i}"] for i in range(len(header["paths"]))],
        extra=[arrays[f"extra.{i}"] for i in range(header["extra"])],
        optimizers=[
            [arrays[f"optimizer.{n}.{i}"] for i in range(size)]
            for n, size in enumerate(header["optimizers"])
        ],
        paths=header["paths"],
        seed=arrays.get("seed"),
        rest=header["rest"],
        arrays={k.removeprefix("rest."): a for k, a in arrays.items() if k.startswith("rest.")},
    )


def _as(array: Array, name: str | None) -> Array:
    if name is None:
        return array
    import ml_dtypes  # noqa: PLC0415 - only for bfloat16 and its like

    return array.view(getattr(ml_dtypes, name))


def _check(variables: list[Any], arrays: list[Array], paths: list[str]) -> None:
    ours = [tuple(v.shape) for v in variables]
    theirs = [a.shape for a in arrays]
    if ours == theirs:
        return
    if len(ours) != len(theirs):
        what = f"{len(theirs)} weights, this model has {len(ours)}"
    else:
        at = next(i for i, pair in enumerate(zip(ours, theirs, strict=True)) if pair[0] != pair[1])
        what = f"{paths[at]} with shape {theirs[at]}, this model has {ours[at]}"
    message = f"The saved run has {what}."
    raise UserError(message)


def _callback_state(callback: Any, arrays: dict[str, Array]) -> dict[str, Any]:
    state = {}
    for name, value in vars(callback).items():
        if name not in ("model", "_model", "params", "validation_data") and _is_plain(value):
            state[name] = _pack(value, arrays)
    return state


def _is_plain(value: Any) -> bool:
    if value is None or isinstance(value, bool | int | float | str | np.number | np.bool_):
        return True
    if isinstance(value, np.ndarray):
        return bool(value.dtype != object)
    if isinstance(value, list | tuple):
        return len(value) < _MAX_PLAIN and all(_is_plain(v) for v in value)
    if isinstance(value, dict):
        return all(isinstance(k, str) and _is_plain(v) for k, v in value.items())
    return False


def _pack(value: Any, arrays: dict[str, Array]) -> Any:
    """Turn plain values into JSON; arrays go into ``arrays`` and leave their key."""
    if isinstance(value, np.ndarray | np.number | np.bool_):
        key = str(len(arrays))
        arrays[key] = np.array(value, copy=True)
        return {"$": "array" if isinstance(value, np.ndarray) else "number", "key": key}
    if isinstance(value, tuple):
        return {"$": "tuple", "items": [_pack(v, arrays) for v in value]}
    if isinstance(value, list):
        return [_pack(v, arrays) for v in value]
    if isinstance(value, dict):
        return {"$": "dict", "items": {k: _pack(v, arrays) for k, v in value.items()}}
    return value


def _unpack(value: Any, arrays: dict[str, Array]) -> Any:
    if isinstance(value, list):
        return [_unpack(v, arrays) for v in value]
    if not isinstance(value, dict):
        return value
    kind = value.get("$")
    if kind in ("array", "number"):
        return arrays[value["key"]] if kind == "array" else arrays[value["key"]][()]
    if kind == "tuple":
        return tuple(_unpack(v, arrays) for v in value["items"])
    items = value["items"] if kind == "dict" else value
    return {k: _unpack(v, arrays) for k, v in items.items()}
