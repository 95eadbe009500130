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
    """Steps on data that lies on the device: a batch is gathered in the graph by row numbers.

    The data is an argument of what is compiled, so that ``made`` serves other data of the same kind
    too: what validated in ``fit`` evaluates afterwards.
    """

    def __init__(self, step: Step, data: Any, made: dict[Any, Any]) -> None:
        self._tf: Any = importlib.import_module("tensorflow")
        self._step = step
        self._data = data
        self._made = made

    def run(self, way: str, rows: Any, steps: int) -> Any:
        """Run ``steps`` steps on the rows ``[steps, batch]``."""
        tf = self._tf
        function = self._find(way, rows.shape[1])
        if way == FUSED and len(rows) < LARGEST:
            # XLA compiles for one shape: what is missing is filled up and never run.
            rows = np.pad(rows, ((0, LARGEST - len(rows)), (0, 0)))
        return function(self._data, tf.constant(rows, tf.int64), tf.constant(steps))

    def is_odd(self, rows: Any) -> bool:
        """Whether these rows are one batch that is not full."""
        return bool(rows.ndim == 1)

    def run_odd(self, rows: Any) -> Any:
        """Run one step on a batch that is not full."""
        return self._find("odd", None)(self._data, self._tf.constant(rows, self._tf.int64))

    def _find(self, way: str, batch_size: int | None) -> Any:
        tf = self._tf
        specs = tf.nest.map_structure(
            lambda t: tf.TensorSpec([None, *t.shape[1:]], t.dtype), self._data
        )
        key = (way, batch_size, *map(repr, tf.nest.flatten(specs)))
        if key not in self._made:
            self._made[key] = self._make(way, batch_size, specs)
        return self._made[key]

    def _make(self, way: str, batch_size: int | None, data: Any) -> Any:
        tf, one = self._tf, self._on_rows
        if way == "odd":
            return tf.function(one, input_signature=[data, tf.TensorSpec([None], tf.int64)])
        if way == FUSED:
            return tf.function(self._loop(one), jit_compile=True)
        # One signature for blocks of any length, or each new length would be traced again.
        rows, steps = tf.TensorSpec([None, batch_size], tf.int64), tf.TensorSpec([], tf.int32)
        on_rows = tf.function(one, jit_compile=True) if way == XLA else one
        return tf.function(self._loop(on_rows), input_signature=[data, rows, steps])

    def _on_rows(self, data: Any, rows: Any) -> Any:
        tf = self._tf
        return self._step(tf.nest.map_structure(lambda t: tf.gather(t, rows, axis=0), data))

    def _loop(self, on_rows: Callable[[Any, Any], Any]) -> Any:
        repeated = _repeated(self._tf, lambda content, i: on_rows(content[0], content[1][i]))
        return self._tf.autograph.experimental.do_not_convert(
            lambda data, rows, steps: repeated((data, rows), steps)
        )


class PredictWays(RowWays):
    """The outputs of many steps, one below the other, instead of the logs of the last."""

    def _loop(self, on_rows: Callable[[Any, Any], Any]) -> Any:
        tf = self._tf

        def loop(data: Any, rows: Any, steps: Any) -> Any:
            first = on_rows(data, rows[0])
            stores = [
                tf.TensorArray(t.dtype, steps, element_shape=t.shape).write(0, t)
                for t in tf.nest.flatten(first)
            ]

            def one(i: Any, stores: Any) -> Any:
                outputs = tf.nest.flatten(on_rows(data, rows[i]))
                kept = [s.write(i, t) for s, t in zip(stores, outputs, strict=True)]
                return i + 1, kept

            _, stores = tf.while_loop(lambda i, _: i < steps, one, (tf.constant(1), stores))
            return tf.nest.pack_sequence_as(first, [store.concat() for store in stores])

        return tf.autograph.experimental.do_not_convert(loop)


class StreamWays:
    """Steps on the batches of an iterator, drawn in the graph."""

    def __init__(self, step: Step, made: dict[Any, Any]) -> None:
        self._tf: Any = importlib.import_module("tensorflow")
        self._step = step
        self._made = made

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


ROW_WAYS = (LOOP, FUSED, XLA)
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
