"""Shows what a job does, from the journals that its process writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from nb_optimizer.core import journal
from nb_optimizer.core.devices import mailbox
from nb_optimizer.core.devices.job import Job
from nb_optimizer.core.events import Event, Note, from_line
from nb_optimizer.core.record import RunRecord
from nb_optimizer.core.store import Store, read_record
from nb_optimizer.core.training.control import Control
from nb_optimizer.core.watching import View, ViewFactory


class Process(Protocol):
    """What runs a job."""

    lost: str  # which part of it was lost, in words

    def is_alive(self) -> bool:
        """Whether it still works."""

    def end(self) -> None:
        """End it now."""

    def close(self) -> None:
        """Leave what it ran on, after its end."""

    def why(self) -> str:
        """Say how it ended."""


class Tail:
    """The new events of a journal since the last look."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0

    def events(self) -> list[Event]:
        """Return what has been appended; damaged lines are skipped."""
        if not self._path.is_file():
            return []
        with self._path.open("rb") as file:
            file.seek(self._read)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._read += len(whole) + len(newline)
        found = []
        for line in whole.splitlines():
            try:
                found.append(from_line(line.decode()))
            except ValueError:
                continue
        return found


class Shown:
    """One run of a job in this process: its record, its view, its control."""

    def __init__(self, make: ViewFactory) -> None:
        self.record, self.control = RunRecord(), Control()
        self.path: Path | None = None
        self.view: View | None = None
        self._make = make
        self._tail: Tail | None = None
        self._paused = False
        self._stop_is_sent = False

    def begin(self) -> View:
        """Make the view, where there is none yet."""
        self.view = self.view or self._make(self.record, self.control)
        return self.view

    def open(self, path: Path) -> None:
        """Begin to read the journal of the run in ``path``."""
        self.path, self._tail = path, Tail(path / journal.FILE)

    def look(self, guard: Callable[[Callable[[], object]], None]) -> None:
        """Show what has happened since the last look, and send what was asked."""
        for event in self._tail.events() if self._tail else ():
            self.record.apply(event)
            guard(lambda e=event: self.begin().show(e, self.record))  # type: ignore[misc]
        self._send()

    def pump(self) -> None:
        """Let messages of the front end in."""
        if self.view is not None:
            self.view.pump()

    def tell(self, note: Note, guard: Callable[[Callable[[], object]], None]) -> None:
        """Show a note before the run has begun; it is in no journal."""
        self.record.apply(note)
        guard(lambda: self.begin().show(note, self.record))

    def close(self, guard: Callable[[Callable[[], object]], None]) -> None:
        """Leave the static picture behind; a run whose process died reads as interrupted."""
        if self.path is not None:
            found = read_record(self.path)
            self.record.status, self.record.reason = found.status, found.reason
        else:
            self.record.status, self.record.reason = "failed", "the cell trained nothing"
        if (view := self.view) is not None:
            guard(lambda: view.close(self.record))

    def _send(self) -> None:
        if self.path is None:
            return
        control = self.control
        if control.pause.is_set() != self._paused:
            self._paused = control.pause.is_set()
            mailbox.send(self.path, "pause" if self._paused else "resume")
        for command in control.take():
            mailbox.send(self.path, command.action, command.value, command.origin)
        if control.stop.is_set() and not self._stop_is_sent:
            self._stop_is_sent = True
            mailbox.send(self.path, "stop", None, control.stop_origin)


class Follower:
    """Shows the runs of a job one after another, each in a view of its own."""

    def __init__(
        self,
        job: Job,
        process: Process,
        store: Store,
        view: ViewFactory,
        guard: Callable[[Callable[[], object]], None],
    ) -> None:
        self.job, self.process = job, process
        self._runs, self._view, self._guard = store.root.resolve(), view, guard
        self.shown: list[Shown] = [Shown(view)]
        self._printed = 0

    @property
    def current(self) -> Shown:
        """The run that is shown now."""
        return self.shown[-1]

    @property
    def runs(self) -> list[Shown]:
        """The runs that have begun."""
        return [s for s in self.shown if s.path is not None]

    def step(self) -> bool:
        """Show what is new; return whether the job goes on."""
        alive = self.process.is_alive() and self.job.result is None
        names = self.job.runs
        for name in names[len(self.runs) :]:
            if self.current.path is not None:
                self._finish(self.current)
                self.shown.append(Shown(self._view))
            self.current.open(self._runs / name)
        self.current.look(self._guard)
        return alive

    def stop(self) -> None:
        """Ask the run that is shown now to stop."""
        self.current.control.request_stop("interrupt")

    def close(self) -> None:
        """Show the end."""
        self.step()
        self._finish(self.current)

    def printed(self) -> str:
        """Return what the code has printed since the last call."""
        file = self.job.output
        if not file.is_file():
            return ""
        with file.open("rb") as opened:
            opened.seek(self._printed)
            data = opened.read()
        self._printed += len(data)
        return data.decode(errors="replace")

    def _finish(self, shown: Shown) -> None:
        shown.look(self._guard)
        shown.close(self._guard)
