"""Puts blocks of steps under a ``fit``, or says why plain steps are kept."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from nb_optimizer.core import events as ev
from nb_optimizer.core.training.acceleration import hardware
from nb_optimizer.core.training.acceleration.block_input import blocks_under, timed
from nb_optimizer.core.training.acceleration.blocks import (
    Block,
    Feed,
    PlainInsteadError,
    RowFeed,
    StreamFeed,
)
from nb_optimizer.core.training.acceleration.pace import Pace
from nb_optimizer.core.training.acceleration.passes import Compiled, kind_of, unsuited
from nb_optimizer.core.training.acceleration.promises import LOOP, PLAIN, WORDS, XLA
from nb_optimizer.core.training.acceleration.resident import resident
from nb_optimizer.core.training.acceleration.ways import ROW_WAYS, STREAM_WAYS
from nb_optimizer.core.training.keras_input import (
    improve_stream,
    order_of,
    replaced_input,
)

if TYPE_CHECKING:
    from nb_optimizer.core.training.fit import Fit

_BATCH_HOOKS = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")
_MANY_STEPS, _FEW_PARAMETERS = 20, 1_000_000  # where a loop pays with hardly any doubt


class Acceleration:
    """The faster steps of one ``fit``; ``why_not`` says why there are none."""

    def __init__(self, fit: Fit) -> None:
        self._fit = fit
        self.why_not = _unfit(fit)
        self._training: Feed | None = None
        self._validation: Feed | None = None
        self._of_data = ""  # what was done to the input, for the record
        self._inputs = 0
        self._is_on = False
        self._originals: tuple[Any, Any] = (None, None)
        self._mine: tuple[Any, ...] = ()  # the step functions that take blocks

    @property
    def block_size(self) -> int:
        """How many steps the block that trains now has."""
        return self._training.size if self._training else 1

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Make the input of this ``fit`` yield blocks."""
        if self.why_not:
            yield
            return
        make = blocks_under(self.feed_for, self.is_over)
        with replaced_input(self._fit.framework, make):
            yield

    def start(self) -> None:
        """The model is built: let it run blocks."""
        if self._training is None:
            return
        self._is_on = True
        self._take_over()
        self._fit.framework.on_retrace = self._take_over

    def stop(self) -> None:
        """Give the model its own step functions back."""
        if not self._is_on:
            return
        self._is_on = False
        self._fit.framework.on_retrace = lambda: None
        model = self._fit.model
        model.train_function, model.test_function = self._originals
        if self._validation is not None and self._validation.pace.way != PLAIN:
            compiled = Compiled(
                model.test_function, self._validation.made, self._validation.pace.way
            )
            self._fit.training.passes.keep(model, compiled)

    def feed_for(self, source: Any) -> Feed | None:
        """Return the feed of an input that ``fit`` makes: the first trains, the next validates."""
        self._inputs += 1
        if self._inputs > 2 or (self._inputs == 2 and self._training is None):  # noqa: PLR2004
            return None
        is_training = self._inputs == 1
        feed = self._make_feed(source, is_training=is_training)
        if is_training:
            self._training = feed
        else:
            self._validation = feed
        return feed

    def _make_feed(self, source: Any, *, is_training: bool) -> Feed:
        if (data := resident(source)) is not None:
            pace = self._make_pace(source, ROW_WAYS, is_training=is_training)
            return RowFeed(source, data, order_of(source), pace)
        told = improve_stream(source, hardware.memory())
        if is_training and told:
            self._of_data = f"; {told}"
        return StreamFeed(source, self._make_pace(source, STREAM_WAYS, is_training=is_training))

    def _make_pace(self, source: Any, ways: tuple[str, ...], *, is_training: bool) -> Pace:
        model, framework = self._fit.model, self._fit.framework
        return Pace(
            (PLAIN, *hardware.ways_for(model, framework, ways)),
            self._training_left if is_training else self._validation_left,
            known=self._by_rule(source) or (self.known() if is_training else ""),
            promises=lambda: hardware.promises(kind_of(model, framework)),
            chosen=self._tell if is_training else _nobody,
        )

    def is_over(self, feed: Feed) -> bool:
        """Whether Keras' own input serves: plain steps have won, or nobody here takes blocks.

        That is so before the model is built, and when a callback has compiled the model anew.
        """
        model = self._fit.model
        now = model.train_function if feed is self._training else model.test_function
        won = feed.pace.is_final and feed.pace.way == PLAIN
        return won or now not in self._mine

    def _take_over(self) -> None:
        """Replace the model's step functions; called again after each retrace."""
        model = self._fit.model
        model.make_test_function()
        self._originals = (model.train_function, model.test_function)
        for feed in (self._training, self._validation):
            if feed is not None:
                feed.forget()
        train = self._dispatch(model.train_function, model.train_step, is_training=True)
        test = self._dispatch(model.test_function, model.test_step, is_training=False)
        self._mine = model.train_function, model.test_function = train, test

    def _dispatch(self, original: Any, step: Any, *, is_training: bool) -> Any:
        def run(iterator: Any) -> Any:
            if isinstance(iterator, Block):
                return _run(original, step, iterator)
            feed = self._training if is_training else self._validation
            return timed(original, iterator, feed)

        return run

    def _training_left(self) -> int:
        fit, steps = self._fit, (self._training.steps if self._training else 0) or 0
        epochs = fit.record.planned_epochs - fit.watch.epoch
        return epochs * steps + steps - max(0, fit.watch.step)

    def _validation_left(self) -> int:
        epochs = self._fit.record.planned_epochs - self._fit.watch.epoch
        return epochs * ((self._validation.steps if self._validation else 0) or 0)

    def _by_rule(self, source: Any) -> str:
        """Return what a seed demands: a way that does not depend on how fast anything was."""
        model = self._fit.model
        if self._fit.plan.seed is None:
            return ""
        small = not model.built or model.count_params() <= _FEW_PARAMETERS
        (loop, *_) = hardware.ways_for(model, self._fit.framework, (LOOP, XLA))
        return loop if small and (source.num_batches or 0) >= _MANY_STEPS else PLAIN

    def known(self) -> str:
        """Return what the last run of the same cell chose."""
        before = self._fit.record.ghost
        if before is None or before.begin.key != self._fit.key or before.accelerated is None:
            return ""
        return before.accelerated.way

    def tell_at_start(self) -> None:
        """Say why plain steps are kept, or which choice is used again."""
        if self._training is None:
            if self._fit.plan.accelerate != "off":
                self._emit(PLAIN, 0.0, f"plain steps: {self.why_not or 'Keras feeds otherwise'}")
        elif self._training.pace.is_final:
            way = self._training.pace.way
            seeded = self._fit.plan.seed is not None
            why = "fixed by --seed" if seeded else "as the last run of this cell has chosen"
            self._emit(way, 0.0, f"{WORDS[way]}, {why}")

    def _tell(self) -> None:
        """Say what was chosen, and what it gains."""
        assert self._training is not None  # noqa: S101 - it has just chosen
        pace = self._training.pace
        times = ", ".join(
            f"{way} {trial.per_step * 1e3:.3g} ms" for way, trial in pace.trials.items()
        )
        if pace.way == PLAIN:
            text = f"plain steps: {pace.reason or 'nothing else was faster'} ({times} per step)"
        else:
            text = f"{WORDS[pace.way]}: {pace.gain:.1f} times the speed ({times} per step)"
        self._emit(pace.way, pace.gain, text)

    def _emit(self, way: str, gain: float, text: str) -> None:
        self._fit.emit(ev.Accelerated(time.time(), way, round(gain, 2), text + self._of_data))


def _run(original: Any, step: Any, block: Block) -> Any:
    """Run a block, by Keras' own steps where it cannot be run as one."""
    try:
        return block.feed.run(step, block)
    except PlainInsteadError as error:
        block.feed.pace.give_up(str(error))
        batches = block.feed.plain_batches(block)
        logs = None
        for _ in range(block.steps):
            logs = original(batches)
        return logs


def _nobody() -> None:
    """Tell nobody: the choice for validation is not worth a line."""


def _unfit(fit: Fit) -> str:
    """Return why a ``fit`` must keep plain steps, or nothing."""
    if fit.plan.accelerate == "off":
        return "turned off"
    if why_not := unsuited(fit.model, fit.framework, "train_step"):
        return why_not
    watching = [type(c).__name__ for c in fit.call.callbacks if _watches_batches(fit.framework, c)]
    return f"{'/'.join(watching)} watches every batch" if watching else ""


def _watches_batches(framework: Any, callback: Any) -> bool:
    base = framework.module.callbacks.Callback
    methods = [(getattr(callback, n), getattr(base, n)) for n in _BATCH_HOOKS]
    return any(getattr(mine, "__func__", mine) is not default for mine, default in methods)
