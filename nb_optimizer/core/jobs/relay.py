"""On an engine or in an actor: runs one worker, carries lines between it and files of the job.

The job's folder must be seen by all machines. The supervisor writes ``slot-0.1.in`` and reads
``slot-0.1.out``; the second number counts the workers of a slot.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from nb_optimizer.core.jobs import process
from nb_optimizer.core.jobs.devices import Share
from nb_optimizer.core.jobs.folder import Tail
from nb_optimizer.core.jobs.local import why_ended

TICK = 0.02  # seconds between two looks at the files
DIE = b'{"do": "die"}'


def channel(folder: Path, slot: int, turn: int) -> tuple[Path, Path]:
    """Return the files to and from a worker."""
    return folder / f"slot-{slot}.{turn}.in", folder / f"slot-{slot}.{turn}.out"


def serve(folder: str, slot: int, turn: int, share: dict[str, Any], owner: tuple[str, int]) -> str:
    """Run a worker until it ends; return why it did. Called where the worker shall be.

    ``owner`` is the supervisor: on its own machine a worker ends with it.
    """
    place = Path(folder)
    inward, outward = channel(place, slot, turn)
    mine = Share(tuple(share["gpus"]), share["threads"], share["memory_mb"], share["devices"])
    out = os.open(outward, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    worker = process.start(
        "worker",
        [folder, str(slot), json.dumps(mine.to_json())],
        log=place / f"worker-{slot}.log",
        env=mine.environment(),
        stdin=subprocess.PIPE,
        stdout=out,
    )
    os.close(out)
    assert worker.stdin is not None  # noqa: S101 - asked for above
    tail = Tail(inward)
    try:
        while worker.poll() is None:
            for line in tail.lines():
                if line == DIE:
                    os.killpg(worker.pid, signal.SIGKILL)
                else:
                    worker.stdin.write(line + b"\n")
                    worker.stdin.flush()
            if socket.gethostname() == owner[0] and not _lives(owner[1]):
                break
            time.sleep(TICK)
    except OSError:
        pass  # the worker has ended while it was written to
    finally:
        if worker.poll() is None:
            os.killpg(worker.pid, signal.SIGKILL)
    return why_ended(worker.wait())


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
