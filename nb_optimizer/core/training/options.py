"""What the plan puts on one ``fit``: callbacks, learning rate, regularization, the monitor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nb_optimizer.core.devices import warmup
from nb_optimizer.core.errors import UserError, listing, nearest
from nb_optimizer.core.training import metric, regularize, state
from nb_optimizer.core.training.rate import plateau

if TYPE_CHECKING:
    from nb_optimizer.core.training.fit import Fit
    from nb_optimizer.core.training.framework import Watcher


class Options:
    """Applies the options of a plan to a ``fit``, and takes them off the model again."""

    def __init__(self, fit: Fit) -> None:
        self._fit = fit
        self._plan = fit.plan
        self._hooks: Any = None
        self._added_callbacks: list[Any] = []
        self._before: state.Snapshot | None = None  # to undo an epoch under a wrong monitor
        self.regularization = regularize.Regularization()

    @property
    def monitor(self) -> str:
        """The metric that decides which epoch is best."""
        if self._plan.monitor:
            return self._plan.monitor
        users = self._fit.framework.find_early_stopping(self._fit.call.callbacks)
        if users is not None:
            return str(users.monitor)
        return "val_loss" if self._fit.call.validates else "loss"

    def callbacks(self, watcher: Watcher) -> list[Any]:
        """Make the callbacks that go behind the user's own; the last one is the watcher's."""
        plan, framework, monitor = self._plan, self._fit.framework, self.monitor
        if plan.patience is not None:
            stopping = framework.early_stopping(
                monitor=monitor,
                patience=int(plan.patience),
                min_delta=plan.min_delta,
                mode=metric.direction(monitor),
            )
            self._added_callbacks.append(stopping)
        if plan.scale_lr:
            self._scale_rate()
        if plan.reduce_lr is not None:
            lowering = plateau(framework, self._fit.rate, monitor, plan.reduce_lr, plan.min_delta)
            self._added_callbacks.append(lowering)
        own_step = framework.has_own(self._fit.model, "train_step")
        self._hooks = framework.hooks(watcher, self._fit.call.epochs, wants_logs=own_step)
        return [*self._added_callbacks, self._hooks]

    def _scale_rate(self) -> None:
        fit, growth = self._fit, self._fit.call.batch_growth
        base = self._plan.lr or fit.rate.get()
        if growth == 1.0 or base is None:
            fit.call.notes.append("--scale-lr changes nothing: the batch is the cell's own")
            return
        epochs = warmup.length(fit.call.epochs)
        span = f"{epochs} epoch{'s' * (epochs > 1)}"
        raising = warmup.warm_up(fit.framework, fit.rate, base, growth, epochs)
        self._added_callbacks.append(raising)
        fit.call.notes.append(
            f"the learning rate goes from {base:g} to {base * growth:g} within {span}, "
            f"as the batch is {growth:g} times the cell's"
        )

    @property
    def stateful_callbacks(self) -> list[Any]:
        """The callbacks whose state belongs to a checkpoint: all but our own hooks."""
        return self._fit.call.callbacks + self._added_callbacks

    def stopping_state(self) -> dict[str, Any] | None:
        """The state of the early stopping in force."""
        found = self._fit.framework.find_early_stopping(self.stateful_callbacks)
        return metric.stopping_state(found)

    def logged_loss(self) -> float | None:
        """The loss that a ``train_step`` of the user's own returned last."""
        logs = getattr(self._hooks, "batch_logs", None)
        return float(logs["loss"]) if logs and "loss" in logs else None

    def put_on(self) -> None:
        """Set the learning rate and regularize the built model."""
        plan, fit = self._plan, self._fit
        if plan.lr is not None:
            first = fit.rate.get()
            if fit.rate.is_schedule:
                fit.rate.scale(plan.lr / first if first else 1.0)
            else:
                fit.rate.set(float(plan.lr))
        self.regularization = regularize.add(
            fit.framework, fit.model, l1=plan.l1, l2=plan.l2, dropout=plan.dropout
        )

    def tell(self) -> None:
        """Say what was added to which layers."""
        for text in [*self._fit.call.notes, *self.regularization.notes]:
            self._fit.note(text)

    def take_off(self) -> None:
        """Give the user's own learning-rate schedule and layers back."""
        self._fit.rate.restore()
        self.regularization.remove(self._fit.framework, self._fit.model)

    def guard_monitor(self) -> None:
        """Remember the state until the first epoch shows that the asked monitor exists."""
        if self._plan.monitor:
            self._before = state.take(self._fit.subject, 0)

    def check_monitor(self, values: dict[str, float]) -> None:
        """Refuse a monitor that the run does not produce, and give the weights back."""
        word = self._plan.monitor or ""
        validated = any(name.startswith("val_") for name in values)
        comes_later = self._fit.call.validates and not validated  # validation_freq
        if comes_later and word.startswith("val_") and word.removeprefix("val_") in values:
            return
        before, self._before = self._before, None
        if before is None or word in values:
            return
        state.put(self._fit.subject, before)
        message = f'--monitor takes a metric of this run, got "{word}".{nearest(word, values)}'
        message = f"{message} The run has {listing(values)}."
        raise UserError(message)
