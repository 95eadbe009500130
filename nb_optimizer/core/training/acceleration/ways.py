"""The ways to run many steps in one call, each a compiled function.

A way runs the model's own step so many times and returns the last step's logs.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from nb_optimizer.core.training.acceleration.pace import LARGEST
from nb_optimizer.core.training.acceleration.promises import FUSED, LOOP, XLA

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
        # Keras runs such a model's steps by XLA, whose random numbers are others.
        self._by_xla = bool(step.__self__.jit_compile)  # type: ignore[attr-defined]

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
            return _traced(tf, self._on_rows, data, rows, jit_compile=self._by_xla)
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
        return _plainly(self._tf, lambda data, rows, steps: repeated((data, rows), steps))


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

        return _plainly(tf, loop)


class StreamWays:
    """Steps on the batches of an iterator, drawn in the graph.

    Where the data ``may_end`` before so many steps are done, the loop looks for the end: an error
    in it would drop what is still under way.
    """

    def __init__(self, step: Step, made: dict[Any, Any], *, may_end: bool) -> None:
        self._tf: Any = importlib.import_module("tensorflow")
        self._step = step
        self._made = made
        self._may_end = may_end
        self._drawn: Any = None  # a batch that was drawn and is not trained on yet
        self._proven: set[str] = set()

    def run(self, way: str, iterator: Any, steps: int) -> Any:
        """Run ``steps`` steps on the next batches of ``iterator``."""
        step, loop = self._find(way, iterator.element_spec)
        logs = None
        if way not in self._proven or self._drawn is not None:
            # A first batch is drawn apart: where compiling fails, another way still trains on it.
            self._drawn = next(iterator) if self._drawn is None else self._drawn
            logs, self._drawn, steps = step(self._drawn), None, steps - 1
            self._proven.add(way)
        if steps:
            ran, later = loop(iterator, self._tf.constant(steps))
            logs = later if int(ran) else logs
        if logs is None:
            raise StopIteration
        return logs

    def _find(self, way: str, batch: Any) -> Any:
        key = (way, repr(batch))
        if key not in self._made:
            self._made[key] = self._make(way, batch)
        return self._made[key]

    def _make(self, way: str, batch: Any) -> Any:
        tf = self._tf
        step = _traced(tf, self._step, batch)
        if way == XLA:
            step = _by_xla(tf, step, batch)
        if self._may_end:
            loop = _until_end(tf, step)
        else:
            repeated = _repeated(tf, step, lambda batches, _: (next(batches),))
            loop = _plainly(tf, lambda batches, steps: (steps, repeated(batches, steps)))
        return step, tf.function(loop, reduce_retracing=True)

    def is_odd(self, iterator: Any) -> bool:  # noqa: ARG002 - as RowWays
        """Batches of any size run in the same way."""
        return False


ROW_WAYS = (LOOP, FUSED, XLA)
STREAM_WAYS = (LOOP, XLA)  # no iterator can be drawn from within one loop under XLA


def _repeated(tf: Any, step: Any, batch: Callable[[Any, Any], tuple[Any, ...]]) -> Any:
    """Return a function ``(content, steps)`` that runs ``step(*batch(content, i))`` so many times.

    ``step`` is traced already: its outputs give the loop its shapes, and nothing is compiled twice.
    """

    def loop(content: Any, steps: Any) -> Any:
        nothing, shapes = _nothing(tf, step)
        _, logs = tf.while_loop(
            lambda i, _: i < steps,
            lambda i, _: (i + 1, step(*batch(content, i))),
            (tf.constant(0), nothing),
            shape_invariants=(tf.TensorShape([]), shapes),
        )
        return logs

    return _plainly(tf, loop)


def _until_end(tf: Any, step: Any) -> Any:
    """Return a function ``(iterator, steps)`` that runs ``step`` while there are batches.

    It returns how many steps it ran, and the logs of the last.
    """

    def loop(iterator: Any, steps: Any) -> Any:
        def one(i: Any, _: Any, logs: Any) -> Any:
            batch = iterator.get_next_as_optional()
            return tf.cond(
                batch.has_value(),
                lambda: (i + 1, True, step(batch.get_value())),
                lambda: (i, False, logs),
            )

        nothing, shapes = _nothing(tf, step)
        ran, _, logs = tf.while_loop(
            lambda i, more, _: more & (i < steps),
            one,
            (tf.constant(0), tf.constant(True), nothing),  # noqa: FBT003 - a tensor
            shape_invariants=(tf.TensorShape([]), tf.TensorShape([]), shapes),
        )
        return ran, logs

    return _plainly(tf, loop)


def _nothing(tf: Any, step: Any) -> tuple[Any, Any]:
    """Return logs to begin a loop with, and the shapes of those that a traced step returns."""

    def zeros(t: Any) -> Any:
        known = t.shape.as_list() if t.shape.rank is not None else []
        return tf.zeros([size or 0 for size in known], t.dtype)

    logs = step.structured_outputs
    return tf.nest.map_structure(zeros, logs), tf.nest.map_structure(lambda t: t.shape, logs)


def _by_xla(tf: Any, step: Any, *specs: Any) -> Any:
    """Return a traced step compiled by XLA."""
    return _traced(tf, step, *specs, jit_compile=True)


def _traced(tf: Any, function: Any, *specs: Any, **options: Any) -> Any:
    """Trace a function for arguments like ``specs``."""
    return tf.function(_plainly(tf, function), **options).get_concrete_function(*specs)


def _plainly(tf: Any, function: Any) -> Any:
    """Keep AutoGraph away, as Keras does."""
    return tf.autograph.experimental.do_not_convert(function)
