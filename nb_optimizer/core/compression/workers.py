"""Fresh processes for what must not happen in the kernel: serving files, quantizing, TF-MOT."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_RUNTIME = "nb_optimizer.core.compression.runtime"
_TIMEOUT = 1800.0  # seconds
_TICK = 0.05  # seconds between two pulses


class WorkerError(RuntimeError):
    """A worker process failed; the message is its last line, or how it died."""


def call(
    request: dict[str, Any],
    folder: Path,
    *,
    module: str = _RUNTIME,
    timeout: float = _TIMEOUT,
    pulse: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Do one task in a fresh process and return its answer; call ``pulse`` while it works.

    Raises:
        WorkerError: the process failed, was killed, or took longer than ``timeout`` seconds.
    """
    handle, name = tempfile.mkstemp(".json", "request-", folder)
    path = Path(name)
    with os.fdopen(handle, "w") as file:
        json.dump(request, file)
    command = [sys.executable, "-m", module, str(path)]
    answer = path.with_suffix(".answer")
    try:
        code, said = _run(command, timeout, pulse)
        if code or not answer.is_file():
            raise WorkerError(_death(code, said))
        return dict(json.loads(answer.read_text()))
    finally:
        path.unlink(missing_ok=True)
        answer.unlink(missing_ok=True)


def _run(command: list[str], timeout: float, pulse: Callable[[], None]) -> tuple[int, str]:
    """Run a command to its end; return its status and what it said on stderr."""
    process = subprocess.Popen(  # noqa: S603 - our own module
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=_env(),
        start_new_session=True,  # the notebook's stop button is the kernel's business
    )  # fmt: skip
    end = time.monotonic() + timeout
    with process:
        try:
            while time.monotonic() < end:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    said = process.communicate(timeout=_TICK)[1]
                    return process.returncode, said
                pulse()
            message = f"took longer than {timeout:.0f} s"
            raise WorkerError(message)
        finally:
            process.kill()  # nothing for one that has ended


def _env() -> dict[str, str]:
    # The worker finds the same packages, however the kernel came to its path.
    path = os.pathsep.join(p for p in sys.path if p)
    return {**os.environ, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3"}


def _death(code: int, said: str) -> str:
    if code < 0:
        return f"its process was ended by signal {-code}"
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    if lines:  # the exception's own words, without the path of its class
        head, colon, rest = lines[-1].partition(": ")
        return (head.rpartition(".")[2] + colon + rest)[:300]
    return f"its process ended with status {code}"
