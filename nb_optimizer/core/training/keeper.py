"""Keeps the best and the latest state of a run, in memory and on disk, without holding it up."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from nb_optimizer.core.background import Background
from nb_optimizer.core.training import state
from nb_optimizer.core.training.state_files import BEST, LATEST

_SHARE = 300  # writing and copying may take one part in this many of the time


class Keeper:
    """Decides when to copy the state and when to write it.

    The latest state is written no more often than every ``interval`` seconds; the best state
    whenever it improves, as long as that takes at most a three-hundredth of the time. Both are
    written at the end. ``saved`` is called from the writing thread with (file, epoch, seconds).
    """

    def __init__(
        self,
        directory: Path | None,
        interval: float,
        *,
        saved: Callable[[str, int, float], None],
        fault: Callable[[OSError], None],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.best: state.Snapshot | None = None
        self.latest: state.Snapshot | None = None
        self._directory = directory
        self._interval = interval
        self._saved = saved
        self._clock = clock
        self._due = {BEST: 0.0, LATEST: clock() + interval}
        self._copy_due = 0.0
        self._written: dict[str, int] = {}
        self._on_disk: dict[str, int] = {}  # the epoch in each file; the writing thread's own
        self._writer = Background("checkpoint writer", fault) if directory else None

    def wants(self, *, is_best: bool) -> bool:
        """Whether the state at this epoch's end should be copied."""
        return is_best or self._clock() >= self._copy_due

    def take(self, make: Callable[[], state.Snapshot], *, is_best: bool) -> bool:
        """Copy the state by ``make`` and write it if it is due.

        Return ``False`` for weights that are not finite: those are never the best, whatever the
        metric says (a ReLU can hide a NaN), and do not replace the latest sound state.
        """
        start = self._clock()
        snapshot = make()
        now = self._clock()
        self._copy_due = now + (now - start) * _SHARE
        if not state.is_finite(snapshot):
            return False
        self.latest = snapshot
        if is_best:
            self.best = snapshot
        self.write_due()
        return True

    def write_due(self) -> None:
        """Write what is newer than its file, where its time has come."""
        if self._writer is None or self._writer.backlog:
            return
        for name in (BEST, LATEST):
            if self._clock() >= self._due[name]:
                self._write(name)

    def close(self) -> bool:
        """Write what is not yet on disk; ``False`` if the disk needs more than a minute."""
        for name in (BEST, LATEST):
            self._write(name)
        return self._writer is None or self._writer.close(60.0)

    def _write(self, name: str) -> None:
        snapshot = self.best if name == BEST else self.latest
        if self._writer is None or snapshot is None or self._written.get(name) == snapshot.epoch:
            return
        self._written[name] = snapshot.epoch
        self._due[name] = self._clock() + (self._interval if name == LATEST else 0.0)
        self._writer.put(lambda: self._save(name, snapshot))

    def _save(self, name: str, snapshot: state.Snapshot) -> None:
        assert self._directory is not None  # noqa: S101 - there is no writer without it
        start = self._clock()
        twin = LATEST if name == BEST else BEST
        is_there = self._on_disk.get(twin) == snapshot.epoch
        if not (is_there and _link(self._directory / twin, self._directory / name)):
            state.save(snapshot, self._directory / name)
        self._on_disk[name] = snapshot.epoch
        seconds = self._clock() - start
        if name == BEST:
            self._due[name] = self._clock() + min(self._interval, seconds * _SHARE)
        self._saved(name, snapshot.epoch, seconds)


def _link(old: Path, new: Path) -> bool:
    """Give a finished file a second name: files are replaced, never changed, so they may share."""
    part = new.with_suffix(".part")
    try:
        part.unlink(missing_ok=True)
        os.link(old, part)
        part.replace(new)
    except OSError:  # a file system without links, or the old file is gone
        part.unlink(missing_ok=True)
        return False
    # Replacing one name of a file by another of the same file does nothing, not even the removal.
    part.unlink(missing_ok=True)
    return True
