"""What a person can ask of a running training, as flags that any thread may set.

Handlers (buttons, the interrupt signal, a stop request on disk) only put something here; the
training thread takes it at a batch boundary and acts.
"""

from __future__ import annotations

import math
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

ACTIONS = ("stop", "pause", "resume", "learning_rate", "more_epochs", "back_to_best")


@dataclass(frozen=True)
class Command:
    """One wish: ``action`` is one of ``ACTIONS``; ``origin`` says where it came from."""

    action: str
    value: float | None = None
    origin: str = "panel"


class Control:
    """Thread-safe flags between whoever steers a run and the thread that trains."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.pause = threading.Event()
        self.stop_origin = ""
        self.on_stop: Callable[[], None] = lambda: None  # set by the run that is controlled
        self._commands: queue.SimpleQueue[Command] = queue.SimpleQueue()

    def request(self, action: str, value: Any = None, origin: str = "panel") -> str:
        """Ask for an action; return why it is refused, or an empty string.

        ``value`` is the new rate for ``learning_rate`` and the number of epochs for
        ``more_epochs``. It comes from a browser, so it is checked here.
        """
        if action not in ACTIONS:
            return f"unknown action {str(action)[:40]!r}"
        if action == "stop":
            self.request_stop(origin)
            return ""
        if action in ("pause", "resume"):
            self.pause.set() if action == "pause" else self.pause.clear()
            return ""
        number, fault = _number(action, value)
        if not fault:
            self._commands.put(Command(action, number, origin))
        return fault

    def request_stop(self, origin: str) -> None:
        """Ask to stop after this batch."""
        self.stop_origin = self.stop_origin or origin
        self.stop.set()
        self.on_stop()

    def take(self) -> list[Command]:
        """Return and forget the commands that wait; the training thread calls this."""
        commands = []
        while not self._commands.empty():
            commands.append(self._commands.get())
        return commands


def _number(action: str, value: Any) -> tuple[float | None, str]:
    if action == "back_to_best":
        return None, ""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None, f"a number is needed, got {str(value)[:40]!r}"
    if not (math.isfinite(number) and number > 0):
        return None, f"a number above 0 is needed, got {number}"
    if action == "more_epochs" and (number != int(number) or number > 1e6):  # noqa: PLR2004
        return None, f"a whole number of epochs is needed, got {number}"
    return number, ""
