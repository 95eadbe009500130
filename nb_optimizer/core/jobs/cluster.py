"""Workers on the engines of an ipyparallel cluster: the engine ``cluster``.

Whatever launches the engines (SSH, Slurm, MPI, Kubernetes) is ipyparallel's own. They need this
package and the job's folder. The memory of a worker is not limited here, only told.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from nb_optimizer.core.errors import UserError
from nb_optimizer.core.jobs.devices import Share
from nb_optimizer.core.jobs.folder import Tail
from nb_optimizer.core.jobs.process import ROOT
from nb_optimizer.core.jobs.relay import DIE, TICK, channel

Message = dict[str, Any]
_CODE = """
import sys
sys.path.append({root!r}) if {root!r} not in sys.path else None
from nb_optimizer.core.jobs.relay import serve as _serve
_why = _serve({folder!r}, {slot}, {turn}, {share!r}, {owner!r})
"""


class ClusterEngine:
    """One worker on each engine; messages go through files in the job's folder."""

    def __init__(self, folder: Path, profile: str, wanted: int | None, devices: int) -> None:
        self._folder, self._devices = folder, devices
        self._client = _connect(profile)
        self._hosts = dict(
            zip(self._client.ids, self._client[:].apply_sync(socket.gethostname), strict=True)
        )
        self.size = min(wanted or len(self._hosts), len(self._hosts))
        self._engine: dict[int, int] = {}  # slot to engine
        self._turn: dict[int, int] = dict.fromkeys(range(self.size), 0)
        self._running: dict[int, tuple[Any, Tail]] = {}

    def start(self, slot: int) -> bool:
        """Start a worker on an engine that has none; ``False`` if none is left."""
        taken = {e for s, e in self._engine.items() if s in self._running}
        free = [e for e in self._client.ids if e not in taken and e in self._hosts]
        if not free:
            return False
        self._engine[slot] = engine = free[0]
        self._turn[slot] += 1
        inward, outward = channel(self._folder, slot, self._turn[slot])
        for file in (inward, outward):
            file.unlink(missing_ok=True)
        code = _CODE.format(
            root=ROOT, folder=str(self._folder), slot=slot, turn=self._turn[slot],
            share=self._share(engine).to_json(), owner=(socket.gethostname(), os.getpid()),
        )  # fmt: skip
        self._running[slot] = (self._client[engine].execute(code, block=False), Tail(outward))
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
        """Return 0: the worker is on another machine."""
        return 0.0

    def device(self, slot: int) -> str:
        """Return which engine a worker runs on."""
        engine = self._engine.get(slot)
        return "" if engine is None else f"engine {engine} on {self._hosts[engine]}"

    def kill(self, slot: int) -> None:
        """End a worker; its engine stays."""
        self._write(slot, DIE)

    def close(self) -> None:
        """End all workers."""
        for slot in list(self._running):
            self.kill(slot)
        end = time.monotonic() + 5
        while time.monotonic() < end and any(not r.ready() for r, _ in self._running.values()):
            time.sleep(TICK)
        self._client.close()

    def _share(self, engine: int) -> Share:
        host = self._hosts[engine]
        mates = sum(h == host for h in self._hosts.values())
        return Share((), max(1, (os.cpu_count() or 1) // mates), 0.0, self._devices)

    def _look(self, slot: int) -> list[tuple[int, Message]]:
        result, tail = self._running[slot]
        over = result.ready()  # asked first, so that nothing is written after the last look
        found: list[tuple[int, Message]] = []
        for line in tail.lines():
            with contextlib.suppress(ValueError):
                found.append((slot, json.loads(line)))
        if over:
            del self._running[slot]
            found.append((slot, {"is": "gone", "why": self._why(slot, result)}))
        return found

    def _why(self, slot: int, result: Any) -> str:
        import ipyparallel  # noqa: PLC0415 - an optional package

        try:
            result.get(timeout=1)
            return str(self._client[self._engine[slot]].get("_why", block=True) or "ended")
        except (ipyparallel.RemoteError, ipyparallel.TimeoutError) as error:
            if getattr(error, "ename", "") == "EngineError":
                return f"was lost with engine {self._engine[slot]}"
            return f"could not run on its engine ({error})"

    def _write(self, slot: int, line: bytes) -> None:
        inward, _ = channel(self._folder, slot, self._turn[slot])
        file = os.open(inward, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(file, line + b"\n")
        finally:
            os.close(file)


def _connect(profile: str) -> Any:
    try:
        import ipyparallel  # noqa: PLC0415 - an optional package
    except ImportError as error:
        message = "--engine cluster needs ipyparallel: pip install ipyparallel"
        raise UserError(message) from error
    name = profile or "default"
    how = f"start engines first: ipcluster start --profile={name} -n 2"
    try:
        # One that a notebook has started has an id of its own; the latest one is meant.
        known = ipyparallel.ClusterManager().load_clusters(profiles=[name])
        client = known[list(known)[-1]].connect_client_sync() if known else None
        client = client or ipyparallel.Client(profile=name, timeout=20)
    except Exception as error:  # a guarded place: profiles, files and launchers raise anything
        message = f"No ipyparallel cluster runs for the profile {name}; {how}"
        raise UserError(message) from error
    if not client.ids:
        message = f"The cluster of the profile {name} has no engines; {how}"
        raise UserError(message)
    return client
