"""Workers that others launch, perhaps on other machines; messages go through the job's folder."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from nb_optimizer.core.jobs.devices import Share
from nb_optimizer.core.jobs.folder import Tail
from nb_optimizer.core.jobs.relay import DIE, TICK, channel

Message = dict[str, Any]
_GRACE = 5.0  # seconds that workers get to end when the search is over


@dataclass(frozen=True)
class Call:
    """Which worker to launch: a call of ``relay.serve``; ``turn`` counts the workers of a slot."""

    folder: Path
    slot: int
    turn: int

    def arguments(self, share: Share) -> tuple[Any, ...]:
        """Return the arguments of ``relay.serve``, once it is known what the worker may use."""
        owner = (socket.gethostname(), os.getpid())
        return str(self.folder), self.slot, self.turn, share.to_json(), owner


class Place(Protocol):
    """Where a worker was launched."""

    @property
    def name(self) -> str:
        """The place in words."""

    def is_over(self) -> bool:
        """Whether the worker has ended."""

    def why(self) -> str:
        """Return why it has ended."""


class Launcher(Protocol):
    """Runs ``relay.serve`` somewhere; ``size`` is how many workers it has room for."""

    size: int

    def launch(self, call: Call) -> Place | None:
        """Launch a worker; ``None`` where no room is left."""

    def close(self) -> None:
        """Let go of the machines."""


class RemoteEngine:
    """One worker for each slot, where a launcher puts it. Their memory is not known here."""

    def __init__(self, folder: Path, launcher: Launcher) -> None:
        self._folder, self._launcher = folder, launcher
        self._places: dict[int, Place] = {}
        self._turn = dict.fromkeys(range(launcher.size), 0)
        self._running: dict[int, Tail] = {}

    def start(self, slot: int) -> bool:
        """Launch a worker; ``False`` if there is no room for it."""
        self._turn[slot] += 1
        inward, outward = channel(self._folder, slot, self._turn[slot])
        for file in (inward, outward):
            file.unlink(missing_ok=True)
        place = self._launcher.launch(Call(self._folder, slot, self._turn[slot]))
        if place is None:
            return False
        self._places[slot], self._running[slot] = place, Tail(outward)
        return True

    def send(self, slot: int, message: Message) -> None:
        """Send a message to a worker."""
        self._write(slot, json.dumps(message).encode())

    def messages(self, timeout: float) -> list[tuple[int, Message]]:
        """Return what has come in; wait at most ``timeout`` seconds for the first."""
        end = time.monotonic() + timeout
        while True:
            found = [m for slot in list(self._running) for m in self._look(slot)]
            if found or time.monotonic() >= end:
                return found
            time.sleep(TICK)

    def memory(self, slot: int) -> float:  # noqa: ARG002 - an engine
        """Return 0: the worker may be on another machine."""
        return 0.0

    def device(self, slot: int) -> str:
        """Return where a worker runs."""
        return self._places[slot].name if slot in self._places else ""

    def kill(self, slot: int) -> None:
        """End a worker; its place stays."""
        self._write(slot, DIE)

    def close(self) -> None:
        """End all workers."""
        for slot in list(self._running):
            self.kill(slot)
        end = time.monotonic() + _GRACE
        while time.monotonic() < end and not all(self._places[s].is_over() for s in self._running):
            time.sleep(TICK)
        self._launcher.close()

    def _look(self, slot: int) -> list[tuple[int, Message]]:
        over = self._places[slot].is_over()  # first, so that nothing comes after the last look
        found: list[tuple[int, Message]] = []
        for line in self._running[slot].lines():
            with contextlib.suppress(ValueError):
                found.append((slot, json.loads(line)))
        if over:
            del self._running[slot]
            found.append((slot, {"is": "gone", "why": self._places[slot].why()}))
        return found

    def _write(self, slot: int, line: bytes) -> None:
        inward, _ = channel(self._folder, slot, self._turn[slot])
        file = os.open(inward, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(file, line + b"\n")
        finally:
            os.close(file)
