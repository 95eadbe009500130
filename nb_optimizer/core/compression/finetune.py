"""Short training of a compressed model, with the loss and the optimizer of the float one."""

from __future__ import annotations

import contextlib
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from nb_optimizer.core.compression import distill
from nb_optimizer.core.compression.data import Array, Data
from nb_optimizer.core.compression.distill import Lesson
from nb_optimizer.core.devices import preflight, strategy
from nb_optimizer.core.plan import TrainPlan
from nb_optimizer.core.record import RunRecord
from nb_optimizer.core.store import Store
from nb_optimizer.core.watching import ViewFactory, silent

BATCH = 64
_FLOOR = 0.02  # of the first learning rate, at the end
_BLOCK = 25  # steps in one call, about 0.2 s of a small network
_PACED = 50  # batches that tell how long an epoch takes
_DEFAULT = 1e-3  # where there is no Keras 3 optimizer to ask


class TimeIsUpError(Exception):
    """The search has no time left for this fine-tuning."""


@dataclass
class FineTuning:
    """What every fine-tuning of a compression shares; ``model`` is the float model."""

    model: Any
    train: Data
    store: Store
    seed: int
    view: ViewFactory = silent
    quiet: bool = True  # inside a search: no panel and no run of its own
    deadline: float | None = None  # time.monotonic(), for searches
    devices: str | None = None  # as ``--devices`` says them; ``None``: no strategy
    tell: Callable[[str], None] = lambda _: None  # what the devices change
    pulse: Callable[[], None] = lambda: None  # after each call of ``block`` steps
    stopped: bool = False
    _lessons: dict[int, Lesson] = field(default_factory=dict)  # by teacher; these live as long

    def fit(  # noqa: PLR0913, PLR0917 - what differs from step to step
        self,
        model: Any,
        epochs: int,
        callbacks: list[Any],
        name: str,
        rate: float = 1.0,
        teacher: Any = None,
    ) -> None:
        """Train ``model`` on the training data.

        Args:
            model: a Keras model with the outputs of the float model.
            epochs: passes over the data.
            callbacks: what keeps weights pruned, shared, ...
            name: what the panel calls the run.
            rate: share of the compiled learning rate to begin with.
            teacher: a fine-tuned float model, to learn from it more than from the labels.

        Raises:
            TimeIsUpError: the deadline passed; the weights are of no use.
        """
        lesson = self.lesson(teacher)
        steps = epochs * self.steps_per_epoch
        watch = [*callbacks, _Ending.of(self.deadline, self.pulse)]
        with _seeded(self.seed), self._watched(name):
            model.compile(
                self._optimizer(steps, rate), lesson.loss, metrics=self._metrics(lesson.targets),
                steps_per_execution=self.block,
            )  # fmt: skip
            model.fit(
                self.train.for_keras(), lesson.targets, batch_size=self.batch, epochs=epochs,
                callbacks=watch, verbose=0,
            )  # fmt: skip
        if self.deadline and time.monotonic() > self.deadline:
            raise TimeIsUpError

    def pace(self, model: Any) -> float:
        """Return the seconds that an epoch will take, from a few batches, which ``model`` takes."""
        lesson, rows = self.lesson(), min(len(self.train), _PACED * BATCH)
        part = replace(self.train, targets=lesson.targets).take(np.arange(rows))
        with _seeded(self.seed):
            optimizer = self._optimizer(rows, 1.0)
            model.compile(
                optimizer, lesson.loss, steps_per_execution=min(self.block, rows // BATCH or 1)
            )
            for _ in range(2):  # the first time compiles
                began = time.perf_counter()
                model.fit(part.for_keras(), part.targets, batch_size=BATCH, verbose=0)
        return (time.perf_counter() - began) * len(self.train) / rows

    @property
    def steps_per_epoch(self) -> int:
        """How many batches an epoch has."""
        return -(-len(self.train) // self.batch)

    @property
    def block(self) -> int:
        """How many steps run in one call: many in a search, which nobody watches step by step."""
        alone = self.deadline is None or self.devices is not None
        return 1 if alone else max(1, min(_BLOCK, self.steps_per_epoch))

    @property
    def batch(self) -> int:
        """How many rows a batch has, on all devices together."""
        return preflight.divisible(BATCH, self.replicas)

    @property
    def replicas(self) -> int:
        """How many copies of the model are trained together."""
        return strategy.chosen(self.devices).replicas if self.devices else 1

    @contextlib.contextmanager
    def on_devices(self, teacher: Any) -> Iterator[None]:
        """Within the block, models are made for the devices that train them."""
        if self.devices:
            self.lesson(teacher)  # asks a model that is on none of them
        with strategy.scope(self.devices):
            yield

    @contextlib.contextmanager
    def _watched(self, name: str) -> Iterator[None]:
        if self.quiet and self.devices is None:
            yield
            return
        from nb_optimizer.core.training.session import Training  # noqa: PLC0415 - loads Keras

        plan = TrainPlan(
            name=name[:80], restore_best=False, checkpoint=False, accelerate="off",
            devices=self.devices,
        )  # fmt: skip
        with contextlib.ExitStack() as stack:
            store, view = self.store, self.view
            if self.quiet:  # what a strategy needs is wanted, a run is not
                folder = stack.enter_context(tempfile.TemporaryDirectory())
                store, view = Store(Path(folder)), silent
            run = stack.enter_context(Training(plan, store=store, view=view))
            yield
        self.stopped = self.stopped or run.status == "stopped"
        if self.devices:
            self._tell_devices(run.record)

    def _tell_devices(self, record: RunRecord) -> None:
        if self.batch != BATCH:
            self.tell(preflight.grown(BATCH, self.batch, self.replicas))
        for note in record.notes:
            if record.scaling is None or note.text != record.scaling.text:
                self.tell(note.text)

    def _optimizer(self, steps: int, share: float) -> Any:
        import keras  # noqa: PLC0415 - loads on first use

        own = getattr(self.model, "optimizer", None)
        rate = share * self.rate
        slower = keras.optimizers.schedules.CosineDecay(rate, max(1, steps), alpha=_FLOOR)
        if not isinstance(own, keras.optimizers.Optimizer):
            return keras.optimizers.Adam(slower)
        config = {**own.get_config(), "learning_rate": slower}
        return type(own).from_config({k: v for k, v in config.items() if k != "name"})

    def _metrics(self, targets: Any) -> list[str]:
        single = isinstance(targets, np.ndarray)
        classes = single and targets.ndim > 1 and targets.shape[-1] > 1
        return ["categorical_accuracy"] if classes and _are_shares(targets) else []

    @property
    def rate(self) -> float:
        """The learning rate that the float model was compiled with."""
        return _rate(getattr(self.model, "optimizer", None))

    def lesson(self, teacher: Any = None) -> Lesson:
        """Return loss and targets; the float model has a say in them, or a better ``teacher``."""
        if id(teacher) not in self._lessons:
            share = distill.HALF if teacher is None else distill.MOST
            self._lessons[id(teacher)] = distill.lesson(
                self.model, self.train, teacher or self.model, share
            )
        return self._lessons[id(teacher)]


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed what training draws from, and give the user's own random streams back."""
    import keras  # noqa: PLC0415 - loads on first use

    streams = random.getstate(), np.random.get_state()  # noqa: NPY002 - the user's own
    keras.utils.set_random_seed(seed)
    try:
        yield
    finally:
        random.setstate(streams[0])
        np.random.set_state(streams[1])  # noqa: NPY002


class _Ending:
    @staticmethod
    def of(deadline: float | None, pulse: Callable[[], None]) -> Any:
        """Return a callback that ends training when the time is up or somebody wants it."""
        import keras  # noqa: PLC0415 - loads on first use

        class Ending(keras.callbacks.Callback):  # type: ignore[misc]
            def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
                pulse()
                if deadline and time.monotonic() > deadline:
                    self.model.stop_training = True

        return Ending()


def _rate(optimizer: Any) -> float:
    """Return the rate that training began with: a schedule may have run out since."""
    import keras  # noqa: PLC0415 - loads on first use

    if not isinstance(optimizer, keras.optimizers.Optimizer):
        return _DEFAULT
    told = optimizer.get_config()["learning_rate"]
    if isinstance(told, dict):
        told = keras.optimizers.schedules.deserialize(told)(0)
    return float(told) or _DEFAULT


def _are_shares(targets: Array) -> bool:
    return bool(np.allclose(targets[:100].sum(axis=-1), 1, atol=1e-3))
