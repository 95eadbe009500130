"""Carries out what people ask of a run, between two batches, and records each deed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from nb_optimizer.core.training import state
from nb_optimizer.core.training.control import Command

if TYPE_CHECKING:
    from nb_optimizer.core.training.fit import Fit


class Steering:
    """Applies commands of a :class:`Control` to a running ``fit``."""

    def __init__(self, fit: Fit) -> None:
        self._fit = fit
        self._stop_is_told = False
        self._deeds: dict[str, Callable[[Command], float | None]] = {
            "learning_rate": self._learning_rate,
            "more_epochs": self._more_epochs,
            "back_to_best": self._back_to_best,
        }

    def apply(self) -> None:
        """Carry out what waits; called by the training thread."""
        fit = self._fit
        for command in fit.control.take():
            try:
                value = self._deeds[command.action](command)
            except RefusedError as refusal:
                fit.note(str(refusal), "warning")
                continue
            action = "epochs" if command.action == "more_epochs" else command.action
            fit.intervened(action, value, command.origin)
        if fit.control.stop.is_set() and not self._stop_is_told:
            self._stop_is_told = True
            fit.intervened("stop", None, fit.control.stop_origin)

    def _learning_rate(self, command: Command) -> float | None:
        if self._fit.rate.get() is None:
            message = "this optimizer has no learning rate that can be set"
            raise RefusedError(message)
        try:
            self._fit.rate.set(float(command.value or 0))
        except TypeError as error:
            raise RefusedError(str(error)) from error
        return self._fit.rate.get()

    def _more_epochs(self, command: Command) -> float:
        return float(self._fit.record.planned_epochs + int(command.value or 0))

    def _back_to_best(self, command: Command) -> float:  # noqa: ARG002 - one signature for all
        best = self._fit.keeper.best
        if best is None:
            message = "no epoch is finished yet, so there is no best to go back to"
            raise RefusedError(message)
        state.put(self._fit.subject, best, keep_rate=True)
        return float(best.epoch)


class RefusedError(ValueError):
    """A wish that cannot be granted now; the text says why."""
