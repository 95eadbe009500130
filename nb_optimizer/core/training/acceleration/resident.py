"""Data that is kept on the device, as far as it fits."""

from __future__ import annotations

import importlib
from typing import Any

import psutil

from nb_optimizer.core.training.keras_input import arrays_of

_SHARE_OF_MEMORY = 4  # the data may take one part in this many of what is free


def resident(source: Any) -> tuple[Any | None, str]:
    """Return an input's arrays as tensors, or ``None`` and the reason why they can't be."""
    arrays = arrays_of(source)
    if arrays is None:
        return None, "the input is neither arrays nor a tf.data.Dataset of known length"
    tf: Any = importlib.import_module("tensorflow")
    size = sum(getattr(a, "nbytes", 0) for a in tf.nest.flatten(arrays))
    if size > psutil.virtual_memory().available / _SHARE_OF_MEMORY:
        return None, f"the data ({size / 2**20:,.0f} MB) is too large to be kept in memory"
    try:
        return tf.nest.map_structure(tf.convert_to_tensor, arrays), ""
    except (TypeError, ValueError):
        return None, "the input holds more than dense arrays"
