"""Likely causes of a loss that is not a number, from what can be checked at once."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

_ROWS = 4096  # looked at per array
_HIGH_RATE = 0.05


def is_finite(loss: float) -> bool:
    """Whether the loss is a number."""
    return math.isfinite(loss)


def causes(model: Any, arguments: dict[str, Any], rate: float | None) -> list[str]:
    """Return what may have made the loss NaN or infinite, the surest first."""
    found = [
        text
        for name, label in (("x", "the input"), ("y", "the targets"))
        for text in _bad_values(arguments.get(name), label)
    ]
    if rate is not None and rate >= _HIGH_RATE:
        found.append(f"the learning rate is high ({rate:g}); try a tenth of it")
    optimizer = getattr(model, "optimizer", None)
    clips = [getattr(optimizer, n, None) for n in ("clipnorm", "clipvalue", "global_clipnorm")]
    if optimizer is not None and not any(clips):
        found.append("gradients are not clipped; try clipnorm=1.0 in the optimizer")
    if "float16" in str(getattr(getattr(model, "dtype_policy", None), "name", "")):
        found.append("float16 overflows above 65504; try mixed_bfloat16")
    found.append("a logarithm or division of zero in the loss or the model")
    return found


def _bad_values(data: Any, label: str) -> list[str]:
    found = []
    for array in _arrays(data):
        # Evenly spread rows: enough to find what is common, at a bounded price.
        rows = array[:: max(1, len(array) // _ROWS)]
        if not np.issubdtype(rows.dtype, np.floating):
            continue
        bad = int(np.size(rows) - np.isfinite(rows).sum())
        if bad:
            found.append(f"{label} holds NaN or infinite values ({bad:,} of {rows.size:,} seen)")
        elif label == "the input" and rows.size and float(np.abs(rows).max()) > 1e3:  # noqa: PLR2004
            found.append(f"{label} is not scaled (values up to {float(np.abs(rows).max()):,.0f})")
    return found


def _arrays(data: Any) -> list[Any]:
    if isinstance(data, dict):
        return [a for item in data.values() for a in _arrays(item)]
    if isinstance(data, list | tuple):
        return [a for item in data for a in _arrays(item)]
    return [data] if isinstance(data, np.ndarray) and data.ndim else []
