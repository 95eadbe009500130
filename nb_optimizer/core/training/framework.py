"""Keras 3 and tf_keras seen through one window.

Everything that touches a name which these packages do not document is in this file and, for their
data pipeline, in ``keras_input``; each such place tests for the feature and goes without it, with
a word, where it is missing.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, Protocol

import numpy as np


class Watcher(Protocol):
    """Receives the hooks of one ``fit`` call."""

    def train_begin(self, params: dict[str, Any]) -> None:
        """The model is built; nothing is trained yet."""

    def epoch_begin(self, epoch: int) -> None:
        """Epoch ``epoch`` (from 0) starts."""

    def batch_begin(self, step: int) -> None:
        """Batch ``step`` (from 0) is next. Called for every batch: must cost next to nothing."""

    def test_begin(self) -> None:
        """A validation pass starts."""

    def test_batch_begin(self, step: int) -> None:
        """Validation batch ``step`` is next."""

    def epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Epoch ``epoch`` (from 0) is over, validation included."""


class Framework:
    """One of the two Keras packages, with the few things the training core needs of it."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        self.name = module.__name__
        self.on_retrace: Callable[[], None] = lambda: None

    @property
    def model_class(self) -> Any:
        """The class whose ``fit`` users call."""
        return self.module.Model

    def hooks(self, watcher: Watcher, epochs: int, *, wants_logs: bool) -> Any:
        """Return a callback that forwards Keras' hooks to ``watcher``.

        ``epochs`` is what the other callbacks are told the run will have. Batches are watched
        from ``on_train_batch_begin``, which leaves Keras free to hand batch ends to its own
        thread; only models with a ``train_step`` of their own need the logs (``wants_logs``).
        """

        class Hooks(self.module.callbacks.Callback):  # type: ignore[misc, name-defined]
            async_safe = True
            _supports_tf_logs = True

            def set_params(self, params: dict[str, Any]) -> None:
                if params and "epochs" in params:
                    params["epochs"] = epochs
                super().set_params(params)

            def on_train_begin(self, logs: Any = None) -> None:  # noqa: ARG002
                watcher.train_begin(self.params)

            def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
                watcher.epoch_begin(epoch)

            def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
                watcher.batch_begin(batch)

            def on_test_begin(self, logs: Any = None) -> None:  # noqa: ARG002
                watcher.test_begin()

            def on_test_batch_begin(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
                watcher.test_batch_begin(batch)

            def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
                watcher.epoch_end(epoch, dict(logs or {}))

        class HooksWithLogs(Hooks):
            batch_logs: Any = None

            def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
                self.batch_logs = logs

        return HooksWithLogs() if wants_logs else Hooks()

    def has_own(self, model: Any, step: str) -> bool:
        """Whether the model's class replaces Keras' ``train_step``, ``test_step`` and so on."""
        return not getattr(type(model), step).__module__.startswith(f"{self.name}.")

    def early_stopping(self, **settings: Any) -> Any:
        """Make the framework's own ``EarlyStopping``."""
        return self.module.callbacks.EarlyStopping(**settings)

    def find_early_stopping(self, callbacks: list[Any]) -> Any | None:
        """Return the first ``EarlyStopping`` among the callbacks."""
        kind = self.module.callbacks.EarlyStopping
        return next((c for c in callbacks if isinstance(c, kind)), None)

    def schedule_class(self) -> Any:
        """Return the base class of learning-rate schedules."""
        return self.module.optimizers.schedules.LearningRateSchedule

    def cut_validation(self, model: Any) -> None:
        """End the validation pass that is running."""
        if self.name == "tf_keras":  # has no flag for it
            raise ValidationCut
        model.stop_evaluating = True

    def optimizers(self, model: Any) -> list[Any]:
        """Return all optimizers of the model: the compiled one first, then those it holds."""
        kind = self.module.optimizers.Optimizer
        held = [v for v in vars(model).values() if isinstance(v, kind)]
        main = getattr(model, "optimizer", None)
        found = ([main] if isinstance(main, kind) else []) + held
        return list({id(o): o for o in found}.values())

    def variables(self, model: Any) -> list[Any]:
        """Return all state of the model: weights, statistics and the seeds of its layers."""
        return list(model.variables)

    def optimizer_variables(self, optimizer: Any, model: Any) -> list[Any]:
        """Return the state of an optimizer, building it for the model if it is not yet built."""
        is_main = optimizer is getattr(model, "optimizer", None)
        if is_main and not getattr(optimizer, "built", True):
            optimizer.build(model.trainable_variables)
        found = optimizer.variables
        return list(found() if callable(found) else found)

    def sublayers(self, model: Any) -> list[Any]:
        """Return all layers inside the model, nested ones too, in order."""
        flatten = getattr(model, "_flatten_layers", None)
        return list(flatten(include_self=False)) if flatten else list(model.layers)

    def retrace(self, model: Any) -> None:
        """Have Keras compile the training step again, because something in it changed."""
        model.make_train_function(force=True)
        model.test_function = None
        self.on_retrace()

    def loss_totals(self, model: Any) -> Callable[[], tuple[float, float] | None]:
        """Return a reader of the loss metric's running (total, count), or of ``None``.

        The difference between two readings is the exact mean loss of the batches in between,
        which the averaged logs hide.
        """
        trackers: list[Any] = []

        def read() -> tuple[float, float] | None:
            if not trackers:  # compiled metrics appear only with the first batch
                trackers.extend(
                    m
                    for m in model.metrics
                    if m.name == "loss" and hasattr(m, "total") and hasattr(m, "count")
                )
            if not trackers:
                return None
            return to_number(trackers[0].total), to_number(trackers[0].count)

        return read

    def seed(self, value: int) -> None:
        """Seed Python, NumPy and the framework."""
        self.module.utils.set_random_seed(value)

    def global_seed(self) -> Any | None:
        """Return the variable behind unseeded ``keras.random`` calls, or ``None``."""
        with contextlib.suppress(ImportError, AttributeError):
            seeds = importlib.import_module(f"{self.name}.src.random.seed_generator")
            return seeds.global_seed_generator().state
        return None


class ValidationCut(Exception):  # noqa: N818 - a signal, not an error
    """Ends a validation pass of tf_keras; never leaves the training core."""


def of(model: Any) -> Framework:
    """Return the framework a model belongs to."""
    for cls in type(model).__mro__:
        root = cls.__module__.partition(".")[0]
        if root in ("keras", "tf_keras"):
            return Framework(importlib.import_module(root))
    message = f"{type(model).__name__} is not a Keras model"
    raise TypeError(message)


def wanted(source: str) -> list[Framework]:
    """Return the frameworks that a cell may train with: Keras, and tf_keras where it is used."""
    names = ["keras"]
    used = "tf_keras" in sys.modules or "tf_keras" in source
    if used and importlib.util.find_spec("tf_keras"):
        names.append("tf_keras")
    return [Framework(importlib.import_module(n)) for n in names]


def to_number(variable: Any) -> float:
    """Return the value of a scalar variable."""
    # Half the price of .numpy() where the variable offers it; under a strategy it only seems to.
    try:
        return float(variable)
    except TypeError:
        return float(variable.numpy())


def to_array(variable: Any) -> np.ndarray[Any, Any]:
    """Copy a variable's value out."""
    if not hasattr(variable, "numpy"):
        return np.array(variable, copy=True)
    value = np.asarray(variable.numpy())
    return value if value.flags.owndata else value.copy()
