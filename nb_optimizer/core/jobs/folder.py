"""A job's folder: what the kernel leaves for the supervisor and its workers, and what they leave.

==================  ==========================================================================
``job.json``        the plan, the cell, what was captured, where Python looks for modules
``search.jsonl``    the journal; see ``core/tuning/events.py``
``commands.jsonl``  wishes of whoever watches: stop, pause, resume, skip, try
``arrays/``         captured arrays, once for each content, opened by memory map
``objects/``        other captured objects, pickled by this user's own kernel
``data/``           captured ``tf.data`` sets
``trials/7/``       a store of its own for trial 7: journal, checkpoint, best weights
``*.log``           what the supervisor and the workers print
==================  ==========================================================================

The folder is private to the user: nothing in it is ever unpickled by anybody else.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

JOB, COMMANDS, ARRAYS, OBJECTS, DATA = "job.json", "commands.jsonl", "arrays", "objects", "data"
TRIALS = "trials"
FAILURE = "failure.txt"  # why the supervisor ended, where the journal could not take it


def write_json(path: Path, value: Any) -> None:
    """Write so that ``path`` holds either the old or the new text, never half."""
    part = path.with_name(path.name + ".part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def read_json(path: Path) -> Any:
    """Read one JSON file."""
    return json.loads(path.read_text())


def command(folder: Path, action: str, **more: Any) -> None:
    """Leave a wish for the supervisor."""
    line = json.dumps({"do": action, **more}) + "\n"
    file = os.open(folder / COMMANDS, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(file, line.encode())  # short enough to be written whole
    finally:
        os.close(file)


class Commands:
    """Reads wishes as they come in, at first all those that were left for earlier supervisors."""

    def __init__(self, folder: Path) -> None:
        self._tail = Tail(folder / COMMANDS)

    def take(self) -> list[dict[str, Any]]:
        """Return the wishes since the last call."""
        return [w for line in self._tail.lines() if (w := _wish(line))]


def _wish(line: bytes) -> dict[str, Any] | None:
    try:
        wish = json.loads(line)
    except ValueError:
        return None
    return wish if isinstance(wish, dict) and isinstance(wish.get("do"), str) else None


class Tail:
    """Reads the whole lines that were added to a file since the last look."""

    def __init__(self, path: Path) -> None:
        self._path, self._at = path, 0

    def lines(self) -> list[bytes]:
        """Return the new lines, without their ends."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._at)
                text = file.read()
        except FileNotFoundError:
            return []
        whole, newline, _ = text.rpartition(b"\n")
        self._at += len(whole) + len(newline)
        return whole.splitlines()
