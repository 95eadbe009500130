"""The true loss of the latest batches, the speed and the memory, read at a steady clock."""

from __future__ import annotations

import importlib
import math
import sys
import time
from collections.abc import Callable
from typing import Any

import psutil

_MEMORY_EVERY = 2.0  # seconds


class BatchLoss:
    """Un-averages the loss: the exact mean over the batches since the last reading."""

    def __init__(self, read: Callable[[], tuple[float, float] | None]) -> None:
        self._read = read
        self._before = (0.0, 0.0)

    def restart(self) -> None:
        """An epoch begins: Keras has reset its metrics."""
        self._before = (0.0, 0.0)

    def since_last(self) -> float | None:
        """Return the mean loss since the last reading, ``None`` without a new batch."""
        now = self._read()
        if now is None or now[1] <= self._before[1]:
            return None
        total, count = now[0] - self._before[0], now[1] - self._before[1]
        if math.isfinite(now[0]):
            self._before = now
        return total / count


class Speed:
    """Batches per second within an epoch, recent seconds counting most."""

    def __init__(self) -> None:
        self.value = 0.0
        self._mark: tuple[float, int] | None = None

    def restart(self) -> None:
        """The time between two epochs is not training time."""
        self._mark = None

    def update(self, now: float, steps: int) -> float:
        """Tell that ``steps`` batches of this epoch are done at time ``now`` (seconds)."""
        if self._mark is None or steps < self._mark[1]:
            self._mark = (now, steps)
        elif steps > self._mark[1] and now > self._mark[0]:
            speed = (steps - self._mark[1]) / (now - self._mark[0])
            self.value = speed if not self.value else 0.7 * self.value + 0.3 * speed
            self._mark = (now, steps)
        return self.value


class Memory:
    """Memory in use, in MB: the accelerator's where TensorFlow uses one, else the process's."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._due = 0.0
        self._value = 0.0
        self._process = psutil.Process()
        self._device = accelerator()

    def value(self) -> float:
        """Return the memory in use; looked up at most every two seconds."""
        if self._clock() >= self._due:
            self._due = self._clock() + _MEMORY_EVERY
            self._value = self._look() / 2**20
        return self._value

    def _look(self) -> float:
        if self._device is not None:
            tensorflow = sys.modules["tensorflow"]
            return float(tensorflow.config.experimental.get_memory_info(self._device)["current"])
        return float(self._process.memory_info().rss)


def accelerator() -> str | None:
    """Return the device that TensorFlow computes on, if it is not the CPU."""
    if "tensorflow" not in sys.modules:
        return None
    tensorflow: Any = importlib.import_module("tensorflow")
    return "GPU:0" if tensorflow.config.list_logical_devices("GPU") else None
