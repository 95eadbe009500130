"""Starts the process of a job and waits for it, listening to the person meanwhile."""

from __future__ import annotations

import contextlib
import contextvars
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nb_optimizer.core.devices import baggage
from nb_optimizer.core.devices.follow import Follower
from nb_optimizer.core.devices.job import Job, Request
from nb_optimizer.core.errors import UserError
from nb_optimizer.core.events import Note
from nb_optimizer.core.journal import FILE, Journal
from nb_optimizer.core.training.interrupt import graceful_interrupt

_TICK = 0.05  # seconds between two looks while the cell waits
_TICK_DETACHED = 0.25  # and while it does not
WORKER = "nb_optimizer.core.devices.worker"


class LocalProcess:
    """A worker process on this machine, in a session of its own: it outlives the kernel."""

    lost = ""  # it is alone

    def __init__(self, job: Job, module: str = WORKER) -> None:
        self._process = spawn(job, environment(), module=module)

    @property
    def where(self) -> str:
        """Which process it is."""
        return f"process {self._process.pid}"

    def is_alive(self) -> bool:
        """Whether it still works."""
        return self._process.poll() is None

    def end(self) -> None:
        """End it now; its run reads as interrupted and can be resumed."""
        if self.is_alive():
            self._process.terminate()
            try:
                self._process.wait(5.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()

    def interrupt(self) -> None:
        """Press its stop button."""
        if self.is_alive():
            self._process.send_signal(signal.SIGINT)

    def close(self) -> None:
        """Do nothing: there is nothing to leave."""

    def why(self) -> str:
        """Say how it ended."""
        return ending(self._process.wait())


def spawn(
    job: Job, env: dict[str, str], *, speaks: bool = True, module: str = WORKER
) -> subprocess.Popen[bytes]:
    """Start a worker on the job, in a session of its own; ``speaks``: its output is shown."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    output = job.output if speaks else job.log
    files = [os.open(path, flags, 0o600) for path in (output, job.log)]
    try:
        return subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", module, str(job.path)],
            stdin=subprocess.DEVNULL,
            stdout=files[0],
            stderr=files[1],
            start_new_session=True,
            env=env,
        )
    finally:
        for file in files:
            os.close(file)


def ending(code: int) -> str:
    """Say how a process ended."""
    if code < 0:
        return f"it was killed by {signal.Signals(-code).name}"
    return f"it ended with status {code}"


def environment() -> dict[str, str]:
    """Return the environment of a worker: it finds this package where we found it."""
    here = str(Path(__file__).parents[3])
    path = os.pathsep.join(p for p in (here, os.environ.get("PYTHONPATH", "")) if p)
    quiet = os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2")
    more = {"PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": quiet, "PYTHONUNBUFFERED": "1"}
    return {**os.environ, **more}


def prepare(
    root: Path, request: Request, code: str, names: dict[str, Any], refusal: str = baggage.REFUSAL
) -> Job:
    """Make the folder of a job, with the variables that its code reads.

    Raises:
        UserError: the code or its variables cannot leave this process; nothing is left behind.
    """
    needed = baggage.needed(code, names)
    job = Job.create(root)
    with contextlib.ExitStack() as undo:
        undo.callback(job.remove)
        baggage.pack(needed, job.sent, refusal)
        job.write(request, code)
        undo.pop_all()
    return job


class Outcome:
    """What a job's end means for the notebook: values, what stayed behind, or an error."""

    def __init__(self, follower: Follower, names: dict[str, Any]) -> None:
        job = follower.job
        self.values: dict[str, Any] = {}
        self.told: list[str] = []
        self.error: BaseException | None = None
        result = job.result
        if (job.returned / "index.json").is_file():
            self.values, self.told = baggage.receive(job.returned, names)
        self.value = self.values.pop("value of the cell", None)
        follower.process.close()
        if result is None:
            self.error = UserError(_died(follower))
        elif not result["ok"]:
            self.error = job.error
            if result["traceback"] and not isinstance(self.error, UserError):
                self.error.add_note(f"In the worker process:\n{result['traceback']}")
        if lost := follower.process.lost:
            self.error = UserError(lost)
            for shown in follower.runs[-1:]:
                report(shown.path, lost)
        if result is not None or lost:
            job.remove()


def report(path: Path | None, text: str) -> None:
    """Write in a run's journal what ended it from outside."""
    if path is not None:
        journal = Journal(path / FILE, lambda error: None)  # noqa: ARG005 - it is told anyway
        journal.append(Note(time.time(), text, "warning"))
        journal.close()


def _died(follower: Follower) -> str:
    why = follower.process.why()
    log = follower.job.log
    lines = log.read_text(errors="replace").strip().splitlines() if log.is_file() else []
    last = f" Its last line: {lines[-1][:160]}" if lines else ""
    saved = any(s.record.epochs for s in follower.runs)
    resume = " The run goes on from its last checkpoint with --resume." if saved else ""
    return f"The worker process has ended without a result: {why}.{resume}{last}"


def wait(follower: Follower, guard: Callable[[Any], None], write: Callable[[str], Any]) -> None:
    """Follow a job to its end; the first interrupt stops its work, the second its process."""
    try:
        with contextlib.ExitStack() as undo:
            undo.callback(follower.process.end)
            with graceful_interrupt(follower.stop):
                while follower.step():
                    if text := follower.printed():
                        write(text)
                    guard(follower.current.pump)
                    time.sleep(_TICK)
            undo.pop_all()
    finally:
        follower.close()
        if text := follower.printed():
            write(text)


class Detached:
    """Follows a job from a thread, while the kernel does other things."""

    def __init__(self, follower: Follower, on_begin: Callable[[], None]) -> None:
        self.follower = follower
        self._on_begin = on_begin
        context = contextvars.copy_context()  # its output belongs to the cell that started it
        self._thread = threading.Thread(
            target=lambda: context.run(self._work), name="detached training", daemon=True
        )

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    @property
    def is_over(self) -> bool:
        """Whether the job has ended and its end is shown."""
        return not self._thread.is_alive()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end; ``False`` if it takes longer than ``timeout`` seconds."""
        self._thread.join(timeout)
        return self.is_over

    def _work(self) -> None:
        goes_on = True
        while goes_on:
            goes_on = self.follower.step()
            self._on_begin()
            time.sleep(_TICK_DETACHED)
        self.follower.close()
