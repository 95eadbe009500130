"""Channels that are zero on every row of the training data: they can go, and nothing changes.

A unit behind a ReLU whose input is below zero on all data gives nothing and learns nothing.
Networks that are wider than they need be have many of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from nb_optimizer.core.compression import graph, shrink
from nb_optimizer.core.compression.data import Data

if TYPE_CHECKING:
    from nb_optimizer.core.compression.session import Compressing

Array = np.ndarray[Any, Any]
_BATCH = 128
_KEY = "idle channels"


def known(session: Compressing, seconds: float = float("inf")) -> dict[str, list[int]]:
    """Return the idle channels of a compression's model by layer; looked for once.

    None are known where looking takes longer than ``seconds``.
    """
    assert session.train is not None  # noqa: S101 - who asks has training data
    if session.memory.get(_KEY) is None:
        until = session.clock.seconds + seconds

        def go_on() -> bool:
            session.watcher.pulse()
            return session.clock.seconds < until

        session.memory.keep(_KEY, **find(session.model, session.train, go_on))
    return dict(session.memory.get(_KEY) or {})


def find(model: Any, train: Data, go_on: Callable[[], bool]) -> dict[str, list[int]]:
    """Return which channels are idle, by name of the layer that makes them.

    Args:
        model: a Sequential or Functional Keras 3 model.
        train: rows on all of which a channel must be zero wherever it is read.
        go_on: asked before each batch; where it says no, nothing is known and nothing returned.
    """
    widths = shrink.widths_of(model)
    read_by = {id(reader): (w, places) for w in widths for reader, places in w.readers}
    largest: dict[str, Array] = {}

    def make(operation: Any) -> Any:
        if id(operation) not in read_by:
            return operation
        width, places = read_by[id(operation)]

        def read(x: Any, *args: Any, **kwargs: Any) -> Any:
            name, seen = width.layer.name, _largest(x, places)
            largest[name] = np.maximum(largest.get(name, 0.0), seen)
            return operation(x, *args, **kwargs)

        return read

    for start in range(0, len(train), _BATCH):
        if not go_on():
            return {}
        graph.rebuild(model, _inputs(model, train.take(slice(start, start + _BATCH))), make)
        if all(found.all() for found in largest.values()):
            break  # every channel has been seen at work
    idle = {name: np.flatnonzero(found == 0).tolist() for name, found in largest.items()}
    return {name: places for name, places in idle.items() if places}


def _largest(x: Any, places: int) -> Array:
    """Return the largest size of each channel; behind a Flatten each has many places."""
    sizes = np.abs(np.asarray(x))
    channels = sizes.shape[-1] // places
    return np.asarray(sizes.reshape(-1, channels).max(axis=0))


def _inputs(model: Any, rows: Data) -> list[Array]:
    """Return the inputs in the order of the model's graph, which may not be that of their names."""
    names = [tensor.name.partition(":")[0] for tensor in graph.inputs_of(model)]
    if all(name in rows.inputs for name in names):
        return [rows.inputs[name] for name in names]
    return list(rows.inputs.values())
