"""Keras Tuner's ``hp`` for a cell: known values are given, unknown ones drawn and reported.

The one file that touches a private name of Keras Tuner (``HyperParameters._register``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras_tuner

from nb_optimizer.core.tuning.space import Range, Space, rng_of


class Hyper(keras_tuner.HyperParameters):  # type: ignore[misc]
    """``hp`` of one trial. What it has not been given it draws, the same for the same seed."""

    def __init__(self, values: Mapping[str, Any], seed: int) -> None:
        super().__init__()
        self.values = dict(values)
        self._seed = seed

    def _register(self, hyperparameter: Any, overwrite: bool = False) -> Any:  # noqa: FBT001, FBT002 - theirs
        name = hyperparameter.name
        if name not in self.values and self.is_active(hyperparameter):
            # A stream of its own for each name: what else the cell asks for changes nothing.
            rng = rng_of(self._seed, name)
            self.values[name] = as_range(hyperparameter).sample(rng)
        return super()._register(hyperparameter, overwrite)

    def drawn(self) -> dict[str, Any]:
        """Return the values of everything that this trial has asked for."""
        return {one.name: self.values[one.name] for one in self.space if self.is_active(one)}

    def met(self) -> list[dict[str, Any]]:
        """Return the ranges that this trial has met, under conditions that did not hold too."""
        return Space([as_range(one) for one in self.space]).to_json()


def hyperparameters(values: Mapping[str, Any], seed: int) -> Hyper:
    """Return the ``hp`` for a trial with these values."""
    return Hyper(values, seed)


def as_range(one: Any) -> Range:
    """Return a hyperparameter of Keras Tuner as a range."""
    config = one.get_config()
    when = tuple((c.name, tuple(c.values)) for c in one.conditions)
    kind = type(one).__name__
    if kind in ("Int", "Float"):
        log = config["sampling"] == "log"
        step = config["step"]
        if kind == "Int" and step == 1 and not log:
            step = None
        return Range(
            one.name, kind.lower(), config["min_value"], config["max_value"], step, log, (), when
        )
    if kind == "Fixed":
        return Range(one.name, "choice", choices=(config["value"],), when=when)
    return Range(one.name, "choice", choices=tuple(one.values), when=when)
