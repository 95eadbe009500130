"""The scope a cell runs in, so that what it builds is trained on all chosen devices."""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging
from collections.abc import Iterator
from typing import Any

from nb_optimizer.core.devices import keras_inside, machines
from nb_optimizer.core.devices import wish as wishes
from nb_optimizer.core.devices.choice import MIRRORED, ON_TPU, Choice, choose
from nb_optimizer.core.devices.inventory import divide_cpu, look
from nb_optimizer.core.errors import UserError


def chosen(text: str) -> Choice:
    """Return what ``--devices text`` picks here. ``UserError`` if it cannot be had."""
    return choose(wishes.read(text), look())


def needs_fresh_process(text: str | None) -> bool:
    """Whether this wish divides the processor, which TensorFlow can no longer do here.

    Where it still can, it does.
    """
    wish = wishes.read(text) if text else None
    divides = wish is not None and wish.kind == wishes.CPU and wish.count > 1
    return divides and wish is not None and not divide_cpu(wish.count)


@contextlib.contextmanager
def machines_scope() -> Iterator[Any]:
    """Within the block, models are made for all the workers that this process is one of."""
    if not machines.is_member():
        message = "--machines trains a cell: use %%train, which sends it to the machines."
        raise UserError(message)
    check_backend("--machines")
    with _quiet(), keras_inside.made_for_machines():
        strategy = machines.join()
        with strategy.scope():
            yield strategy


@contextlib.contextmanager
def scope(text: str | None) -> Iterator[Any]:
    """Within the block, models are made for the chosen devices.

    Yields the ``tf.distribute.Strategy``, or ``None`` where none is needed.

    Raises:
        UserError: the devices cannot be had, or Keras runs on another backend.
    """
    choice = None if text is None else chosen(text)
    if choice is None or choice.strategy not in (MIRRORED, ON_TPU):
        yield None
        return
    check_backend("--devices")
    if choice.devices[0].startswith("CPU") and not divide_cpu(choice.replicas):
        message = (
            f"--devices {text}: TensorFlow already runs in this process, and divides the "
            "processor only before. Use %%train, which takes a process of its own for it."
        )
        raise UserError(message)
    with _quiet(), keras_inside.built_from_own_batch():
        strategy = opened(choice.strategy, choice.devices)
        with strategy.scope():
            yield strategy


def check_backend(flag: str) -> None:
    """Refuse ``flag`` where Keras computes with something else than TensorFlow."""
    name = importlib.import_module("keras").backend.backend()
    if name != "tensorflow":
        message = f"{flag} needs Keras on TensorFlow; here Keras runs on {name}."
        raise UserError(message)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep TensorFlow from telling each reduction between devices."""
    logger = logging.getLogger("tensorflow")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)


@functools.cache
def opened(kind: str, devices: tuple[str, ...]) -> Any:
    """Return the strategy over these devices; one per process, as models are bound to it."""
    distribute = importlib.import_module("tensorflow").distribute
    if kind == ON_TPU:
        return _open_tpu()
    if devices[0].startswith("CPU"):
        # The default reduction stops working in the whole process after one failed step.
        reduce = distribute.HierarchicalCopyAllReduce()
        return distribute.MirroredStrategy(list(devices), cross_device_ops=reduce)
    return distribute.MirroredStrategy(list(devices))


def _open_tpu() -> Any:
    tf: Any = importlib.import_module("tensorflow")
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect(tpu="local")
        return tf.distribute.TPUStrategy(resolver)
    except (ValueError, RuntimeError, tf.errors.OpError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        message = f"--devices tpu: the TPU could not be opened ({first[:200]})."
        raise UserError(message) from error
