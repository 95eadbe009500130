"""The variables a cell needs, on their way to another process, and what it made on the way back.

Everything lies in a folder that is private to the user and belongs to one job: arrays as ``.npy``,
models as ``.keras``, the rest as pickles that only this job's processes write and read.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import json
import pickle
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from nb_optimizer.core.errors import UserError
from nb_optimizer.core.training import framework as frameworks
from nb_optimizer.core.training import state

_OWN, _REST, _INDEX = "own.pickle", "rest.pickle", "index.json"
_SHELL = {"In", "Out", "get_ipython", "exit", "quit", "_", "__", "___"}
_LARGEST = 2**28  # bytes of one returned value that is neither an array nor a model
REFUSAL = (
    "this cell cannot run in a process of its own, because it reads {what}. Make it in the cell."
)
_UNPICKLABLE = (  # what pickling raises where it fails; RecursionError is a RuntimeError
    pickle.PicklingError,
    AttributeError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)
Names = dict[str, Any]


def needed(source: str, names: Names) -> Names:
    """Return the variables of ``names`` that the code reads.

    Raises:
        UserError: the code uses the notebook itself, which another process does not have.
    """
    read = set(_read(ast.parse(source)))
    if "get_ipython" in read:
        message = (
            "this cell uses % or ! commands, which a process of its own does not have. Move them "
            "to another cell."
        )
        raise UserError(message)
    wanted = read - _SHELL - set(dir(builtins))
    found = {name: names[name] for name in sorted(wanted & set(names))}
    if any(_is_model(v) for v in found.values()):  # may consist of any of the user's functions
        own = {n: v for n, v in names.items() if getattr(v, "__module__", "") == "__main__"}
        found |= {n: v for n, v in own.items() if callable(v) and not _why_not(v)}
    return found


def words(source: str) -> set[str]:
    """Return all names that the code reads or binds at its top level or inside."""
    return {n.id for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Name)}


def _read(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


def pack(names: Names, folder: Path, refusal: str = REFUSAL) -> None:
    """Write variables into ``folder``.

    Raises:
        UserError: some of them cannot leave this process; ``refusal`` says which (``what``).
    """
    folder.mkdir(mode=0o700)
    arrays = {n: v for n, v in names.items() if _is_array(v)}
    models = {n: v for n, v in names.items() if _is_model(v)}
    rest = {n: _plain(v) for n, v in names.items() if n not in arrays and n not in models}
    refused = {n: why for n, v in rest.items() if (why := _why_not(v))}
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)
    for name, model in models.items():
        try:
            if model.built:  # else its optimizer would come out half built
                state.Subject(frameworks.of(model), model).optimizers()
            model.save(folder / f"{name}.keras")
        except (TypeError, ValueError, NotImplementedError) as error:
            refused[name] = _first_line(error)
    if refused:
        what = "; ".join(f"{n}: {why}" for n, why in refused.items())
        raise UserError(refusal.format(what=what))
    _write(folder, arrays, models, rest, {}, {})


def unpack(folder: Path, refusal: str = REFUSAL) -> Names:
    """Read the variables in ``folder``, models with the classes and functions that came along.

    Raises:
        UserError: a model cannot be built again; ``refusal`` says which (``what``).
    """
    index = json.loads((folder / _INDEX).read_text())
    names, own = _load(folder, index, {})
    for name in index["models"]:
        try:
            names[name] = load_model(folder / f"{name}.keras", own)
        except (TypeError, ValueError, NotImplementedError, AttributeError) as error:
            sentence = " ".join(str(error).split()).partition(". ")[0]
            raise UserError(refusal.format(what=f"{name}: {sentence[:150]}")) from error
    return names


def load_model(path: Path, own: Names) -> Any:
    """Read a model; ``own`` are the user's classes and functions it may consist of."""
    saving = importlib.import_module("keras").saving
    return saving.load_model(path, custom_objects=own, safe_mode=True)


def bring(before: Names, after: Names, folder: Path) -> None:
    """Write what a cell has made or changed into ``folder``, as far as it can travel."""
    folder.mkdir(mode=0o700)
    made = {
        n: v
        for n, v in after.items()
        if not n.startswith("_") and (n not in before or before[n] is not v or _is_model(v))
    }
    arrays = {n: v for n, v in made.items() if _is_array(v)}
    models = {n: v for n, v in made.items() if _is_model(v)}
    rest = {n: _plain(v) for n, v in made.items() if n not in arrays and n not in models}
    trained = {
        name: next((m for m, model in models.items() if v.model is model), "")
        for name, v in made.items()
        if _is_history(v)
    }
    left = {n: why for n, v in rest.items() if (why := _why_not(v))}
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)
    for name, model in models.items():
        _save_model(folder, name, model)
    _write(folder, arrays, models, {n: v for n, v in rest.items() if n not in left}, left, trained)


def receive(folder: Path, names: Names) -> tuple[Names, list[str]]:
    """Read what came back: new values, and sentences about what did not.

    A model that ``names`` already holds gets the state of its trained twin instead.
    """
    index = json.loads((folder / _INDEX).read_text())
    told = [f"{n} stays in the worker process: {why}" for n, why in index["left"].items()]
    values, own = _load(folder, index, names)
    for name in index["models"]:
        try:
            values[name] = _returned(folder, name, names.get(name), own)
        except (UserError, TypeError, ValueError, OSError, KeyError) as error:
            told.append(
                f"{name} cannot be rebuilt here ({_first_line(error)}); build it, then call "
                f"run.load_best({name})"
            )
    for name, model in index["trained"].items():
        if name in values and model in values:
            values[name].set_model(values[model])
    return values, told


def _returned(folder: Path, name: str, known: Any, own: Names) -> Any:
    if known is None or not _is_model(known):
        return load_model(folder / f"{name}.keras", own)
    subject = state.Subject(frameworks.of(known), known)
    if not known.built:
        twin = load_model(folder / f"{name}.keras", own)
        known.build(twin.inputs[0].shape)
    state.put(subject, state.load(folder / f"{name}.npz"))
    return known


def _save_model(folder: Path, name: str, model: Any) -> None:
    if model.built:
        subject = state.Subject(frameworks.of(model), model)
        state.save(state.take(subject, 0), folder / f"{name}.npz")
    try:
        model.save(folder / f"{name}.keras")
    except (TypeError, ValueError, NotImplementedError):
        return  # its state is there; receive() says what is missing where that matters


def _write(  # noqa: PLR0913, PLR0917 - what a folder holds
    folder: Path,
    arrays: Names,
    models: Names,
    rest: Names,
    left: dict[str, str],
    trained: dict[str, str],
) -> None:
    """Write all but the models; ``trained`` says which model a history is of."""
    cloudpickle: Any = importlib.import_module("cloudpickle")
    own = {n: v for n, v in rest.items() if _is_code(v)}
    for name, part in ((_OWN, own), (_REST, {n: v for n, v in rest.items() if n not in own})):
        with (folder / name).open("wb") as file:
            cloudpickle.dump(part, file)
    index = {"arrays": list(arrays), "models": list(models), "left": left, "trained": trained}
    (folder / _INDEX).write_text(json.dumps(index))


def _load(folder: Path, index: dict[str, Any], known: Names) -> tuple[Names, Names]:
    """Read all but the models; return it, and the code that models may consist of."""
    saving = importlib.import_module("keras").saving
    with (folder / _OWN).open("rb") as file:
        names: Names = pickle.load(file)  # noqa: S301 - our own job's private folder
    own = {n: v for n, v in {**known, **names}.items() if _is_code(v)}
    with (folder / _REST).open("rb") as file, saving.custom_object_scope(own):
        names |= pickle.load(file)  # noqa: S301 - as above
    for name in index["arrays"]:
        names[name] = np.load(folder / f"{name}.npy", allow_pickle=False)
    return names, own


def _is_code(value: Any) -> bool:
    return isinstance(value, type | types.FunctionType)


def _is_array(value: Any) -> bool:
    return type(value) is np.ndarray and not value.dtype.hasobject


def _is_model(value: Any) -> bool:
    loaded = (sys.modules.get(name) for name in ("keras", "tf_keras"))
    return any(isinstance(value, m.Model) for m in loaded if m is not None)


def _is_history(value: Any) -> bool:
    return type(value).__name__ == "History" and hasattr(value, "history")


def _plain(value: Any) -> Any:
    """Return a ``History`` without its model, which travels by itself."""
    if not _is_history(value):
        return value
    copy = type(value)()
    copy.history, copy.epoch, copy.params = value.history, value.epoch, value.params
    return copy


def _why_not(value: Any) -> str:
    """Return why a value cannot leave this process, or an empty string."""
    kind = type(value).__name__
    tf = sys.modules.get("tensorflow")
    if tf is not None and isinstance(value, tf.data.Dataset | tf.Variable):
        return f"a {'tf.data.Dataset' if hasattr(value, 'batch') else kind} lives in its process"
    cloudpickle: Any = importlib.import_module("cloudpickle")
    try:
        size = len(cloudpickle.dumps(value))
    except _UNPICKLABLE as error:
        return f"a {kind} cannot be copied ({_first_line(error)})"
    return f"a {kind} of {size / 2**20:,.0f} MB is too large" if size > _LARGEST else ""


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:150]
