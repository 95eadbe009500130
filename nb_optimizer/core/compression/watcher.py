"""What looks at a compression while it goes on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nb_optimizer.core.compression.result import CompressionResult

_log = logging.getLogger(__name__)


class StoppedError(KeyboardInterrupt):
    """Somebody has asked for an end; it travels as the interrupt of the keyboard does."""


class Watcher:
    """Sees a compression and changes nothing of it; this one looks away."""

    def show(self, result: CompressionResult) -> None:
        """Show the rows so far; called whenever one was added and at the end."""

    def begin(self, name: str) -> None:
        """Tell what is being made or measured now."""

    def pulse(self) -> None:
        """Let clicks in; called often, in the thread that works.

        Raises:
            StoppedError: whoever watches wants no more; what was made is kept.
        """


class Guarded(Watcher):
    """Passes everything on to a watcher, whose failure is told once and ends nothing."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._told: set[str] = set()

    def show(self, result: CompressionResult) -> None:
        """Show the rows so far."""
        self._try(lambda: self._watcher.show(result))

    def begin(self, name: str) -> None:
        """Tell what is being made or measured now."""
        self._try(lambda: self._watcher.begin(name))

    def pulse(self) -> None:
        """Let clicks in; ``StoppedError`` passes, for it is a wish and no failure."""
        self._try(self._watcher.pulse)

    def _try(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001 - no picture may end what takes minutes
            text = f"{type(error).__name__}: {error}"
            if text not in self._told:
                self._told.add(text)
                _log.warning("nb_optimizer could not show the run (%s)", text, exc_info=error)
