"""The journal of a run: events appended to a file of JSON lines as they happen."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from nb_optimizer.core.background import Background
from nb_optimizer.core.events import EVENTS, Event, from_line, to_line

FILE = "events.jsonl"


class Journal:
    """Appends events to ``path`` from a thread of its own; see :class:`Background`."""

    def __init__(self, path: Path, on_fault: Callable[[OSError], None]) -> None:
        # Unbuffered: a line that was written survives the death of this process.
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._background = Background(f"journal of {path.parent.name}", on_fault)
        if ends_in_the_middle(path):
            self._background.put(lambda: self._write(b"\n"))

    def append(self, event: Event) -> None:
        """Write the event soon; returns at once."""
        self._background.put(lambda: self._write(to_line(event).encode() + b"\n"))

    def close(self, timeout: float = 10.0) -> None:
        """Write what is left, waiting at most ``timeout`` seconds."""
        if self._background.close(timeout):
            os.close(self._file)

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._file, data) :]


def read(path: Path, kinds: Mapping[str, type[Event]] = EVENTS) -> tuple[list[Event], int]:
    """Return the events of a journal and how many of its lines are damaged and were left out."""
    events: list[Event] = []
    damaged = 0
    for raw in path.read_bytes().splitlines():
        try:
            events.append(from_line(raw.decode(), kinds))
        except ValueError:
            damaged += bool(raw.strip())
    return events, damaged


def ends_in_the_middle(path: Path) -> bool:
    """Whether a killed process left half a line, which the next event must not join."""
    if not path.is_file() or not (size := path.stat().st_size):
        return False
    with path.open("rb") as file:
        file.seek(size - 1)
        return file.read(1) != b"\n"
