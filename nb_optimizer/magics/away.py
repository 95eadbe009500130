"""Runs the body of ``%%train`` in another process, and brings back what it made."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import time
from collections.abc import Callable
from typing import Any

from nb_optimizer.core.devices import baggage, engines, keras_inside, strategy
from nb_optimizer.core.devices.follow import Follower
from nb_optimizer.core.devices.job import Job, Request
from nb_optimizer.core.devices.launch import Detached, LocalProcess, Outcome, prepare, wait
from nb_optimizer.core.errors import UserError
from nb_optimizer.core.events import Note
from nb_optimizer.core.plan import TrainPlan
from nb_optimizer.core.training.session import Training
from nb_optimizer.core.watching import silent
from nb_optimizer.magics.execution import source_of
from nb_optimizer.views.frontend import mode

FRESH = (
    "TensorFlow already runs in this kernel, and the processor can only be divided before: the "
    "cell trains in a process of its own"
)

FREE = "The kernel is free. %runs lists the run, %runs attach ID follows it, %runs stop ID ends it."


def wanted(plan: TrainPlan) -> str:
    """Return why the cell must leave the kernel, or an empty string."""
    if plan.machines:
        return f"the cell trains on the engines of {plan.machines} (experimental)"
    if plan.detach:
        return "the cell trains in a process of its own"
    return FRESH if strategy.needs_fresh_process(plan.devices) else ""


def run(shell: Any, training: Training, cell: str, why: str) -> Any:
    """Run the cell elsewhere; return the value of its last expression, unless it is detached."""
    __tracebackhide__ = True
    plan, store = training.plan, training.store
    if plan.devices and plan.machines:
        message = "--machines uses all devices of each machine; leave out --devices."
        raise UserError(message)
    if plan.devices:
        strategy.chosen(plan.devices)
    store.check_writable()
    code, name = source_of(shell, cell)
    request = Request(
        options=_options(plan),
        directory=str(store.root.parent.resolve()),
        checkpoint_seconds=training.checkpoint_seconds,
        text=cell,
        cell_id=training.source.cell_id,
        name=name,
        folder=os.getcwd(),  # noqa: PTH109 - as the worker will change to it
        path=list(sys.path),
    )
    job, process = _start(training, request, code, shell.user_ns)
    lines = plan.detach and mode(plan.live) == "text"  # they would run into those of other cells
    follower = Follower(job, process, store, silent if lines else training.view, training.guard)
    text = f"{why}: {process.where}"
    if plan.machines and plan.seed is None:
        text += f", all with --seed {request.options['seed']} to draw the same data"
    print(text)  # noqa: T201 - talks to the user
    if plan.detach:
        print(FREE)  # noqa: T201 - as above
        # Shown by the cell itself: what a thread shows first may land in a later cell.
        follower.current.tell(Note(time.time(), text), training.guard)
        _Return(shell, training, follower, baggage.words(code))
        return None
    try:
        wait(follower, training.guard, sys.stdout.write)
    finally:
        _add_runs(training, follower)
    return _bind(shell.user_ns, training, Outcome(follower, shell.user_ns), lambda _: True)


def _start(
    training: Training, request: Request, code: str, names: dict[str, Any]
) -> tuple[Job, Any]:
    plan, store = training.plan, training.store
    if not plan.machines:
        job = prepare(store.root, request, code, names)
        return job, LocalProcess(job)
    keras_inside.check_tested()
    job = prepare(store.root, request, code, names)
    with contextlib.ExitStack() as undo:
        undo.callback(job.remove)
        if plan.resume:
            engines.keep_earlier(job, store, training.source.key(1))
        workers = engines.Workers(engines.Engines(plan.machines), job)
        undo.pop_all()
    return job, workers


def _options(plan: TrainPlan) -> dict[str, Any]:
    """Return the options of the worker: the plan's, but it stays where it is."""
    kept = {k: v for k, v in plan.changed().items() if k != "detach"}
    if plan.machines and plan.seed is None:
        kept["seed"] = secrets.randbelow(2**31)
    return kept


def _add_runs(training: Training, follower: Follower) -> None:
    known = len(training.run.runs)
    for shown in follower.runs[known:]:
        if shown.path is not None:
            training.run.add(shown.path, shown.record, None, None)


def _bind(
    names: dict[str, Any], training: Training, outcome: Outcome, allows: Callable[[str], bool]
) -> Any:
    """Bind what came back, say what did not, and raise the error that ended the cell."""
    __tracebackhide__ = True
    names.update({n: v for n, v in outcome.values.items() if allows(n)})
    histories = [v for v in outcome.values.values() if type(v).__name__ == "History"]
    if histories and training.run.runs:
        training.run.receive(histories[-1].model)
    for text in outcome.told:
        print(text)  # noqa: T201 - talks to the user
    if outcome.error is not None:
        raise outcome.error
    return outcome.value


class _Return:
    """Follows a detached cell from a thread, and binds what it made.

    That happens before the first cell that is run after its end, or in ``run.wait()``: in the
    thread that runs cells. ``words`` are the names in the cell; what they meant when it was
    started is what is trained, and a name that was bound anew meanwhile is left alone.
    """

    def __init__(self, shell: Any, training: Training, follower: Follower, words: set[str]) -> None:
        self._shell, self._training, self._follower = shell, training, follower
        self._words = words
        self._before = {n: shell.user_ns[n] for n in words & set(shell.user_ns)}
        self._is_delivered = False
        self._detached = Detached(follower, lambda: _add_runs(training, follower))
        training.run.on_wait = self._wait
        shell.events.register("pre_run_cell", self._deliver)
        self._detached.start()

    def _wait(self, timeout: float | None) -> bool:
        over = self._detached.wait(timeout)
        self._deliver()
        return over

    def _deliver(self, *_: object) -> None:
        if self._is_delivered or not self._detached.is_over:
            return
        self._is_delivered = True
        self._shell.events.unregister("pre_run_cell", self._deliver)
        names = self._shell.user_ns
        meant = {n: v for n, v in names.items() if n not in self._words} | self._before
        try:
            _bind(names, self._training, Outcome(self._follower, meant), self._is_unchanged)
        except Exception as error:  # noqa: BLE001 - a guarded place: an earlier cell's error, told here
            notes = "".join(f"\n{text}" for text in getattr(error, "__notes__", ()))
            print(f"The detached cell failed. {type(error).__name__}: {error}{notes}")  # noqa: T201

    def _is_unchanged(self, name: str) -> bool:
        return self._shell.user_ns.get(name) is self._before.get(name)
