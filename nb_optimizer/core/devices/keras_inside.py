"""The private names of Keras that training on several devices or machines needs.

Each is tested for before it is used. The overrides for several machines are written for the
versions of Keras in ``TESTED``; with any other, ``--machines`` refuses.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any

from nb_optimizer.core.errors import UserError

TESTED = ("3.15",)  # major and minor versions on which the overrides were tried
_BUILD, _REDUCE, _IS_MULTI = (
    "_maybe_symbolic_build",
    "reduce_per_replica",
    "_collective_all_reduce_multi_worker",
)


def strategy_of(model: Any) -> Any | None:
    """Return the strategy a model was made under, ``None`` for no strategy."""
    strategy = getattr(model, "_distribute_strategy", None)
    return None if type(strategy).__name__ == "_DefaultDistributionStrategy" else strategy


def compiled_with(model: Any) -> dict[str, Any]:
    """Return the live arguments of ``model.compile``.

    Raises:
        UserError: this version of Keras does not keep them.
    """
    kept = getattr(getattr(model, "_compile_config", None), "config", None)
    if not isinstance(kept, dict):
        message = (
            f"{model.name} was built outside the devices' scope, and how it was compiled cannot "
            "be read here. Build and compile it in the cell."
        )
        raise UserError(message)
    return dict(kept)


def check_tested() -> None:
    """Refuse a Keras on which the overrides were not tried."""
    keras: Any = importlib.import_module("keras")
    version = ".".join(keras.__version__.split(".")[:2])
    if version not in TESTED or not _has_names():
        message = (
            f"--machines was tried with Keras {', '.join(TESTED)} only; this is "
            f"{keras.__version__}. It replaces two private functions of Keras, so it stops here."
        )
        raise UserError(message)


@contextlib.contextmanager
def built_from_own_batch() -> Iterator[None]:
    """Within the block, Keras builds a model from the batch of one device.

    Stock Keras 3 averages the first batch of ``fit`` and ``evaluate`` over all devices, which
    fails where they have unequal parts of it, and over several machines.
    """
    if not _has_names():
        yield
        return
    trainer, tree = _trainer(), importlib.import_module("keras").tree
    distributed = importlib.import_module("tensorflow").distribute.DistributedValues
    owner, original = trainer.TensorFlowTrainer, getattr(trainer.TensorFlowTrainer, _BUILD)

    def local(value: Any) -> Any:
        return value.values[0] if isinstance(value, distributed) else value

    def build(self: Any, iterator: Any = None, data_batch: Any = None) -> None:
        if iterator is None or strategy_of(self) is None:
            original(self, iterator, data_batch)
            return
        _, _, batches = next(iter(iterator))
        batch = tree.map_structure(local, next(batches))
        with self.distribute_strategy.scope():
            self._symbolic_build(data_batch=batch)

    setattr(owner, _BUILD, build)
    try:
        yield
    finally:
        setattr(owner, _BUILD, original)


@contextlib.contextmanager
def made_for_machines() -> Iterator[None]:
    """Within the block, Keras trains under ``MultiWorkerMirroredStrategy``.

    Besides the above, stock Keras 3 averages scalar losses along an axis they do not have; here
    they are averaged over the workers.
    """
    check_tested()
    trainer, tree = _trainer(), importlib.import_module("keras").tree
    is_multi, original = getattr(trainer, _IS_MULTI), getattr(trainer, _REDUCE)

    def reduce(values: Any, strategy: Any, reduction: str) -> Any:
        if not (is_multi(strategy) and reduction in ("auto", "mean")):
            return original(values, strategy, reduction)
        return tree.map_structure(lambda v: strategy.reduce("MEAN", v, axis=None), values)

    setattr(trainer, _REDUCE, reduce)
    try:
        with built_from_own_batch():
            yield
    finally:
        setattr(trainer, _REDUCE, original)


def _trainer() -> Any:
    return importlib.import_module("keras.src.backend.tensorflow.trainer")


def _has_names() -> bool:
    try:
        trainer = _trainer()
    except ImportError:
        return False
    owner = getattr(trainer, "TensorFlowTrainer", None)
    return all(hasattr(trainer, n) for n in (_REDUCE, _IS_MULTI)) and all(
        hasattr(owner, n) for n in (_BUILD, "_symbolic_build")
    )
