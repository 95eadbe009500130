"""What TensorFlow can use here. Looking starts nothing: no device is taken into use."""

from __future__ import annotations

import contextlib
import importlib
import os
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Inventory:
    """The devices in sight.

    ``gpus`` are descriptions, in TensorFlow's order. ``logical_cpus`` is how many devices the
    processor is already divided into (1 unless somebody asked for more). Once TensorFlow
    ``computes`` in this process, that number is fixed.
    """

    cores: int = 1
    gpus: tuple[str, ...] = ()
    tpus: int = 0
    logical_cpus: int = 1
    computes: bool = False


def look() -> Inventory:
    """Look at the devices that TensorFlow sees."""
    tf: Any = importlib.import_module("tensorflow")
    config = tf.config
    gpus = tuple(_describe(tf, gpu) for gpu in config.list_physical_devices("GPU"))
    tpus = len(config.list_physical_devices("TPU"))
    (cpu, *_) = config.list_physical_devices("CPU")
    divided = config.get_logical_device_configuration(cpu)
    return Inventory(_cores(), gpus, tpus, len(divided) if divided else 1, _computes(tf))


def divide_cpu(count: int) -> bool:
    """Divide the processor into ``count`` logical devices.

    TensorFlow can do that until it first computes something; ``False`` means it is too late.
    """
    tf: Any = importlib.import_module("tensorflow")
    (cpu, *_) = tf.config.list_physical_devices("CPU")
    if len(tf.config.get_logical_device_configuration(cpu) or ()) >= count:
        return True
    wanted = [tf.config.LogicalDeviceConfiguration() for _ in range(count)]
    try:
        tf.config.set_logical_device_configuration(cpu, wanted)
    except RuntimeError:
        return False
    return True


def _computes(tf: Any) -> bool:
    """Whether TensorFlow has begun to compute: then it refuses another number of threads."""
    threads = tf.config.threading
    before = threads.get_inter_op_parallelism_threads()
    try:
        threads.set_inter_op_parallelism_threads(before + 1)
    except RuntimeError:
        return True
    threads.set_inter_op_parallelism_threads(before)
    return False


def _describe(tf: Any, gpu: Any) -> str:
    details: dict[str, Any] = {}
    with contextlib.suppress(tf.errors.OpError, ValueError, RuntimeError):
        details = tf.config.experimental.get_device_details(gpu)
    return str(details.get("device_name", "GPU"))


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
