"""What a run expects of whoever shows it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from nb_optimizer.core.events import Event
from nb_optimizer.core.record import RunRecord
from nb_optimizer.core.training.control import Control

_log = logging.getLogger(__name__)


class Guard:
    """Calls something of a view: its failure is told once and never reaches the work."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def __call__(self, call: Callable[[], object]) -> None:
        """Call it; anything but an interrupt of the user ends here."""
        try:
            call()
        except Exception as error:  # noqa: BLE001 - the one place: no picture may stop the work
            text = f"{type(error).__name__}: {error}"
            if text not in self.problems:
                self.problems.append(text)
                _log.warning("nb_optimizer could not show the run (%s)", text, exc_info=error)


class View(Protocol):
    """Shows one run. All methods are called from the thread that trains."""

    def show(self, event: Event, record: RunRecord) -> None:
        """Take note of an event that has just been folded into ``record``; must be quick."""

    def pump(self) -> None:
        """Let waiting messages of the front end in; called several times a second."""

    def close(self, record: RunRecord) -> None:
        """Leave the final, static picture behind."""


class Silent:
    """Shows nothing."""

    def show(self, event: Event, record: RunRecord) -> None:
        """Do nothing."""

    def pump(self) -> None:
        """Do nothing."""

    def close(self, record: RunRecord) -> None:
        """Do nothing."""


ViewFactory = Callable[[RunRecord, Control], View]


def silent(record: RunRecord, control: Control) -> View:  # noqa: ARG001 - a ViewFactory
    """Make a view that shows nothing."""
    return Silent()
