"""The runs on disk: ``<directory>/runs/<run id>/``, private to the user."""

from __future__ import annotations

import os
import re
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from nb_optimizer.core import journal
from nb_optimizer.core.errors import UserError, nearest
from nb_optimizer.core.events import EVENTS, RunBegin, from_line
from nb_optimizer.core.record import RUNNING, RunRecord
from nb_optimizer.core.tuning import events as te
from nb_optimizer.core.tuning.record import SearchRecord, read_events

DIRECTORY = ".nb_optimizer"
STOP_FILE = "stop"
INTERRUPTED = "interrupted"
_SILENCE_MEANS_DEAD = 600.0  # seconds without a line, for a run of another host


class Store:
    """Finds, makes and removes run directories under ``directory``."""

    def __init__(self, directory: str | Path | None = None) -> None:
        self.root = Path(directory or DIRECTORY).expanduser() / "runs"

    def create(self, kind: str = "train") -> Path:
        """Make the next run's directory, ``train-7``. ``UserError`` if it cannot be written."""
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            number = 1 + max((_number(p.name) for p in self.root.iterdir()), default=0)
            while True:
                path = self.root / f"{kind}-{number}"
                try:
                    path.mkdir(mode=0o700)
                except FileExistsError:  # another kernel was faster
                    number += 1
                else:
                    return path
        except OSError as error:
            raise UserError(_unwritable(self.root, error)) from error

    def check_writable(self) -> None:
        """Raise ``UserError`` if runs could not be kept here; leaves nothing behind."""
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            probe = self.root / f".probe-{os.getpid()}"
            probe.touch(mode=0o600)
            probe.unlink()
        except OSError as error:
            raise UserError(_unwritable(self.root, error)) from error

    def paths(self) -> list[Path]:
        """Return the run directories, oldest first."""
        if not self.root.is_dir():
            return []
        files = (journal.FILE, te.FILE)
        found = [p for p in self.root.iterdir() if any((p / f).is_file() for f in files)]
        return sorted(found, key=lambda p: _number(p.name))

    def find(self, name: str) -> Path:
        """Return the directory of a run by id, number, or name (the newest of that name)."""
        paths = self.paths()
        for path in paths:
            if name in (path.name, str(_number(path.name))):
                return path
        begins = [(p, read_begin(p)) for p in reversed(paths)]
        for path, begin in begins:
            if begin.name == name:
                return path
        known = [p.name for p in paths] + [b.name for _, b in begins if b.name]
        if not known:
            message = f'There is no run "{name}": {self.root} holds no runs yet.'
        else:
            message = f'There is no run "{name}" in {self.root}.{nearest(name, known)}'
        raise UserError(message)

    def records(self) -> Iterator[tuple[Path, RunRecord]]:
        """Yield every readable run, oldest first."""
        for path in self.paths():
            yield path, read_record(path)

    def previous(
        self, key: str, cell_id: str, name: str, *, exclude: Path | None = None
    ) -> RunRecord | None:
        """Return the newest other run of the same cell or name, to be shown as the ghost."""
        for path in reversed(self.paths()):
            begin = read_begin(path)
            # A cell may hold several fits, so its identity alone does not match two runs.
            same_cell = bool(cell_id) and begin.cell_id == cell_id
            same_cell = same_cell and begin.key.rpartition(":")[2] == key.rpartition(":")[2]
            same_name = bool(name) and begin.name == name
            if path != exclude and (begin.key == key or same_cell or same_name):
                return read_record(path)
        return None

    def newest(self, key: str) -> Path | None:
        """Return the newest run with this key."""
        return next((p for p in reversed(self.paths()) if read_begin(p).key == key), None)

    def remove(self, path: Path) -> None:
        """Delete a run; ``UserError`` while it is running."""
        if read_record(path).status == RUNNING:
            message = f"{path.name} is running. Stop it first: %runs stop {path.name}"
            raise UserError(message)
        shutil.rmtree(path)


def read_record(path: Path) -> RunRecord:
    """Read a run's record; a run whose process is gone reads as ``interrupted``.

    A search reads as a run whose epochs are trials.
    """
    if is_search(path):
        record = read_events(path).as_run()
    else:
        events, damaged = journal.read(path / journal.FILE)
        record = RunRecord.of(events)
        record.damaged_lines = damaged
    if record.status == RUNNING and not is_alive(record, path):
        record.status = INTERRUPTED
        record.reason = "its process ended without closing the run"
    return record


def read_search(path: Path) -> SearchRecord:
    """Read a search's record; one whose supervisor is gone reads as ``interrupted``."""
    record = read_events(path)
    if record.status == RUNNING and not is_alive(record.as_run(), path):
        record.status = INTERRUPTED
        record.reason = "its supervisor ended without closing the search"
    return record


def is_search(path: Path) -> bool:
    """Whether a run's directory is that of a search."""
    return (path / te.FILE).is_file()


def read_begin(path: Path) -> RunBegin:
    """Read how a run began, without the rest of its journal."""
    searched = is_search(path)
    with (path / (te.FILE if searched else journal.FILE)).open("rb") as file:
        first = file.readline()
    try:
        event = from_line(first.decode(), te.EVENTS if searched else EVENTS)
    except ValueError:
        return RunBegin(time=0.0, run=path.name)
    if isinstance(event, te.SearchBegin):
        return SearchRecord.of([event]).as_run().begin
    return event if isinstance(event, RunBegin) else RunBegin(time=0.0, run=path.name)


# Runs that this process has open: a run of ours whose end could not be written is not running.
open_here: set[Path] = set()


def is_alive(record: RunRecord, path: Path) -> bool:
    """Whether the process that writes this run still lives, and still trains it."""
    host, pid, started = record.owner
    if pid == os.getpid() and host == socket.gethostname():
        return path.resolve() in open_here
    if host and host != socket.gethostname():
        return time.time() - record.last_time < _SILENCE_MEANS_DEAD
    try:
        process = psutil.Process(pid)
        # A killed process stays in the table until its parent takes note.
        is_dead = not pid or process.status() == psutil.STATUS_ZOMBIE
        return not is_dead and abs(process.create_time() - started) < 1.0
    except psutil.Error:
        return False


def this_process() -> tuple[str, int, float]:
    """Return host, pid and start time of this process, as :func:`is_alive` compares them."""
    return socket.gethostname(), os.getpid(), psutil.Process().create_time()


def _number(name: str) -> int:
    digits = re.search(r"(\d+)$", name)
    return int(digits[1]) if digits else 0


def _unwritable(root: Path, error: OSError) -> str:
    return (
        f"Runs cannot be written to {root} ({error.strerror}). "
        'Choose another place: %config NbOptimizer.directory = "..."'
    )
