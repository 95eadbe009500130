"""Takes what a cell reads out of the kernel, and gives it to workers.

Arrays become files that every worker opens by memory map, one for each content; modules are
imported again; ``tf.data`` sets are saved element by element; everything else is pickled by
value into the job's own folder.
"""

from __future__ import annotations

import hashlib
import os
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nb_optimizer.core.errors import UserError, nearest
from nb_optimizer.core.jobs import folder as places

Captured = dict[str, dict[str, Any]]  # name to how it was kept
_SMALL = 4096  # bytes; smaller arrays are pickled with the rest


def capture(names: Mapping[str, Any], wanted: set[str], folder: Path) -> Captured:
    """Write the wanted names of a namespace into a job's folder; return where each one is.

    Raises:
        UserError: a name does not exist, or its value cannot leave this process.
    """
    missing = sorted(n for n in wanted if n not in names)
    if missing:
        known = [n for n in names if not n.startswith("_")]
        message = (
            f'The cell reads "{missing[0]}", which does not exist.{nearest(missing[0], known)}'
        )
        raise UserError(message)
    for place in (places.ARRAYS, places.OBJECTS, places.DATA):
        (folder / place).mkdir(mode=0o700, exist_ok=True)
    return {name: _keep(name, names[name], folder) for name in sorted(wanted)}


def restore(captured: Captured, folder: Path) -> dict[str, Any]:
    """Give a worker what was captured; arrays may be written to without touching the file."""
    values: dict[str, Any] = {}
    for name, entry in captured.items():
        values[name] = _LOADERS[entry["kind"]](entry, folder)
    return values


def _keep(name: str, value: Any, folder: Path) -> dict[str, Any]:
    if isinstance(value, types.ModuleType):
        return _module(name, value)
    if type(value) is np.ndarray and value.dtype != object and value.nbytes > _SMALL:
        return _array(value, folder)
    if _is_dataset(value):
        return _dataset(name, value, folder)
    return _object(name, value, folder)


def _module(name: str, module: types.ModuleType) -> dict[str, Any]:
    if module.__name__ == "__main__" or module.__name__ not in sys.modules:
        message = f"{name} is a module that workers cannot import again; put it into a file."
        raise UserError(message)
    return {"kind": "module", "module": module.__name__}


def _array(value: np.ndarray[Any, Any], folder: Path) -> dict[str, Any]:
    whole = np.ascontiguousarray(value)
    head = f"{whole.dtype.str}{whole.shape}".encode()
    digest = hashlib.blake2b(head, digest_size=16)
    digest.update(whole.view(np.uint8).reshape(-1).data if whole.nbytes else b"")
    file = folder / places.ARRAYS / f"{digest.hexdigest()}.npy"
    if not file.is_file():
        part = file.with_suffix(".part")
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            np.save(out, whole, allow_pickle=False)
        part.replace(file)
    return {"kind": "array", "file": file.name}


def _is_dataset(value: Any) -> bool:
    tf = sys.modules.get("tensorflow")
    return tf is not None and isinstance(value, tf.data.Dataset)


def _dataset(name: str, value: Any, folder: Path) -> dict[str, Any]:
    if value.cardinality().numpy() == -1:  # INFINITE_CARDINALITY
        message = (
            f"{name} is an endless tf.data set, which cannot be handed to workers; "
            "build it inside the cell, or in a function that the cell calls."
        )
        raise UserError(message)
    target = folder / places.DATA / name
    value.save(str(target))
    return {"kind": "dataset", "file": name}


def _object(name: str, value: Any, folder: Path) -> dict[str, Any]:
    import cloudpickle  # noqa: PLC0415 - only where something is captured

    try:
        data = cloudpickle.dumps(value)
    except Exception as error:  # a guarded place: objects raise anything when pickled
        why = " ".join(str(error).split())[:160]
        message = (
            f"{name} ({type(value).__name__}) cannot be handed to workers "
            f"({type(error).__name__}: {why}); build it inside the cell."
        )
        raise UserError(message) from error
    file = folder / places.OBJECTS / f"{name}.pkl"
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        out.write(data)
    return {"kind": "object", "file": file.name}


def _load_module(entry: Mapping[str, Any], folder: Path) -> Any:  # noqa: ARG001 - a loader
    import importlib  # noqa: PLC0415 - as above

    return importlib.import_module(entry["module"])


def _load_array(entry: Mapping[str, Any], folder: Path) -> Any:
    # "c": writes of the cell stay in its own memory. A plain array, as the cell would have had.
    return np.load(folder / places.ARRAYS / entry["file"], mmap_mode="c").view(np.ndarray)


def _load_dataset(entry: Mapping[str, Any], folder: Path) -> Any:
    import tensorflow as tf  # noqa: PLC0415 - only in workers

    return tf.data.Dataset.load(str(folder / places.DATA / entry["file"]))


def _load_object(entry: Mapping[str, Any], folder: Path) -> Any:
    import cloudpickle  # noqa: PLC0415 - only in workers

    # Written by this user's own kernel into a folder that only this user can write to.
    return cloudpickle.loads((folder / places.OBJECTS / entry["file"]).read_bytes())


_LOADERS = {
    "module": _load_module,
    "array": _load_array,
    "dataset": _load_dataset,
    "object": _load_object,
}
