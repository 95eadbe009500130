"""The process that runs a job: ``python -m nb_optimizer.core.devices.worker FOLDER``."""

from __future__ import annotations

import ast
import linecache
import os
import sys
import threading
import time
import traceback
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nb_optimizer.core.devices import machines
from nb_optimizer.core.devices.job import Job, Request

_WATCH = 1.0  # seconds between two looks at whether this job is still wanted
_CALLED_OFF = 75


Work = Callable[[Job, Request, str], None]


def main(folder: str, work: Work | None = None) -> int:
    """Do the job in ``folder``, by default run its code; return the exit status."""
    job = Job(Path(folder))
    request, code = job.read()
    sys.stderr = sys.stdout  # what Python warns of is for the user, the rest for the log
    threading.Thread(target=_watch_over, args=(job,), daemon=True).start()
    os.chdir(request.folder)
    sys.path[:] = request.path
    linecache.cache[request.name] = (len(code), None, code.splitlines(keepends=True), request.name)
    try:
        (work or _train)(job, request, code)
    except BaseException as error:  # noqa: BLE001 - a guarded place: handed to the kernel, which raises it
        if machines.is_chief():
            job.end(error, _lines(error, request.name))
        return 1
    if machines.is_chief():
        job.end(None)
    return 0


def unpacked(job: Job, *refusal: str) -> dict[str, Any]:
    """Return the variables that were sent, in a ``__main__`` of their own, as in a kernel."""
    from nb_optimizer.core.devices import baggage  # noqa: PLC0415 - path is set first

    main_module = types.ModuleType("__main__")  # classes of the cell belong to it
    sys.modules["__main__"] = main_module
    names = vars(main_module)
    names.update(baggage.unpack(job.sent, *refusal))
    return names


def _train(job: Job, request: Request, code: str) -> None:
    from nb_optimizer.core.devices import baggage, strategy  # noqa: PLC0415 - path is set first
    from nb_optimizer.core.plan import TrainPlan  # noqa: PLC0415
    from nb_optimizer.core.store import Store  # noqa: PLC0415
    from nb_optimizer.core.training.session import Source, Training  # noqa: PLC0415

    plan = TrainPlan.of(request.options)
    strategy.needs_fresh_process(plan.devices)  # divides the processor before it is used
    if plan.machines:
        machines.join()  # before anything is computed, too
    names = unpacked(job)
    before = dict(names)
    training = Training(
        plan,
        source=Source(request.text, request.cell_id),
        store=Store(machines.own_directory(job) or Path(request.directory)),
        view=lambda record, control: Reporter(job),  # noqa: ARG005 - a ViewFactory
        quiet=request.quiet,
        checkpoint_seconds=request.checkpoint_seconds,
    )
    try:
        with training:
            names["_value"] = _run(code, request.name, names)
    finally:
        value = names.pop("_value", None)
        names.pop("__builtins__", None)
        if machines.is_chief():
            made = {**names, "value of the cell": value}
            baggage.bring(before, made, job.returned)


def _watch_over(job: Job) -> None:
    """End this process when its job is called off or removed, or its engine is gone."""
    parent = os.getppid()
    while job.path.exists() and not job.end_file.exists():
        if machines.is_member() and os.getppid() != parent:
            break
        time.sleep(_WATCH)
    os._exit(_CALLED_OFF)


def _run(code: str, name: str, names: dict[str, Any]) -> Any:
    """Run the code and return the value of its last expression."""
    tree = ast.parse(code, name)
    end = tree.body[-1] if tree.body else None
    last = end if isinstance(end, ast.Expr) else None
    if last is not None:
        tree.body.pop()
    exec(compile(tree, name, "exec"), names)  # noqa: S102 - that is its purpose
    if last is None:
        return None
    return eval(compile(ast.Expression(last.value), name, "eval"), names)  # noqa: S307


class Reporter:
    """A view that shows nothing: it notes which runs begin, and the kernel reads their journals."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._is_told = False

    def show(self, event: Any, record: Any) -> None:  # noqa: ARG002 - a View
        """Note the run's id, once."""
        if not self._is_told and record.begin.run:
            self._is_told = True
            if machines.is_chief():
                self._job.began(record.begin.run)

    def pump(self) -> None:
        """Do nothing: the kernel's wishes come through the run's mailbox."""

    def close(self, record: Any) -> None:
        """Do nothing: the kernel shows the end."""


def _lines(error: BaseException, name: str) -> str:
    """Return the traceback from the cell's own first line on."""
    entries = traceback.extract_tb(error.__traceback__)
    start = next((i for i, e in enumerate(entries) if e.filename == name), 0)
    return "".join(traceback.format_list(entries[start:]))


if __name__ == "__main__":
    status = main(sys.argv[1])
    sys.stdout.flush()
    os._exit(status)  # collectives that lost a member would wait for it at a normal exit
