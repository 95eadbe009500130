"""The ways to run many steps in one call, each a compiled function.

A way runs the model's own step so many times and returns the last step's logs.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from nb_optimizer.core.training.acceleration.pace import FUSED, LARGEST, LOOP, XLA

Step = Callable[[Any], Any]  # a batch to logs


class RowWays:
    """Steps on data that lies on the device: a batch is gathered in the graph by row numbers."""

    def __init__(self, step: Step, gather: Callable[[Any], Any]) -> None:
        self._tf: Any = importlib.import_module("tensorflow")
        self._step = step
        self._gather = gather
        self._made: dict[str, Any] = {}

    def run(self, way: str, rows: Any, steps: int) -> Any:
        """Run ``steps`` steps on the rows ``[steps, batch]``."""
        tf = self._tf
        if way not in self._made:
            self._made[way] = self._make(way, rows.shape[1])
        if way == FUSED and len(rows) < LARGEST:
            # XLA compiles for one shape: what is missing is filled up and never run.
            rows = np.pad(rows, ((0, LARGEST - len(rows)), (0, 0)))
        return self._made[way](tf.constant(rows, tf.int64), tf.constant(steps))

    def is_odd(self, rows: Any) -> bool:
        """Whether these rows are one batch that is not full."""
        return bool(rows.ndim == 1)

    def run_odd(self, rows: Any) -> Any:
        """Run one step on a batch that is not full."""
        if "odd" not in self._made:
            self._made["odd"] = self._tf.function(self._on_rows)
        return self._made["odd"](self._tf.constant(rows, self._tf.int64))

    def _make(self, way: str, batch_size: int) -> Any:
        tf = self._tf
        # One signature for blocks of any length, or each new length would be traced again.
        rows, steps = tf.TensorSpec([None, batch_size], tf.int64), tf.TensorSpec([], tf.int32)
        if way == FUSED:
            return tf.function(self._loop(self._on_rows), jit_compile=True)
        on_rows = tf.function(self._on_rows, jit_compile=True) if way == XLA else self._on_rows
        return tf.function(self._loop(on_rows), input_signature=[rows, steps])

    def _on_rows(self, rows: Any) -> Any:
        return self._step(self._gather(rows))

    def _loop(self, on_rows: Callable[[Any], Any]) -> Any:
        return _repeated(self._tf, lambda rows, i: on_rows(rows[i]))


class StreamWays:
    """Steps on the batches of an iterator, drawn in the graph."""

    def __init__(self, step: Step) -> None:
        self._tf: Any = importlib.import_module("tensorflow")
        self._step = step
        self._made: dict[str, Any] = {}

    def run(self, way: str, iterator: Any, steps: int) -> Any:
        """Run ``steps`` steps on the next batches of ``iterator``."""
        tf = self._tf
        if way not in self._made:
            step = tf.function(self._step, jit_compile=True) if way == XLA else self._step
            loop = _repeated(tf, lambda batches, _: step(next(batches)))
            self._made[way] = tf.function(loop, reduce_retracing=True)
        return self._made[way](iterator, tf.constant(steps))

    def is_odd(self, iterator: Any) -> bool:  # noqa: ARG002 - as RowWays
        """Batches of any size run in the same way."""
        return False


STREAM_WAYS = (LOOP, XLA)  # no iterator can be drawn from within one loop under XLA


def _repeated(tf: Any, one: Callable[[Any, Any], Any]) -> Any:
    """Return a function ``(content, steps)`` that runs ``one(content, i)`` for each step."""

    def loop(content: Any, steps: Any) -> Any:
        # The first step stands before the loop: its logs give the loop its shapes.
        first = one(content, 0)
        _, logs = tf.while_loop(
            lambda i, _: i < steps,
            lambda i, _: (i + 1, one(content, i)),
            (tf.constant(1), first),
        )
        return logs

    return tf.autograph.experimental.do_not_convert(loop)
