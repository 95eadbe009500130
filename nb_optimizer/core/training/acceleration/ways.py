"""The ways to run steps on data that lies on the device: a function of row numbers each.

A way takes the numbers of the rows, ``[steps, batch]``, and how many of these steps to run; it
gathers each batch in the graph, runs the model's own step, and returns the last step's logs.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from nb_optimizer.core.training.acceleration.pace import FUSED, LARGEST, LOOP, XLA

Step = Callable[[Any], Any]  # a batch to logs


class Ways:
    """Compiled functions for one step of a model (``train_step`` or ``test_step``)."""

    def __init__(self, step: Step, data: Any) -> None:
        self._tf: Any = importlib.import_module("tensorflow")
        self._step = step
        self._data = data
        self._made: dict[str, Callable[..., Any]] = {}

    def run(self, way: str, rows: Any, steps: int) -> Any:
        """Run ``steps`` steps on the rows ``[steps, batch]`` and return the last logs."""
        tf = self._tf
        if way not in self._made:
            self._made[way] = self._make(way, rows.shape[1])
        if way == FUSED and len(rows) < LARGEST:
            # XLA compiles for one shape: what is missing is filled up and never run.
            import numpy as np  # noqa: PLC0415 - with TensorFlow

            rows = np.pad(rows, ((0, LARGEST - len(rows)), (0, 0)))
        return self._made[way](tf.constant(rows), tf.constant(steps))

    def run_last(self, rows: Any) -> Any:
        """Run one step on a batch that is not full."""
        if "last" not in self._made:
            self._made["last"] = self._tf.function(self._on_rows)
        return self._made["last"](self._tf.constant(rows))

    def _make(self, way: str, batch_size: int) -> Any:
        tf = self._tf
        # One signature for blocks of any length, or each new length would be traced again.
        rows, steps = tf.TensorSpec([None, batch_size], tf.int64), tf.TensorSpec([], tf.int32)
        if way == LOOP:
            return tf.function(self._loop(self._on_rows), input_signature=[rows, steps])
        if way == FUSED:
            return tf.function(self._loop(self._on_rows), jit_compile=True)
        if way == XLA:
            compiled = tf.function(self._on_rows, jit_compile=True)
            return tf.function(self._loop(compiled), input_signature=[rows, steps])
        raise KeyError(way)

    def _on_rows(self, rows: Any) -> Any:
        tf = self._tf
        batch = tf.nest.map_structure(lambda t: tf.gather(t, rows, axis=0), self._data)
        return self._step(batch)

    def _loop(self, on_rows: Callable[[Any], Any]) -> Any:
        tf = self._tf

        def loop(rows: Any, steps: Any) -> Any:
            # The first step stands before the loop: its logs give the loop its shapes.
            first = on_rows(rows[0])
            _, logs = tf.while_loop(
                lambda i, _: i < steps,
                lambda i, _: (i + 1, on_rows(rows[i])),
                (tf.constant(1), first),
            )
            return logs

        return tf.autograph.experimental.do_not_convert(loop)
