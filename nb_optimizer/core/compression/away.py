"""A compression in a process of its own, for devices that this process can no longer have."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from nb_optimizer.core.compression.data import Data
from nb_optimizer.core.compression.watcher import StoppedError
from nb_optimizer.core.devices.follow import Follower, Tail
from nb_optimizer.core.devices.job import Job, Request
from nb_optimizer.core.devices.launch import LocalProcess, prepare, wait
from nb_optimizer.core.errors import UserError
from nb_optimizer.core.journal import FILE
from nb_optimizer.core.record import RUNNING
from nb_optimizer.core.store import read_record
from nb_optimizer.core.watching import Guard

if TYPE_CHECKING:
    from nb_optimizer.core.compression.result import CompressionResult
    from nb_optimizer.core.compression.session import Compressing

_MODULE = "nb_optimizer.core.compression.away_worker"
_WHY = (
    "TensorFlow already ran here, and the processor can only be divided before: this was done in "
    "a process of its own"
)
REFUSAL = (
    "--devices {devices} needs a process of its own here, where the model cannot go ({{what}}). "
    "Give its classes a get_config, or leave --devices out."
)


def elsewhere(session: Compressing) -> CompressionResult:
    """Do what ``session`` was made for in another process, and show it here meanwhile.

    Raises:
        UserError: the model cannot go there, or the process has died; what it measured is kept.
    """
    with contextlib.ExitStack() as undo:
        if session.memory.begin is None:
            undo.callback(shutil.rmtree, session.path, ignore_errors=True)
        job = _prepared(session)
        undo.pop_all()
    guard = Guard()
    follower = _Following(session, job, LocalProcess(job, _MODULE), guard)
    try:
        wait(follower, guard, sys.stdout.write)
    finally:
        follower.finish()
    result = job.result
    job.remove()
    if follower.was_cut and not session.record.reason:
        session.record.status, session.record.reason = "stopped", "stopped by the interrupt button"
        return session.result
    if result is None:
        message = (
            f"The process of {session.path.name} has ended without a result: "
            f"{follower.process.why()}. What it measured is kept."
        )
        raise UserError(message)
    if not result["ok"]:
        if not session.record.begin.run:  # it has not even begun
            shutil.rmtree(session.path, ignore_errors=True)
        raise follower.error
    return session.result


class _Following(Follower):
    """Shows the rows of a compression, and its fine-tuning as the runs that they are."""

    def __init__(self, session: Compressing, job: Job, process: LocalProcess, guard: Any) -> None:
        super().__init__(job, process, session.store, session.view, guard)
        self._session, self._local = session, process
        self._tail = Tail(session.path / FILE)
        self.error: BaseException = RuntimeError()
        self.was_cut = False

    def step(self) -> bool:
        """Show what is new; return whether the job goes on."""
        goes_on = super().step()
        session, events = self._session, self._tail.events()
        for event in events:
            session.record.apply(event)
        if events:
            session.watcher.show(session.result)
        try:
            session.watcher.pulse()
        except StoppedError:
            self.stop()
        return goes_on

    def stop(self) -> None:
        """Press the process' stop button: it keeps what was made."""
        self.was_cut = True
        self._local.interrupt()

    def finish(self) -> None:
        """Take what was written last; a process that died reads as interrupted."""
        self.step()
        self.error = self.job.error
        record = self._session.record
        if record.status == RUNNING:
            found = read_record(self._session.path)
            record.status, record.reason = found.status, found.reason
        self._session.watcher.show(self._session.result)


def _prepared(session: Compressing) -> Job:
    arrays: dict[str, Any] = {}
    asked = {
        "path": str(session.path.resolve()),
        "recipe": session.recipe,
        "key": session.key,
        "note": _WHY,
        "data": _sent(session.held_out, "data", arrays),
        "train": _sent(session.train, "train", arrays) if session.train is not None else None,
    }
    request = Request(
        options=asdict(session.plan),
        directory=str(session.store.root.parent.resolve()),
        checkpoint_seconds=0.0,
        text="",
        folder=os.getcwd(),  # noqa: PTH109 - as the worker will change to it
        path=list(sys.path),
    )
    mine = {"model": session.model, "asked": asked, **arrays}
    names = {**vars(sys.modules["__main__"]), **mine}  # a model may consist of the user's classes
    refusal = REFUSAL.format(devices=session.plan.devices)
    return prepare(session.store.root, request, "\n".join(mine), names, refusal)


def _sent(data: Data, role: str, arrays: dict[str, Any]) -> Any:
    """Put the arrays of ``data`` into ``arrays``; return ``(x, y)`` with names in their places."""

    def name(array: Any) -> str:
        arrays[f"{role}_{len(arrays)}"] = array
        return next(reversed(arrays))

    from keras import tree  # noqa: PLC0415 - loads on first use

    return tree.map_structure(name, (data.for_keras(), data.targets))
