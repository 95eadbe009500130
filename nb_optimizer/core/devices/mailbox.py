"""Wishes for a run in another process: lines in a file of its directory."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nb_optimizer.core.store import STOP_FILE
from nb_optimizer.core.training.control import Control

FILE = "wishes.jsonl"
_EVERY = 0.5  # seconds between two looks


def send(path: Path, action: str, value: Any = None, origin: str = "panel") -> None:
    """Ask the run in the directory ``path`` for an action of :class:`Control`."""
    line = json.dumps({"action": action, "value": value, "origin": origin}) + "\n"
    file = os.open(path / FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


class Mailbox:
    """What other processes ask of the run in ``path``; looked into now and then."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.perf_counter) -> None:
        self._path = path
        self._clock = clock
        self._due = 0.0
        self._read = self._size()  # what an earlier process of this run was asked is done

    def look(self, control: Control) -> None:
        """Hand what has come in to ``control``; refused wishes are dropped."""
        if self._clock() < self._due:
            return
        self._due = self._clock() + _EVERY
        if (self._path / STOP_FILE).exists():
            control.request_stop("request")
        if self._size() <= self._read:
            return
        with (self._path / FILE).open("rb") as file:
            file.seek(self._read)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._read += len(whole) + len(newline)
        for line in whole.splitlines():
            self._grant(control, line)

    def empty(self) -> None:
        """Remove what was asked; the run is over."""
        for name in (FILE, STOP_FILE):
            (self._path / name).unlink(missing_ok=True)

    def _grant(self, control: Control, line: bytes) -> None:
        try:
            wish = json.loads(line)
            control.request(
                str(wish["action"]), wish.get("value"), str(wish.get("origin", "panel"))
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            return

    def _size(self) -> int:
        try:
            return (self._path / FILE).stat().st_size
        except OSError:
            return 0
