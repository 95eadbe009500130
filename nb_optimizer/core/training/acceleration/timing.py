"""How long steps take, on a device that may still compute when Python has gone on."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from typing import Any

from nb_optimizer.core.training.acceleration import hardware
from nb_optimizer.core.training.acceleration.pace import Pace

_STEPS_AT_ONCE = 16  # plain steps that a GPU is given before they are waited for


class PlainTimer:
    """Times plain steps one by one, or on a GPU, where waiting slows them, several at once."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget steps that were begun and not waited for: an epoch ends or begins."""
        self._seconds: Callable[[], float] | None = None
        self._steps = 0

    def run(self, function: Callable[[Any], Any], content: Any) -> Any:
        """Run a step, and tell the pace how long it took."""
        pace = self._pace
        seconds = self._seconds or stopwatch(pace)
        returned = function(content)
        self._steps += 1
        if hardware.runs_apart() and not pace.compiles and self._steps < _STEPS_AT_ONCE:
            self._seconds = seconds
            return returned
        wait_for(returned)
        pace.took(seconds(), self._steps)
        self.begin_anew()
        return returned


def stopwatch(pace: Pace) -> Callable[[], float]:
    """Start a watch for a call.

    A call that compiles is measured by the processor's time: a busy machine would make a
    compilation look dearer than the steps that it saves. For a GPU other processes compile, too.
    """
    apart = hardware.runs_apart()
    clock = time.process_time if pace.compiles and not apart else time.perf_counter
    start = clock()
    return lambda: clock() - start


def wait_for(returned: Any) -> None:
    """Wait until the steps are done, or the clock would be read too early."""
    tf: Any = importlib.import_module("tensorflow")
    for value in tf.nest.flatten(returned)[:1]:
        value.numpy()
