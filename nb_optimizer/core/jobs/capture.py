"""Takes what a cell reads out of the kernel, and gives it to workers.

Arrays become files that every worker opens by memory map, one for each content; modules are
imported again; ``tf.data`` sets are saved element by element; everything else is pickled by
value into the job's own folder.
"""

from __future__ import annotations

import hashlib
import os
import shutil
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
_MOST = 4_000_000_000  # bytes of a tf.data set


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


def remarks(captured: Captured) -> list[str]:
    """Return what somebody should know about what was captured."""
    sets = sorted(name for name, entry in captured.items() if entry["kind"] == "dataset")
    return [
        f"{name} (tf.data) was read once for the workers: its shuffling and random changes are "
        "those of that pass; build it inside the cell to have new ones in each epoch"
        for name in sets
    ]


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
    import tensorflow as tf  # noqa: PLC0415 - loaded already, where there is a tf.data set

    how = "build it inside the cell, or in a function that the cell calls."
    if value.cardinality().numpy() == tf.data.INFINITE_CARDINALITY:
        message = f"{name} is an endless tf.data set, which cannot be handed to workers; {how}"
        raise UserError(message)
    most = min(_MOST, shutil.disk_usage(folder).free // 2)
    try:
        rows, size = _measured(value, most)
    except tf.errors.OpError as error:
        why = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        message = f"{name} is a tf.data set that cannot be read ({why}); {how}"
        raise UserError(message) from error
    if size > most:
        message = (
            f"{name} is a tf.data set of more than {most / 1e6:,.0f} MB, "
            f"too much to be handed to workers; {how}"
        )
        raise UserError(message)
    target = folder / places.DATA / name
    shutil.rmtree(target, ignore_errors=True)
    value.save(str(target))
    if tf.data.Dataset.load(str(target)).cardinality().numpy() != rows:
        message = f"{name} is a tf.data set that differs each time it is read; {how}"
        raise UserError(message)
    return {"kind": "dataset", "file": name, "classes": getattr(value, "class_names", None)}


def _measured(value: Any, most: int) -> tuple[int, int]:
    """Return how many rows a set has and their bytes, read no further than beyond ``most``.

    Many a set does not know its length, and some of those have no end; and ``save`` never
    returns from a set that fails.
    """
    import tensorflow as tf  # noqa: PLC0415 - as above

    def size(part: Any) -> Any:
        if part.dtype == tf.string:
            return tf.reduce_sum(tf.cast(tf.strings.length(part), tf.int64))
        return tf.size(part, tf.int64) * part.dtype.size

    def count(total: Any, *row: Any) -> tuple[Any, Any]:
        after = total + tf.add_n([size(p) for p in tf.nest.flatten(row, expand_composites=True)])
        return after, (total, after)

    zero = tf.constant(0, tf.int64)
    read = value.scan(zero, count).take_while(lambda before, _: before <= most)
    rows, total = read.reduce((zero, zero), lambda state, row: (state[0] + 1, row[1]))
    return int(rows), int(total)


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

    found = tf.data.Dataset.load(str(folder / places.DATA / entry["file"]))
    if entry["classes"] is not None:  # what Keras leaves at sets read from a folder
        found.class_names = entry["classes"]
    return found


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
