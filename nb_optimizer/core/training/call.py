"""The arguments of one ``fit`` call, and what the plan changes in them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from nb_optimizer.core.errors import UserError
from nb_optimizer.core.plan import TrainPlan

# Keras' loop runs over ``range(initial_epoch, epochs)``. We ask for more than anyone trains and
# end the run ourselves, so that epochs can be added while it runs.
ENDLESS = 10_000_000


class FitCall:
    """One call of ``fit``, with its arguments by name."""

    def __init__(self, original: Callable[..., Any], model: Any, args: Any, kwargs: Any) -> None:
        self.original = original
        self.model = model
        bound = inspect.signature(original).bind(model, *args, **kwargs)
        given = set(bound.arguments)
        bound.apply_defaults()
        self.values: dict[str, Any] = dict(bound.arguments)
        self.share: Any = None  # what a strategy changes about this call
        self.batch_growth = 1.0  # how many times the cell's own batch this call's is
        self.notes: list[str] = []  # what was changed in the arguments, to be told
        self.known_batch: int | None = None  # rows per batch, where somebody has looked
        self.verbose_was_given = "verbose" in given
        # What the user left out is left out again: Keras warns of some values when they are given.
        names = list(self.values)
        self._implicit = {n: self.values[n] for n in names if n not in given}
        self._self_name = names[0]

    def apply(self, plan: TrainPlan, *, quiet: bool, devices: int = 1) -> None:
        """Write the plan's options into the arguments; ``devices`` train together."""
        if plan.epochs is not None:
            self.values["epochs"] = self.values["initial_epoch"] + plan.epochs
        if plan.batch_size is not None:
            before = self.batch_size
            self._set_batch_size(plan.rows_per_batch(devices))
            self._weigh(before, plan)
        if quiet and not self.verbose_was_given:
            self.values["verbose"] = 0

    @property
    def epochs(self) -> int:
        """The number of the last epoch that is asked for."""
        return int(self.values["epochs"])

    @property
    def initial_epoch(self) -> int:
        """How many epochs are already done."""
        return int(self.values["initial_epoch"])

    @property
    def callbacks(self) -> list[Any]:
        """The user's callbacks as a flat list."""
        given = self.values["callbacks"]
        if given is None:
            return []
        if hasattr(given, "callbacks"):  # a CallbackList
            return list(given.callbacks)
        return list(_flat(given))

    @property
    def validates(self) -> bool:
        """Whether there is validation data."""
        return self.values["validation_data"] is not None or bool(self.values["validation_split"])

    @property
    def takes_arrays(self) -> bool:
        """Whether the input is arrays, which Keras cuts into batches itself."""
        x = self.values["x"]
        return x is not None and all(hasattr(leaf, "shape") for leaf in _leaves(x))

    @property
    def batch_size(self) -> int | None:
        """Samples per batch where this call decides on them."""
        given = self.values["batch_size"]
        if given or not self.takes_arrays:
            return int(given) if given else None
        steps = self.values["steps_per_epoch"]
        samples = next(iter(_leaves(self.values["x"]))).shape[0]
        return int(-(-samples // steps)) if steps else 32

    def run(self, extra: list[Any]) -> Any:
        """Call ``fit`` with ``extra`` callbacks after the user's own."""
        __tracebackhide__ = True
        values = dict(self.values)
        given = values["callbacks"]
        if hasattr(given, "callbacks"):
            for callback in extra:
                given.callbacks.append(callback)
                callback.set_model(self.model)
                callback.set_params(given.params)
        else:
            values["callbacks"] = self.callbacks + extra
        if self.epochs > self.initial_epoch:
            values["epochs"] = ENDLESS
        values.pop(self._self_name)
        for name, default in self._implicit.items():
            if values[name] is default:
                values.pop(name)
        return self.original(self.model, **values)

    def _weigh(self, before: int | None, plan: TrainPlan) -> None:
        """Note how much larger the batch has become; offer to scale the learning rate."""
        now = self.batch_size
        if not before or not now or now == before:
            return
        self.batch_growth = now / before
        if not plan.scale_lr and plan.lr is None and now > before:
            self.notes.append(
                f"the batch of {now} is {self.batch_growth:g} times the cell's {before}; the "
                f"learning rate is unchanged. --scale-lr multiplies it by {self.batch_growth:g} "
                "after a warm-up"
            )

    def _set_batch_size(self, size: int) -> None:
        if not self.takes_arrays:
            kind = type(self.values["x"]).__name__
            message = (
                f"--batch-size {size} applies to array input; this fit gets a {kind}, "
                "which makes its own batches. Change the batch size there."
            )
            raise UserError(message)
        self.values["batch_size"] = size


def _flat(items: Any) -> list[Any]:
    if isinstance(items, list | tuple):
        return [leaf for item in items for leaf in _flat(item)]
    return [items]


def _leaves(x: Any) -> list[Any]:
    if isinstance(x, dict):
        return [leaf for item in x.values() for leaf in _leaves(item)]
    if isinstance(x, list | tuple):
        return [leaf for item in x for leaf in _leaves(item)]
    return [x]
