"""Workers as processes of this machine: the engine ``local``."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from nb_optimizer.core.jobs import process
from nb_optimizer.core.jobs.devices import Share

Message = dict[str, Any]


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    peak: float = 0.0  # MB


class LocalEngine:
    """Starts workers, one for each slot, and talks to them over pipes in lines of JSON."""

    def __init__(self, folder: Path, shares: list[Share]) -> None:
        self._folder, self._shares = folder, shares
        self._workers: dict[int, _Worker] = {}
        self._inbox: queue.SimpleQueue[tuple[int, Message]] = queue.SimpleQueue()

    def start(self, slot: int) -> bool:
        """Start a worker; its ``ready`` message follows."""
        share = self._shares[slot]
        made = process.start(
            "worker",
            [str(self._folder), str(slot), json.dumps(share.to_json())],
            log=self._folder / f"worker-{slot}.log",
            env=share.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._workers[slot] = _Worker(made)
        threading.Thread(target=self._read, args=(slot, made), daemon=True).start()
        return True

    def send(self, slot: int, message: Message) -> None:
        """Send a message; one to a worker that is gone is dropped, its end is reported."""
        pipe = self._workers[slot].process.stdin
        with contextlib.suppress(OSError):
            if pipe is not None:
                pipe.write(json.dumps(message).encode() + b"\n")
                pipe.flush()

    def messages(self, timeout: float) -> list[tuple[int, Message]]:
        """Return what has come in; wait at most ``timeout`` seconds for the first."""
        found = []
        with contextlib.suppress(queue.Empty):
            found.append(self._inbox.get(timeout=timeout))
            while True:
                found.append(self._inbox.get_nowait())
        return found

    def memory(self, slot: int) -> float:
        """Return the memory of a worker in MB, 0 where it is gone."""
        worker = self._workers[slot]
        with contextlib.suppress(psutil.Error):
            size = psutil.Process(worker.process.pid).memory_info().rss / 1e6
            worker.peak = max(worker.peak, size)
            return float(size)
        return 0.0

    def device(self, slot: int) -> str:
        """Return in words what a worker computes on."""
        return self._shares[slot].device

    def kill(self, slot: int) -> None:
        """End a worker and what it has started; its end is reported."""
        pid = self._workers[slot].process.pid
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)

    def close(self) -> None:
        """End all workers."""
        for slot, worker in self._workers.items():
            if worker.process.poll() is None:
                self.kill(slot)
            worker.process.wait()

    def _read(self, slot: int, worker: subprocess.Popen[bytes]) -> None:
        assert worker.stdout is not None  # noqa: S101 - asked for above
        for line in worker.stdout:
            with contextlib.suppress(ValueError):
                self._inbox.put((slot, json.loads(line)))
        code = worker.wait()
        self._inbox.put((slot, {"is": "gone", "why": why_ended(code), "pid": worker.pid}))


def why_ended(code: int) -> str:
    """Return in words how a process ended."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    known = {
        "SIGSEGV": "crashed (segmentation fault)",
        "SIGABRT": "crashed (abort)",
        "SIGKILL": "was killed (SIGKILL)",
    }
    return known.get(name, f"was ended by {name}")
