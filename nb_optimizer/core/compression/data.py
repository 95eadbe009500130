"""Held-out and training data as arrays, checked before anything is made of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from nb_optimizer.core.errors import UserError

Array = np.ndarray[Any, Any]
_CALIBRATION_ROWS = 256
_FEW = 200  # held-out rows below which no interval is of use
_COMPARED = 20_000  # rows that are compared to find the test data in the training data


@dataclass(frozen=True)
class Data:
    """Inputs by name in the order of the model, and the labels of its first output.

    ``targets`` are the labels of all outputs as the user gave them, for training.
    """

    inputs: dict[str, Array]
    labels: Array | None = None
    targets: Any = None

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    def take(self, rows: Any) -> Data:
        """Return these rows."""
        labels = None if self.labels is None else self.labels[rows]
        targets = _each(self.targets, lambda a: a[rows])
        return Data({n: a[rows] for n, a in self.inputs.items()}, labels, targets)

    def for_keras(self) -> Any:
        """Return the inputs as the model takes them: an array, a list or a dict."""
        values = list(self.inputs.values())
        if all(n.startswith("args_0") for n in self.inputs):
            return values[0] if len(values) == 1 else values
        return dict(self.inputs)


def read(model: Any, data: Any, role: str) -> Data:
    """Return ``data`` as arrays that fit ``model``.

    Args:
        model: a built Keras model.
        data: ``(x, y)``, a ``tf.data.Dataset`` or a ``PyDataset`` that yields such pairs.
        role: ``--data`` or ``--train``, for messages.

    Raises:
        UserError: no labels, no rows, unequal lengths, shapes that the model does not take.
    """
    x, y = _pair(data, role)
    inputs = _named(model, x, role)
    labels = _first(y)
    rows = {len(a) for a in [*inputs.values(), labels]}
    if len(rows) > 1:
        told = " and ".join(str(len(a)) for a in [*inputs.values(), labels])
        message = f"{role}: inputs and labels have different lengths: {told} rows."
        raise UserError(message)
    if not len(labels):
        message = f"{role}: there are no rows in it."
        raise UserError(message)
    _check_shapes(model, inputs, role)
    return Data(inputs, labels, _each(y, np.asarray))


def split(
    held_out: Data, train: Data | None, seed: int, tell: Callable[[str], None]
) -> tuple[Data, Data]:
    """Return what is scored and what is calibrated with; they never share a row.

    Raises:
        UserError: too few held-out rows to take some for calibration.
    """
    rng = np.random.default_rng(seed)
    if train is not None:
        rows = rng.permutation(len(train))[:_CALIBRATION_ROWS]
        return held_out, train.take(np.sort(rows))
    order = rng.permutation(len(held_out))
    count = min(_CALIBRATION_ROWS, len(order) // 5)
    if not count:
        message = f"--data has {len(order)} rows, too few to score anything with."
        raise UserError(message)
    tell(
        f"without --train, {count} rows were taken out of --data to calibrate with; "
        "they are not scored"
    )
    rest, taken = np.sort(order[count:]), np.sort(order[:count])
    return held_out.take(rest), held_out.take(taken)


def check_apart(held_out: Data, train: Data | None) -> None:
    """Raise ``UserError`` where held-out rows are also training or calibration rows."""
    if train is None:
        return
    seen = set(_digests(train))
    test = _digests(held_out)
    share = sum(d in seen for d in test) / len(test)
    if share > 0.5:  # noqa: PLR2004 - more than chance repetitions of simple rows
        message = (
            f"--train holds {share:.0%} of the rows of --data: what is scored must not be "
            "trained or calibrated on. Give held-out data to --data."
        )
        raise UserError(message)


def few_rows(held_out: Data) -> str:
    """Return a word of warning where the held-out data are too few, or nothing."""
    if len(held_out) >= _FEW:
        return ""
    return (
        f"only {len(held_out)} held-out rows: differences of a few points cannot be told from "
        "chance; give more to --data"
    )


def _digests(data: Data) -> list[bytes]:
    rows = min(len(data), _COMPARED)
    arrays = [np.ascontiguousarray(a[:rows]) for a in data.inputs.values()]
    return [
        hashlib.blake2b(b"".join(a[i].tobytes() for a in arrays), digest_size=12).digest()
        for i in range(rows)
    ]


def _pair(data: Any, role: str) -> tuple[Any, Any]:
    if isinstance(data, tuple | list) and len(data) == 2:  # noqa: PLR2004 - inputs and labels
        return data[0], data[1]
    if hasattr(data, "as_numpy_iterator"):
        batches = list(data.as_numpy_iterator())
    elif hasattr(data, "__getitem__") and hasattr(data, "num_batches"):
        batches = [data[i] for i in range(data.num_batches)]
    else:
        message = f"{role} takes x,y or a data set of (x, y) batches, got {_said(data)}."
        raise UserError(message)
    if not batches or not isinstance(batches[0], tuple | list) or len(batches[0]) < 2:  # noqa: PLR2004
        message = f"{role}: the data set must yield (x, y) batches."
        raise UserError(message)
    return _joined([b[0] for b in batches]), _joined([b[1] for b in batches])


def _said(data: Any) -> str:
    if isinstance(data, tuple | list):
        return f"{len(data)} values"
    return f"a {type(data).__name__}"


def _joined(parts: list[Any]) -> Any:
    if isinstance(parts[0], dict):
        return {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}
    if isinstance(parts[0], tuple | list):
        return [np.concatenate(column) for column in zip(*parts, strict=True)]
    return np.concatenate([np.asarray(p) for p in parts])


def _named(model: Any, x: Any, role: str) -> dict[str, Array]:
    """Name inputs as an exported file does: by key, or ``args_0``, ``args_0_1``, ..."""
    if isinstance(x, dict):
        wanted = sorted(i.name.partition(":")[0] for i in getattr(model, "inputs", None) or [])
        wanted = wanted or sorted(x)
        if missing := [n for n in wanted if n not in x]:
            message = f"{role}: the model's input {missing[0]!r} is not in it."
            raise UserError(message)
        return {n: _array(x[n]) for n in wanted}
    several = isinstance(x, tuple | list) and len(getattr(model, "inputs", None) or []) > 1
    values = [_array(v) for v in (x if several else [x])]
    return {"args_0" + (f"_{i}" if i else ""): v for i, v in enumerate(values)}


def _each(values: Any, call: Callable[[Any], Any]) -> Any:
    if isinstance(values, dict):
        return {k: call(v) for k, v in values.items()}
    if isinstance(values, tuple | list) and values and np.ndim(values[0]) > 0:
        return [call(v) for v in values]
    return None if values is None else call(values)


def _array(value: Any) -> Array:
    array = np.asarray(value)
    return array.astype("float32") if array.dtype == np.float64 else array


def _first(y: Any) -> Array:
    value = next(iter(y.values())) if isinstance(y, dict) else y
    if isinstance(value, tuple | list) and value and np.ndim(value[0]) > 0:
        value = value[0]
    array = np.asarray(value)
    if array.dtype == object:
        message = "The labels must be numbers."
        raise UserError(message)
    return array


def _check_shapes(model: Any, inputs: dict[str, Array], role: str) -> None:
    expected = list(getattr(model, "inputs", None) or [])
    if expected and len(expected) != len(inputs):
        message = f"{role}: the model takes {len(expected)} inputs, got {len(inputs)}."
        raise UserError(message)
    by_name = {i.name.partition(":")[0]: i for i in expected}
    for position, (name, array) in enumerate(inputs.items()):
        if not expected:
            continue
        symbolic = by_name.get(name, expected[position])
        want, got = tuple(symbolic.shape[1:]), array.shape[1:]
        fits = len(want) == len(got) and all(w in (None, g) for w, g in zip(want, got, strict=True))
        if not fits:
            message = f"{role}: the model takes rows of shape {want}, got {got}."
            raise UserError(message)
