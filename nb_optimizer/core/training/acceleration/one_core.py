"""Keeps the threads that run compiled steps on one core, where that is no slower.

In a step of a small model TensorFlow's threads hand each other parts that take microseconds, and
look for more in between: two cores are busy for what one does in the same time. How many threads
there are is fixed once TensorFlow has started, so they are placed instead, block by block, and the
wall time of the blocks decides: a larger model is faster on all cores and stays there. What is
computed does not depend on the place. Only Linux lets a process place its threads.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

_TASKS = Path("/proc/self/task")
_ENOUGH = 3  # blocks whose times tell how fast a place is
_ANEW = 16  # one block in so many runs in the other place: the machine may have become busy
_LEAST_SHARE = 0.02  # of a block's work, for a thread that counts as running it
_CORE = 36  # the field of a thread's "stat", after its name, that tells its core


class OneCore:
    """Runs blocks of steps on all cores or on one, by what a step took lately in either place."""

    def __init__(self) -> None:
        self._threads: set[int] = set()  # those of TensorFlow that run the blocks
        self._are_shared = False  # whether more than one thread runs a block
        self._lately: dict[bool, deque[float]] = {  # seconds per step: on all cores, on one
            False: deque(maxlen=_ENOUGH),
            True: deque(maxlen=_ENOUGH),
        }
        self._longest = {False: 0, True: 0}  # steps of a block
        self._turn = 0
        self._was_on_one = self._on_one = False  # the last block, and the next
        self._is_possible = hasattr(os, "sched_setaffinity") and _TASKS.exists()

    @property
    def slower(self) -> float:
        """How many times longer than in the last block a step may take in the next."""
        if self._on_one == self._was_on_one:
            return 1.0
        then, now = self._lately[self._was_on_one], self._lately[self._on_one]
        return max(1.0, min(now) / min(then)) if now else float(len(self._threads) + 1)

    def run(self, call: Callable[[], T], steps: int) -> T:
        """Return what ``call`` returns: a block of ``steps`` steps, compiled already."""
        if not self._is_possible:
            return call()
        on_one = self._on_one
        with _placed(self._threads) if on_one else self._noticing():
            begin = time.perf_counter()
            returned = call()
            seconds = time.perf_counter() - begin
        # The last block of an epoch is short: the call itself weighs more there than its steps.
        self._longest[on_one] = max(self._longest[on_one], steps)
        if 2 * steps >= self._longest[on_one]:
            self._lately[on_one].append(seconds / steps)
        self._was_on_one, self._on_one = on_one, self._next()
        return returned

    def _next(self) -> bool:
        """Whether the next block runs on one core."""
        if len(self._lately[False]) < _ENOUGH:
            return False
        if not self._are_shared:
            self._is_possible = False
            return False
        if len(self._lately[True]) < _ENOUGH:
            return True
        is_faster = min(self._lately[True]) <= min(self._lately[False])
        self._turn = (self._turn + 1) % _ANEW
        return is_faster if self._turn else not is_faster

    @contextlib.contextmanager
    def _noticing(self) -> Iterator[None]:
        """Notice which threads run a block; Python's own are none of TensorFlow's."""
        if len(self._lately[False]) == _ENOUGH:
            yield
            return
        before = _worked()
        yield
        ran = {thread: done - before.get(thread, done) for thread, done in _worked().items()}
        others = _of_python() - {threading.get_native_id()}
        ran = {thread: done for thread, done in ran.items() if thread not in others}
        least = _LEAST_SHARE * sum(ran.values())
        busy = {thread for thread, done in ran.items() if done > least}
        self._are_shared |= len(busy) > 1
        self._threads |= busy - _of_python()


@contextlib.contextmanager
def _placed(threads: set[int]) -> Iterator[None]:
    """Keep threads on the calling thread's core, which the system has found free enough.

    As batch work: a thread that is handed a part must not push aside the one that hands it over.
    """
    before = {}
    with contextlib.suppress(OSError):  # a thread has ended, or this is not allowed here
        core = _own_core()
        for thread in threads:
            if os.sched_getscheduler(thread) == os.SCHED_OTHER:  # others are somebody's choice
                before[thread] = os.sched_getaffinity(thread)
                os.sched_setaffinity(thread, {core})
                os.sched_setscheduler(thread, os.SCHED_BATCH, os.sched_param(0))
    try:
        yield
    finally:
        for thread, cores in before.items():
            with contextlib.suppress(OSError):
                os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))
                os.sched_setaffinity(thread, cores)


def _worked() -> dict[int, int]:
    """Return for how many nanoseconds each thread of this process has run."""
    found = {}
    for task in _TASKS.iterdir():
        with contextlib.suppress(OSError):
            found[int(task.name)] = int((task / "schedstat").read_text().split()[0])
    return found


def _of_python() -> set[int | None]:
    return {thread.native_id for thread in threading.enumerate()}


def _own_core() -> int:
    text = (_TASKS / str(threading.get_native_id()) / "stat").read_text()
    return int(text.rpartition(")")[2].split()[_CORE])
