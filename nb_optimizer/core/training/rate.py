"""The learning rate of a model in training: read it, set it, lower it on a plateau."""

from __future__ import annotations

import math
from typing import Any

from nb_optimizer.core.record import better
from nb_optimizer.core.training.framework import Framework, to_number
from nb_optimizer.core.training.metric import direction

_FACTOR = 0.1  # as Keras' ReduceLROnPlateau


class Rate:
    """The learning rate of a model's compiled optimizer.

    A fixed rate is assigned. A schedule is scaled by a factor, so that it keeps its shape and
    gives the wanted rate now; ``restore`` hands the user's own schedule back.
    """

    def __init__(self, framework: Framework, model: Any) -> None:
        self._framework = framework
        self._model = model
        compiled = getattr(model, "optimizer", None)
        # Under mixed_float16 Keras wraps the optimizer in one that scales the loss.
        self._optimizer: Any = getattr(compiled, "inner_optimizer", compiled)
        self._schedule = self._find_schedule()
        self.factor = 1.0

    @property
    def is_schedule(self) -> bool:
        """Whether the rate follows a schedule."""
        return self._schedule is not None

    @property
    def schedule_name(self) -> str:
        """The class of the schedule, or an empty string."""
        return type(self._schedule).__name__ if self._schedule else ""

    def get(self) -> float | None:
        """Return the rate in force, or ``None`` for an optimizer without one."""
        if self._schedule is not None:
            return to_number(self._schedule(self._optimizer.iterations)) * self.factor
        rate = getattr(self._optimizer, "learning_rate", None)
        try:
            return None if rate is None else to_number(rate)
        except (TypeError, AttributeError):
            return None

    def set(self, value: float) -> None:
        """Make ``value`` the rate of the next step."""
        if self._schedule is None:
            self._optimizer.learning_rate = value
            return
        now = to_number(self._schedule(self._optimizer.iterations))
        self.scale(value / now if now else self.factor)

    def scale(self, factor: float) -> None:
        """Scale the schedule by ``factor``; compiles the training step again."""
        if self._schedule is None or factor == self.factor:
            return
        self.factor = factor
        self._optimizer.learning_rate = _scaled(self._framework, self._schedule, factor)
        self._framework.retrace(self._model)

    def restore(self) -> None:
        """Hand the user's own schedule back."""
        if self._schedule is not None and self.factor != 1.0:
            self._optimizer.learning_rate = self._schedule
            self._framework.retrace(self._model)

    def _find_schedule(self) -> Any | None:
        rate = getattr(self._optimizer, "_learning_rate", None)
        return rate if isinstance(rate, self._framework.schedule_class()) else None


def _scaled(framework: Framework, schedule: Any, factor: float) -> Any:
    class Scaled(framework.schedule_class()):  # type: ignore[misc]
        def __call__(self, step: Any) -> Any:
            return schedule(step) * factor

        def get_config(self) -> dict[str, Any]:
            return dict(schedule.get_config())

    return Scaled()


def plateau(framework: Framework, rate: Rate, monitor: str, patience: int, min_delta: float) -> Any:
    """Return a callback that multiplies the rate by 0.1 after ``patience`` epochs without gain.

    The rule of Keras' ``ReduceLROnPlateau`` without cooldown; unlike it, it also works over a
    learning-rate schedule.
    """
    way = direction(monitor)
    sign = min_delta if way == "max" else -min_delta

    class ReduceOnPlateau(framework.module.callbacks.Callback):  # type: ignore[misc, name-defined]
        def on_train_begin(self, logs: Any = None) -> None:  # noqa: ARG002
            self.best = -math.inf if way == "max" else math.inf
            self.wait = 0
            self.reductions = 0

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
            value = (logs or {}).get(monitor)
            if value is None:
                return
            if better(way, value, self.best + sign if math.isfinite(self.best) else self.best):
                self.best, self.wait = float(value), 0
                return
            self.wait += 1
            now = rate.get()
            if self.wait >= patience and now:
                rate.set(now * _FACTOR)
                self.wait = 0
                self.reductions += 1

    return ReduceOnPlateau()
