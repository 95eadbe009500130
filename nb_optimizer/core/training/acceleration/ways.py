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
_STEP = "step"


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
        return self._find(_STEP, None)(self._data, self._tf.constant(rows, self._tf.int64))

    def _find(self, way: str, batch_size: int | None) -> Any:
        specs = self._tf.nest.map_structure(self._spec, self._data)
        key = (way, batch_size, *map(repr, self._tf.nest.flatten(specs)))
        if key not in self._made:
            self._made[key] = self._make(way, batch_size, specs)
        return self._made[key]

    def _spec(self, t: Any) -> Any:
        return self._tf.TensorSpec([None, *t.shape[1:]], t.dtype)

    def _make(self, way: str, batch_size: int | None, data: Any) -> Any:
        tf = self._tf
        if way == _STEP:
            rows = tf.TensorSpec([batch_size], tf.int64)
            return _traced(tf, self._on_rows, data, rows)
        # As Keras: where all batches are full, their size is part of the shape. Else the step is
        # traced once for batches of every size.
        rest = len(tf.nest.flatten(self._data)[0]) % (batch_size or 1)
        step = self._find(_STEP, None if rest else batch_size)
        if way == FUSED:
            return tf.function(self._loop(step), jit_compile=True)
        # One signature for blocks of any length, or each new length would be traced again.
        rows, steps = tf.TensorSpec([None, batch_size], tf.int64), tf.TensorSpec([], tf.int32)
        if way == XLA:
            step = _by_xla(tf, step, data, tf.TensorSpec([batch_size], tf.int64))
        return tf.function(self._loop(step), input_signature=[data, rows, steps])

    def _on_rows(self, data: Any, rows: Any) -> Any:
        tf = self._tf
        return self._step(tf.nest.map_structure(lambda t: tf.gather(t, rows, axis=0), data))

    def _loop(self, step: Any) -> Any:
        repeated = _repeated(self._tf, step, lambda content, i: (content[0], content[1][i]))
        return self._tf.autograph.experimental.do_not_convert(
            lambda data, rows, steps: repeated((data, rows), steps)
        )


class PredictWays(RowWays):
    """The outputs of many steps, one below the other, instead of the logs of the last."""

    def _loop(self, step: Any) -> Any:
        tf, made = self._tf, step.structured_outputs

        def loop(data: Any, rows: Any, steps: Any) -> Any:
            stores = [
                tf.TensorArray(t.dtype, steps, element_shape=t.shape) for t in tf.nest.flatten(made)
            ]

            def one(i: Any, stores: Any) -> Any:
                outputs = tf.nest.flatten(step(data, rows[i]))
                kept = [s.write(i, t) for s, t in zip(stores, outputs, strict=True)]
                return i + 1, kept

            _, stores = tf.while_loop(lambda i, _: i < steps, one, (tf.constant(0), stores))
            return tf.nest.pack_sequence_as(made, [store.concat() for store in stores])

        return tf.autograph.experimental.do_not_convert(loop)


class StreamWays:
    """Steps on the batches of an iterator, drawn in the graph."""

    def __init__(self, step: Step, made: dict[Any, Any]) -> None:
        self._tf: Any = importlib.import_module("tensorflow")
        self._step = step
        self._made = made

    def run(self, way: str, iterator: Any, steps: int) -> Any:
        """Run ``steps`` steps on the next batches of ``iterator``."""
        if way not in self._made:
            self._made[way] = self._make(way, iterator.element_spec)
        return self._made[way](iterator, self._tf.constant(steps))

    def _make(self, way: str, batch: Any) -> Any:
        tf = self._tf
        step = _traced(tf, self._step, batch)
        if way == XLA:
            step = _by_xla(tf, step, batch)
        loop = _repeated(tf, step, lambda batches, _: (next(batches),))
        return tf.function(loop, reduce_retracing=True)

    def is_odd(self, iterator: Any) -> bool:  # noqa: ARG002 - as RowWays
        """Batches of any size run in the same way."""
        return False


ROW_WAYS = (LOOP, FUSED, XLA)
STREAM_WAYS = (LOOP, XLA)  # no iterator can be drawn from within one loop under XLA


def _repeated(tf: Any, step: Any, batch: Callable[[Any, Any], tuple[Any, ...]]) -> Any:
    """Return a function ``(content, steps)`` that runs ``step(*batch(content, i))`` so many times.

    ``step`` is traced already: its outputs give the loop its shapes, and nothing is compiled twice.
    """
    shapes = tf.nest.map_structure(lambda t: t.shape, step.structured_outputs)

    def zeros(t: Any) -> Any:
        known = t.shape.as_list() if t.shape.rank is not None else []
        return tf.zeros([size or 0 for size in known], t.dtype)

    def loop(content: Any, steps: Any) -> Any:
        nothing = tf.nest.map_structure(zeros, step.structured_outputs)
        _, logs = tf.while_loop(
            lambda i, _: i < steps,
            lambda i, _: (i + 1, step(*batch(content, i))),
            (tf.constant(0), nothing),
            shape_invariants=(tf.TensorShape([]), shapes),
        )
        return logs

    return tf.autograph.experimental.do_not_convert(loop)


def _by_xla(tf: Any, step: Any, *specs: Any) -> Any:
    """Return a traced step compiled by XLA."""
    return _traced(tf, step, *specs, jit_compile=True)


def _traced(tf: Any, function: Any, *specs: Any, **options: Any) -> Any:
    """Trace a function for arguments like ``specs``, as Keras does: without AutoGraph."""
    plain = tf.autograph.experimental.do_not_convert(function)
    return tf.function(plain, **options).get_concrete_function(*specs)
