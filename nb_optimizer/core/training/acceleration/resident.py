"""Data that is kept on the device, as far as it fits."""

from __future__ import annotations

import importlib
from functools import cached_property
from typing import Any

import numpy as np

from nb_optimizer.core.training.acceleration import hardware
from nb_optimizer.core.training.keras_input import Array, arrays_of


class Resident:
    """The arrays behind an input; ``size`` is their bytes and ``rows`` their length."""

    def __init__(self, arrays: Any) -> None:
        self._tf: Any = importlib.import_module("tensorflow")
        self._arrays = arrays
        leaves = self._tf.nest.flatten(arrays)
        self.size = sum(_bytes(leaf) for leaf in leaves)
        self.rows = len(leaves[0])

    @cached_property
    def tensors(self) -> Any:
        """The arrays on the device: copied when they are first needed there."""
        return self._tf.nest.map_structure(self._tf.convert_to_tensor, self._arrays)

    def leave(self) -> None:
        """Take the arrays off the device."""
        self.__dict__.pop("tensors", None)

    def piece(self, rows: Array) -> Any:
        """Return some rows of each array."""
        tf = self._tf

        def take(array: Any) -> Any:
            return tf.gather(array, rows, axis=0) if tf.is_tensor(array) else array[rows]

        return tf.nest.map_structure(take, self._arrays)


def resident(source: Any) -> Resident | None:
    """Return an input's arrays, or ``None`` where they can't all lie on the device."""
    arrays = arrays_of(source)
    if arrays is None:
        return None
    tf: Any = importlib.import_module("tensorflow")
    if not all(_is_dense(tf, leaf) for leaf in tf.nest.flatten(arrays)):
        return None
    data = Resident(arrays)
    return data if hardware.holds(data.size) else None


def _is_dense(tf: Any, leaf: Any) -> bool:
    if isinstance(leaf, np.ndarray):
        return leaf.dtype.kind in "biuf"
    return isinstance(leaf, tf.Tensor)


def _bytes(leaf: Any) -> int:
    return (
        int(leaf.nbytes)
        if isinstance(leaf, np.ndarray)
        else leaf.dtype.size * int(np.prod(leaf.shape))
    )
