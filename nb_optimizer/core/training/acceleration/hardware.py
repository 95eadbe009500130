"""The device that computes: whether steps can be gathered there, and how much data it holds."""

from __future__ import annotations

import functools
import importlib
from typing import Any

import psutil

from nb_optimizer.core.devices import nvidia
from nb_optimizer.core.training.acceleration.promises import (
    FUSED,
    LOOP,
    ON_CPU,
    ON_GPU,
    XLA,
    Promises,
)
from nb_optimizer.core.training.framework import Framework
from nb_optimizer.core.training.sampling import accelerator

_SHARE_OF_MEMORY = 4  # the data may take one part in this many of what is free
_LITTLE = 64 * 2**20  # bytes that any GPU has to spare


def unsuited() -> str:
    """Return why steps stay plain on this device, or nothing."""
    if accelerator() is None or _is_cuda():
        return ""
    return "a GPU that is no NVIDIA GPU computes, where this is not tried yet"


def promises(kind: str) -> Promises:
    """Return what faster ways promise on this device to a model of this kind."""
    return (ON_GPU if accelerator() else ON_CPU)[kind]


def runs_apart() -> bool:
    """Whether the device runs on its own while Python goes on to the next step."""
    return accelerator() is not None


def ways_for(model: Any, framework: Framework, ways: tuple[str, ...]) -> tuple[str, ...]:
    """Return those of ``ways`` that compute what the model's own steps compute.

    Where Keras compiles these by XLA, as it does on a GPU, a loop of steps that are not compiled
    is no faster form of the same. Some layers say that XLA cannot compile them.
    """
    if not all(getattr(layer, "supports_jit", True) for layer in framework.sublayers(model)):
        return tuple(way for way in ways if way not in {FUSED, XLA})
    if model.compiled and model.jit_compile:
        return tuple(way for way in ways if way != LOOP)
    return ways


def memory() -> float:
    """Return the bytes of the computer's memory that data may take."""
    return float(psutil.virtual_memory().available / _SHARE_OF_MEMORY)


def holds(size: int) -> bool:
    """Whether arrays of so many bytes fit beside everything else on the device."""
    device = accelerator()
    if device is None or size > memory():
        return size <= memory()
    if size <= _LITTLE:
        return True
    tf: Any = importlib.import_module("tensorflow")
    taken: int = tf.config.experimental.get_memory_info(device)["current"]
    return size <= (_gpu_memory() - taken) / _SHARE_OF_MEMORY


@functools.cache
def _gpu_memory() -> int:
    return min((total for _, total in nvidia.memory(nvidia.visible())), default=0)


@functools.cache
def _is_cuda() -> bool:
    tf: Any = importlib.import_module("tensorflow")
    (gpu, *_) = tf.config.list_physical_devices("GPU")
    details: dict[str, Any] = tf.config.experimental.get_device_details(gpu)
    return "compute_capability" in details
