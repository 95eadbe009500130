"""What looks at a compression while it goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nb_optimizer.core.watching import Guard

if TYPE_CHECKING:
    from nb_optimizer.core.compression.result import CompressionResult


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
        self._guard = Guard()

    def show(self, result: CompressionResult) -> None:
        """Show the rows so far."""
        self._guard(lambda: self._watcher.show(result))

    def begin(self, name: str) -> None:
        """Tell what is being made or measured now."""
        self._guard(lambda: self._watcher.begin(name))

    def pulse(self) -> None:
        """Let clicks in; ``StoppedError`` passes, for it is a wish and no failure."""
        self._guard(self._watcher.pulse)
