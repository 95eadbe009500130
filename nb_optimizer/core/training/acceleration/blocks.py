"""An epoch cut into blocks of steps, each as long as the pace asks for."""

from __future__ import annotations

import abc
import functools
import importlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from nb_optimizer.core.training.acceleration import hardware
from nb_optimizer.core.training.acceleration.one_core import OneCore
from nb_optimizer.core.training.acceleration.pace import Pace
from nb_optimizer.core.training.acceleration.promises import LOOP, PLAIN
from nb_optimizer.core.training.acceleration.resident import Resident
from nb_optimizer.core.training.acceleration.timing import PlainTimer, stopwatch, wait_for
from nb_optimizer.core.training.acceleration.ways import RowWays, Step, StreamWays
from nb_optimizer.core.training.keras_input import Array, batch_size_of

_NO_ROOM = "the device has no room for the data beside the model"
_MOST_BATCHES, _MOST_BYTES = 256, 32 * 2**20  # of a piece of an epoch


@dataclass
class Block:
    """``steps`` steps of an epoch: what ``fit`` hands to its step function instead of a batch.

    ``content`` is the numbers of the rows, ``[steps, batch]``, or the iterator to draw from.
    """

    feed: Feed
    content: Any
    steps: int

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        """Return what Keras gets where it takes batches one by one."""
        return self.feed.drawn(self)


class PlainInsteadError(Exception):
    """Nothing of a block was trained, and plain steps have to take over; the message says why."""


class Feed(abc.ABC):
    """Feeds one pass over the data (training or validation) of a ``fit``."""

    def __init__(self, pace: Pace) -> None:
        self._tf: Any = importlib.import_module("tensorflow")
        self.pace = pace
        self.size = 1  # steps of the block that runs now
        self.made: dict[Any, Any] = {}  # what has been compiled
        self._ways: Any = None
        self.timer = PlainTimer(pace)

    @property
    @abc.abstractmethod
    def steps(self) -> int | None:
        """How many steps an epoch has, where that is known."""

    @abc.abstractmethod
    def blocks(self, own: Iterator[Any]) -> Iterator[tuple[int, int, Any]]:
        """Yield ``(first step, last step, block or Keras' own iterator)`` of an epoch.

        ``own`` is what Keras would yield.
        """

    @abc.abstractmethod
    def batch(self, content: Any) -> Any:
        """Return the first batch of a block's content."""

    def drawn(self, block: Block) -> Any:
        """Return what is drawn from a block: its first batch, from which Keras builds a model."""
        return self.batch(block.content)

    def plain_batches(self, block: Block) -> Iterator[Any]:
        """Return the batches of a block, for plain steps."""
        return iter(block.content)

    @abc.abstractmethod
    def make_ways(self, step: Step) -> Any:
        """Return the ways to run ``step`` on this feed's blocks."""

    def forget(self) -> None:
        """The model's step has changed: compile anew."""
        self.made, self._ways = {}, None

    def run(self, step: Step, block: Block) -> Any:
        """Run a block of steps and tell the pace how long it took."""
        self._ways = self._ways or self.make_ways(step)
        seconds, way = stopwatch(self.pace), self.pace.way
        if self._ways.is_odd(block.content):
            return self._ways.run_odd(block.content)
        try:
            logs = self._run_whole(way, block)
        except (self._tf.errors.OpError, TypeError, ValueError, NotImplementedError) as error:
            if not self._is_of_compiling(error):
                raise
            return self._run_otherwise(block, error)
        self.pace.took(seconds(), block.steps)
        return logs

    def _run_whole(self, way: str, block: Block) -> Any:
        """Return a block's logs when it is done."""
        logs = self._ways.run(way, block.content, block.steps)
        wait_for(logs)
        return logs

    def _is_of_compiling(self, error: Exception) -> bool:
        """Whether nothing has been trained yet: else the error is the user's."""
        if not self.pace.compiles or "IteratorGetNext" in str(error):
            return False
        # TensorFlow raises its own errors where a loop runs, and XLA's where it compiles.
        return self.pace.way != LOOP or not isinstance(error, self._tf.errors.OpError)

    def _run_otherwise(self, block: Block, error: Exception) -> Any:
        """Compiling this way failed, so nothing was trained: run the block in another."""
        self.pace.failed(f"{type(error).__name__} in compiling")
        return self._ways.run(LOOP, block.content, block.steps)


class RowFeed(Feed):
    """Feeds arrays by row numbers, in the order Keras would draw."""

    def __init__(self, source: Any, data: Resident, draw: Callable[[], Array], pace: Pace) -> None:
        super().__init__(pace)
        self._batch_size = batch_size_of(source)
        self._data = data
        self._draw = draw
        self._one_core = OneCore()

    def make_ways(self, step: Step) -> RowWays:
        """Return the ways to run ``step`` on rows."""
        try:
            return RowWays(step, self._data.tensors, self.made)
        except self._tf.errors.ResourceExhaustedError as error:
            raise PlainInsteadError(_NO_ROOM) from error

    def _run_whole(self, way: str, block: Block) -> Any:
        """Return a block's logs when it is done, on one core where that is no slower."""
        run = functools.partial(super()._run_whole, way, block)
        if self.pace.compiles or not self.pace.is_final or hardware.runs_apart():
            return run()
        return self._one_core.run(run, block.steps)

    def _run_otherwise(self, block: Block, error: Exception) -> Any:
        """Nothing was trained: run the block in another way, or without the data on the device."""
        if isinstance(error, self._tf.errors.ResourceExhaustedError):
            raise PlainInsteadError(_NO_ROOM) from error
        return super()._run_otherwise(block, error)

    def plain_batches(self, block: Block) -> Iterator[Any]:
        """Return the batches of a block; the device gets the room of the data back."""
        self.forget()
        self._data.leave()
        return iter(self._pipeline(block.content.reshape(-1)))

    def batch(self, content: Any) -> Any:
        """Gather the first batch of a block."""
        rows = self._data.piece(content.reshape(-1)[: self._batch_size])
        return self._tf.nest.map_structure(self._tf.convert_to_tensor, rows)

    @property
    def steps(self) -> int:
        """How many steps an epoch has."""
        return -(-self._data.rows // self._batch_size)

    def blocks(self, own: Iterator[Any]) -> Iterator[tuple[int, int, Any]]:  # noqa: ARG002 - as Feed
        """Yield the blocks of an epoch."""
        order, size = self._draw(), self._batch_size
        full, total = len(order) // size, -(-len(order) // size)
        plain, plain_end = None, 0
        step = 0
        while step < total:
            if self.pace.way == PLAIN:
                if plain is None or step == plain_end:
                    plain_end = step + self._piece
                    plain = iter(self._pipeline(order[step * size : plain_end * size]))
                self.size, content = 1, None
            else:
                plain = None
                wanted = self.pace.size(self._one_core.slower)
                self.size = max(1, min(wanted, full - step))
                content = order[step * size : (step + self.size) * size]
                content = content.reshape(self.size, size) if step < full else content
            block = plain if content is None else Block(self, content, self.size)
            yield step, step + self.size - 1, block
            step += self.size

    @property
    def _piece(self) -> int:
        """How many batches plain steps are given at once: few, as another way may take over."""
        batch = self._data.size * self._batch_size // max(1, self._data.rows)
        return max(1, min(_MOST_BATCHES, _MOST_BYTES // max(1, batch)))

    def _pipeline(self, order: Array) -> Any:
        """Return batches of these rows, as Keras would feed them."""
        tf, size = self._tf, self._batch_size
        piece = tf.nest.map_structure(tf.convert_to_tensor, self._data.piece(order))
        # As Keras: where all batches are full, their size is part of the shape.
        known = size if self._data.rows % size == 0 else None

        def batch(i: Any) -> Any:
            return tf.nest.map_structure(
                lambda t: tf.ensure_shape(t[i * size : (i + 1) * size], [known, *t.shape[1:]]),
                piece,
            )

        batches = tf.data.Dataset.range(-(-len(order) // size))
        graph = tf.autograph.experimental.do_not_convert(batch)  # converting takes 0.3 s of a run
        batches = batches.map(graph, num_parallel_calls=tf.data.AUTOTUNE)
        options = tf.data.Options()
        options.experimental_optimization.apply_default_optimizations = False
        return batches.with_options(options).prefetch(tf.data.AUTOTUNE)


class StreamFeed(Feed):
    """Groups the steps of Keras' own iterator: many of its batches in one call."""

    def __init__(self, source: Any, pace: Pace) -> None:
        super().__init__(pace)
        self._source = source

    @property
    def steps(self) -> int | None:
        """How many steps an epoch has; ``None`` while the data has not been seen to its end."""
        known = self._source.num_batches
        return int(known) if known else None

    @property
    def _beyond(self) -> int:
        """How many of the steps find no batch: Keras counts the one at which it found the end.

        That step is left to Keras in each epoch: it counts as a step of the optimizer, too.
        """
        return int(self._may_end and not self._source.steps_per_epoch)

    @property
    def _may_end(self) -> bool:
        return self._source.data_adapter.num_batches is None

    def make_ways(self, step: Step) -> StreamWays:
        """Return the ways to run ``step`` on what an iterator gives."""
        return StreamWays(step, self.made, may_end=self._may_end)

    def batch(self, content: Any) -> Any:
        """Return the next batch."""
        return next(content)

    def blocks(self, own: Iterator[Any]) -> Iterator[tuple[int, int, Any]]:
        """Yield what ``own``, the steps by Keras, yields: several of them in one block.

        The end of the epoch is left to Keras, and not reached before the last block has run.
        """
        for begin, end, iterator in own:
            last, self.size, content = end, 1, iterator
            wanted = 0 if self.steps is None else self.steps - self._beyond - begin
            if self.pace.way != PLAIN and wanted > 0:
                wanted = min(self.pace.size(), wanted)
                for _, last, _ in itertools.islice(own, wanted - 1):  # noqa: B007 - the last one
                    pass
                self.size = last - begin + 1
                content = Block(self, iterator, self.size)
            yield begin, last, content
