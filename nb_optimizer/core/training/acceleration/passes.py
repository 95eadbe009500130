"""Faster ``evaluate`` and ``predict`` in the block, by the same means as a ``fit``.

What has been compiled for a model is kept while the block runs: a validation in ``fit``, or an
earlier call, pays for the later ones.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from nb_optimizer.core.plan import TrainPlan
from nb_optimizer.core.training.acceleration import hardware
from nb_optimizer.core.training.acceleration.block_input import blocks_under, timed
from nb_optimizer.core.training.acceleration.blocks import (
    Block,
    Feed,
    PlainInsteadError,
    RowFeed,
    StreamFeed,
)
from nb_optimizer.core.training.acceleration.pace import Pace, Trial
from nb_optimizer.core.training.acceleration.promises import (
    ATTENTION,
    CONVOLUTION,
    DENSE,
    FUSED,
    LOOP,
    PLAIN,
    RECURRENT,
    XLA,
)
from nb_optimizer.core.training.acceleration.resident import resident
from nb_optimizer.core.training.acceleration.ways import PredictWays
from nb_optimizer.core.training.framework import Framework
from nb_optimizer.core.training.keras_input import order_of, replaced_input

_FUNCTIONS = {"evaluate": "test", "predict": "predict"}


@dataclass
class Compiled:
    """What was compiled of one of a model's functions, and the way that was the fastest."""

    original: Any  # Keras' own function: another one means that the model was compiled anew
    made: dict[Any, Any] = field(default_factory=dict)
    way: str = ""
    layers: str = DENSE  # the kind of the model's layers
    trials: dict[str, Trial] = field(default_factory=dict)  # while no way was chosen
    steps: int = 0  # of all calls so far

    def learn(self, feed: Feed) -> None:
        """Take over what a call has found out."""
        pace = feed.pace
        self.trials = {w: t for w, t in pace.trials.items() if t.first_seconds is not None}
        if pace.best != PLAIN:
            self.way = pace.best


class PredictFeed(RowFeed):
    """Feeds ``predict``: each block returns the outputs of all its steps."""

    def make_ways(self, step: Any) -> PredictWays:
        """Return the ways to run ``step`` on rows and keep what it returns."""
        return PredictWays(step, self._data.tensors, self.made)

    def drawn(self, block: Block) -> Block:
        """Return the block: ``predict`` hands what it draws to its function."""
        return block

    def _run_otherwise(self, block: Block, error: Exception) -> Any:  # noqa: ARG002 - as Feed
        message = "this model's outputs cannot be collected in a loop"
        raise PlainInsteadError(message) from error


_FEEDS = {"evaluate": RowFeed, "predict": PredictFeed}
_MORE = {"evaluate": (FUSED, XLA), "predict": ()}


class Passes:
    """Runs the ``evaluate`` and ``predict`` calls of a block, outside of ``fit``."""

    def __init__(self, plan: TrainPlan) -> None:
        self._plan = plan
        self._compiled: weakref.WeakKeyDictionary[Any, dict[str, Compiled]]
        self._compiled = weakref.WeakKeyDictionary()

    def keep(self, model: Any, compiled: Compiled) -> None:
        """Take over what validation has compiled."""
        self._compiled.setdefault(model, {})["evaluate"] = compiled

    def run(self, kind: str, call: Callable[[], Any], model: Any, framework: Framework) -> Any:
        """Make the call, with blocks of steps under it where they are faster."""
        __tracebackhide__ = True
        step = f"{_FUNCTIONS[kind]}_step"
        if self._plan.accelerate == "off" or unsuited(model, framework, step) or not model.built:
            return call()
        name = f"{_FUNCTIONS[kind]}_function"
        getattr(model, f"make_{name}")()
        original = getattr(model, name)
        known = self._compiled.setdefault(model, {})
        if kind not in known or known[kind].original is not original:
            known[kind] = Compiled(original, layers=kind_of(model, framework))
        try:
            with self._installed(kind, known[kind], model, framework):
                return call()
        except PlainInsteadError:
            known[kind].way = PLAIN
            return call()

    @contextlib.contextmanager
    def _installed(
        self, kind: str, compiled: Compiled, model: Any, framework: Framework
    ) -> Iterator[None]:
        feeds: list[Feed] = []
        (loop, *_) = hardware.ways_for(model, framework, (LOOP, XLA))
        more = hardware.ways_for(model, framework, _MORE[kind])
        ways = (loop, *(way for way in more if way != loop))
        name, step = f"{_FUNCTIONS[kind]}_function", getattr(model, f"{_FUNCTIONS[kind]}_step")

        def feed_for(source: Any) -> Feed | None:
            made = self._feed(source, kind, compiled, ways)
            feeds.extend([made] if made else [])
            return made

        def run(content: Any) -> Any:
            block = content[0] if kind == "predict" else content
            if isinstance(block, Block):
                return block.feed.run(step, block)
            return timed(compiled.original, content, feeds[0] if feeds else None)

        make = blocks_under(feed_for, lambda feed: feed.pace.is_final and feed.pace.way == PLAIN)
        setattr(model, name, run)
        try:
            with replaced_input(framework, make):
                yield
        finally:
            if getattr(model, name) is run:
                setattr(model, name, compiled.original)
            if feeds:
                compiled.learn(feeds[0])

    def _feed(
        self, source: Any, kind: str, compiled: Compiled, ways: tuple[str, ...]
    ) -> Feed | None:
        """Return what feeds a call in blocks, or nothing where its input can't be."""
        data = resident(source)
        streams = kind == "evaluate" and source.num_batches  # the only streams that run in blocks
        if compiled.way == PLAIN or (data is None and not streams):
            return None
        pace = self._pace(source, compiled, ways[:1] if data is None else ways)
        if pace.is_final and pace.way == PLAIN:
            return None  # Keras' own input serves
        if data is None:
            feed: Feed = StreamFeed(source, pace)
        else:
            feed = _FEEDS[kind](source, data, order_of(source), pace)
        feed.made = compiled.made
        return feed

    def _pace(self, source: Any, compiled: Compiled, ways: tuple[str, ...]) -> Pace:
        # A seed promises every bit: a loop of Keras' own steps computes the same, others almost.
        ways = ways[:1] if self._plan.seed is not None else ways
        # Who has called so often will call as often again: nothing else is known of what is left.
        steps, earlier = int(source.num_batches), compiled.steps
        compiled.steps += steps
        pace = Pace(
            (PLAIN, *ways),
            lambda: steps + earlier,
            known=compiled.way,
            promises=lambda: hardware.promises(compiled.layers),
        )
        pace.take_up(compiled.trials)
        return pace


def unsuited(model: Any, framework: Framework, step: str) -> str:
    """Return why this model must keep plain steps, or nothing."""
    if framework.name != "keras":
        return "it is a model of tf_keras"
    strategy = type(model.distribute_strategy).__name__
    checks = (
        (framework.has_own(model, step), f"the model has a {step} of its own"),
        (model.run_eagerly, "the model is compiled with run_eagerly"),
        (model.steps_per_execution != 1, "the model has its own steps_per_execution"),
        (strategy != "_DefaultDistributionStrategy", f"it trains under {strategy}"),
    )
    return next((why for wrong, why in checks if wrong), "") or hardware.unsuited()


def kind_of(model: Any, framework: Framework) -> str:
    """Return which of the model's layers decides how fast its steps can get."""
    names = {c.__name__ for layer in framework.sublayers(model) for c in type(layer).__mro__}
    if any("Conv" in name for name in names):
        return CONVOLUTION
    if "RNN" in names:
        return RECURRENT
    return ATTENTION if any("Attention" in name for name in names) else DENSE
