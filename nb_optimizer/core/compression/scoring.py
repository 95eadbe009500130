"""How good predictions are, and how sure one can be of a difference.

Two models are always compared on the same rows: the difference of each row's value has a far
smaller spread than the two means.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from nb_optimizer.core.errors import UserError, nearest

Array = np.ndarray[Any, Any]
_Z = 1.96  # 95 % of a normal distribution


@dataclass(frozen=True)
class Metric:
    """One value for each row; ``sign`` is 1 where more is better, -1 where less is."""

    name: str
    sign: int
    rows: Callable[[Array, Array], Array]
    relative: bool = False  # a loss is a share of the float model's value, not points

    def score(self, labels: Array, predictions: Array) -> float:
        """Return the mean over the rows."""
        return float(np.mean(self.rows(labels, predictions)))


@dataclass(frozen=True)
class Difference:
    """A loss against the float model with its 95 % interval; positive is worse."""

    drop: float
    low: float
    high: float


def choose(name: str, labels: Array, outputs: Array, compiled: list[str]) -> Metric:
    """Return the metric called ``name``, or the one that fits labels and outputs.

    Raises:
        UserError: an unknown metric, or one that does not fit.
    """
    if name:
        if name not in METRICS:
            message = f'There is no metric "{name}".{_known(name)}'
            raise UserError(message)
        return METRICS[name]
    named = next((METRICS[n] for n in compiled if n in METRICS), None)
    if named is not None:
        return named
    classes = outputs.ndim > 1 and outputs.shape[-1] > 1
    whole = np.issubdtype(labels.dtype, np.integer) or labels.dtype == bool
    one_hot = classes and labels.shape == outputs.shape and _is_one_hot(labels)
    if (classes and (one_hot or (whole and labels.ndim < outputs.ndim))) or _is_binary(labels):
        return METRICS["accuracy"]
    return METRICS["mae"]


def compare(metric: Metric, labels: Array, float_out: Array, out: Array) -> Difference:
    """Return the loss of ``out`` against ``float_out`` on the same rows.

    For values of 0 and 1 the interval is that of Agresti and Min (2005, "Simple improved
    confidence intervals for comparing matched proportions"): half a row is added to each of
    the four cells, so that it has a width even where no row differs. Else it is the normal one.
    """
    before, after = metric.rows(labels, float_out), metric.rows(labels, out)
    lost = metric.sign * (before - after)
    drop = float(np.mean(lost))
    scale = 1.0
    if metric.relative:
        scale = abs(float(np.mean(before))) or 1.0
    if set(np.unique(lost)) <= {-1.0, 0.0, 1.0}:
        low, high = _matched(int(np.sum(lost > 0)), int(np.sum(lost < 0)), len(lost))
    else:
        half = _Z * float(np.std(lost, ddof=1)) / math.sqrt(len(lost)) if len(lost) > 1 else 0.0
        low, high = drop - half, drop + half
    return Difference(drop / scale, min(low, drop) / scale, max(high, drop) / scale)


def agreement(float_out: Array, out: Array) -> float:
    """Return the share of rows on which both say the same; for numbers, their correlation."""
    if float_out.ndim > 1 and float_out.shape[-1] > 1:
        return float(np.mean(float_out.argmax(-1) == out.argmax(-1)))
    a, b = float_out.ravel().astype("float64"), out.ravel().astype("float64")
    if not (a.std() and b.std()):
        return float(np.allclose(a, b, atol=1e-3))
    return float(np.corrcoef(a, b)[0, 1])


def resolution(rows: int) -> float:
    """Return the half width of a paired interval where 2 % of the rows change, in shares."""
    return _Z * math.sqrt(0.02 / rows)


def _matched(lost: int, won: int, rows: int) -> tuple[float, float]:
    lost_, won_, all_ = lost + 0.5, won + 0.5, rows + 2.0
    middle = (lost_ - won_) / all_
    half = _Z * math.sqrt(max(0.0, lost_ + won_ - (lost_ - won_) ** 2 / all_)) / all_
    return middle - half, middle + half


def _classes(labels: Array, outputs: Array) -> tuple[Array, Array]:
    if outputs.ndim > 1 and outputs.shape[-1] > 1:
        if labels.shape == outputs.shape:
            labels = labels.argmax(-1)
        return labels.reshape(outputs.shape[:-1]), outputs.argmax(-1)
    return labels.reshape(-1), (outputs.reshape(-1) > _threshold(outputs)).astype(int)


def _threshold(outputs: Array) -> float:
    return 0.5 if outputs.min() >= -1e-3 and outputs.max() <= 1.001 else 0.0  # noqa: PLR2004


def _accuracy(labels: Array, outputs: Array) -> Array:
    right, said = _classes(labels, outputs)
    return _by_row((right == said).astype("float64"))


def _top5(labels: Array, outputs: Array) -> Array:
    right, _ = _classes(labels, outputs)
    best = np.argsort(outputs, axis=-1)[..., -5:]
    return _by_row((best == right[..., None]).any(-1).astype("float64"))


def _absolute(labels: Array, outputs: Array) -> Array:
    return _by_row(np.abs(_like(labels, outputs) - outputs.astype("float64")))


def _square(labels: Array, outputs: Array) -> Array:
    return _by_row((_like(labels, outputs) - outputs.astype("float64")) ** 2)


def _like(labels: Array, outputs: Array) -> Array:
    if labels.size != outputs.size:
        message = f"The labels have shape {labels.shape}, the model's output {outputs.shape}."
        raise UserError(message)
    return np.asarray(labels.reshape(outputs.shape), "float64")


def _by_row(values: Array) -> Array:
    return np.asarray(values.reshape(len(values), -1).mean(axis=1))


def _is_binary(labels: Array) -> bool:
    return labels.size == len(labels) and set(np.unique(labels)) <= {0, 1}


def _is_one_hot(labels: Array) -> bool:
    return bool(np.isin(labels, (0, 1)).all() and (labels.sum(-1) == 1).all())


def _known(name: str) -> str:
    return nearest(name, METRICS) or f" Known are {', '.join(METRICS)}."


METRICS: dict[str, Metric] = {
    "accuracy": Metric("accuracy", 1, _accuracy),
    "top5": Metric("top5", 1, _top5),
    "mae": Metric("mae", -1, _absolute, relative=True),
    "mse": Metric("mse", -1, _square, relative=True),
}
ALIASES = {
    "acc": "accuracy",
    "sparse_categorical_accuracy": "accuracy",
    "categorical_accuracy": "accuracy",
    "binary_accuracy": "accuracy",
    "mean_absolute_error": "mae",
    "mean_squared_error": "mse",
}
