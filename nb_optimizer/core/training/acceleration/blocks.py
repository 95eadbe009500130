"""An epoch cut into blocks of steps, each as long as the pace asks for."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from nb_optimizer.core.training.acceleration.pace import LOOP, PLAIN, Pace
from nb_optimizer.core.training.acceleration.ways import Ways
from nb_optimizer.core.training.keras_input import Array, batch_size_of


class Block:
    """``steps`` steps of an epoch: what ``fit`` hands to its step function instead of a batch."""

    def __init__(self, feed: Feed, rows: Array, steps: int) -> None:
        self.feed, self.rows, self.steps = feed, rows, steps

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        """Return one batch, for whoever takes batches one by one (Keras builds a model so)."""
        return self.feed.batch(self.rows.reshape(-1)[: self.feed.batch_size])


class Feed:
    """Feeds one pass over the data (training or validation) of a ``fit``."""

    def __init__(self, source: Any, data: Any, draw: Callable[[], Array], pace: Pace) -> None:
        self._tf: Any = importlib.import_module("tensorflow")
        self.pace = pace
        self.batch_size = batch_size_of(source)
        self._data = data
        self._draw = draw
        self._ways: Ways | None = None
        self.size = 1  # steps of the block that runs now

    def blocks(self) -> Iterator[tuple[int, int, Any]]:
        """Yield ``(first step, last step, block or iterator)`` of an epoch."""
        order = self._draw()
        full = len(order) // self.batch_size
        total = -(-len(order) // self.batch_size)
        plain: Any = None
        step = 0
        while step < total:
            if self.pace.way == PLAIN:
                plain = plain or iter(self._pipeline(order, step))
                self.size = 1
                yield step, step, plain
            else:
                plain = None
                self.size = max(1, min(self.pace.size(), full - step))
                yield step, step + self.size - 1, self._block(order, step, full)
            step += self.size

    def run(self, step: Callable[[Any], Any], block: Block) -> Any:
        """Run a block of steps and tell the pace how long it took."""
        if self._ways is None:
            self._ways = Ways(step, self._data)
        if block.rows.ndim == 1:
            return self._ways.run_last(block.rows)
        start, way = time.perf_counter(), self.pace.way
        try:
            logs = self._ways.run(way, block.rows, block.steps)
            wait_for(logs)
        except (self._tf.errors.OpError, TypeError, ValueError, NotImplementedError) as error:
            if self.pace.trials[way].first_seconds is not None:
                raise  # it ran before: the error is the user's
            return self._run_otherwise(block, error)
        self.pace.took(time.perf_counter() - start, block.steps)
        return logs

    def _run_otherwise(self, block: Block, error: Exception) -> Any:
        """Compiling this way failed, so nothing was trained: run the block step by step."""
        assert self._ways is not None  # noqa: S101 - made by the caller
        self.pace.failed(f"{type(error).__name__} in compiling")
        if self.pace.way in (PLAIN, LOOP) and LOOP not in self.pace.trials:
            logs = None
            for rows in block.rows:
                logs = self._ways.run_last(rows)
            return logs
        return self._ways.run(LOOP, block.rows, block.steps)

    def forget(self) -> None:
        """The model's step has changed: compile anew."""
        self._ways = None

    def batch(self, rows: Array) -> Any:
        """Gather one batch."""
        tf = self._tf
        return tf.nest.map_structure(lambda t: tf.gather(t, rows, axis=0), self._data)

    def _block(self, order: Array, step: int, full: int) -> Block:
        size = self.batch_size
        if step >= full:
            return Block(self, order[step * size :], 1)
        rows = order[step * size : (step + self.size) * size]
        return Block(self, rows.reshape(self.size, size), self.size)

    def _pipeline(self, order: Array, step: int) -> Any:
        """Return what Keras would feed from ``step`` on: batches gathered ahead of their use."""
        tf, size = self._tf, self.batch_size
        rows = tf.data.Dataset.from_tensor_slices(order[step * size :]).batch(size)
        batches = rows.map(self.batch, num_parallel_calls=tf.data.AUTOTUNE)
        options = tf.data.Options()
        options.experimental_optimization.apply_default_optimizations = False
        return batches.with_options(options).prefetch(tf.data.AUTOTUNE)


def wait_for(logs: Any) -> None:
    """Wait until the steps are done, or the clock would be read too early."""
    for value in logs.values():
        value.numpy()
        return
