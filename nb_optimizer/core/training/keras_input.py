"""How Keras 3 feeds ``fit``: the private names of its data pipeline.

Without them (another backend, tf_keras, a Keras that works differently inside) every function
here says so by returning ``None`` or ``False``, and training goes on without the feature.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from nb_optimizer.core.training.dataset_inside import improved
from nb_optimizer.core.training.framework import Framework

Array = np.ndarray[Any, Any]
_FEW_ROWS = 20


class InputReplay:
    """Repeats the draws of finished epochs from the input, so that the next one follows on.

    Used when a run is resumed. Shuffled array input draws its order anew from the seed in each
    epoch, so nothing has to be repeated there.
    """

    def __init__(self) -> None:
        self._input: Any = None

    def installed(self, framework: Framework) -> contextlib.AbstractContextManager[bool]:
        """Return a context in which the first input that ``fit`` makes is caught."""

        def catching(original: Any) -> Any:
            def catch(*args: Any, **kwargs: Any) -> Any:
                made = original(*args, **kwargs)
                self._input = self._input or made
                return made

            return catch

        return replaced_input(framework, catching)

    def run(self, epochs: int) -> bool:
        """Draw and drop ``epochs`` epochs of input; ``False`` where that is not possible."""
        source = self._input
        if source is None:
            return False
        fresh_each_epoch = source.steps_per_epoch is None
        if fresh_each_epoch and type(source.data_adapter).__name__ == "ArrayDataAdapter":
            return True
        for _ in range(epochs):
            with source.catch_stop_iteration():
                for _begin, _end, batches in source:
                    for _ in range(source.steps_per_execution):
                        next(batches)
        return True


def _tensorflow_trainer(framework: Framework) -> Any | None:
    if framework.name != "keras" or framework.module.backend.backend() != "tensorflow":
        return None
    with contextlib.suppress(ImportError):
        trainer = importlib.import_module("keras.src.backend.tensorflow.trainer")
        return trainer if hasattr(trainer, "TFEpochIterator") else None
    return None


@contextlib.contextmanager
def replaced_input(framework: Framework, make: Callable[[Any], Any]) -> Iterator[bool]:
    """Within the block, ``fit`` makes its input by ``make(class)`` of Keras' own input class.

    Yields whether that is possible here.
    """
    trainer = _tensorflow_trainer(framework)
    if trainer is None:
        yield False
        return
    original = trainer.TFEpochIterator
    trainer.TFEpochIterator = make(original)
    try:
        yield True
    finally:
        trainer.TFEpochIterator = original


def arrays_of(source: Any) -> Any | None:
    """Return the arrays behind an input, cast as Keras casts them, else ``None``."""
    adapter = source.data_adapter
    if type(adapter).__name__ != "ArrayDataAdapter" or source.steps_per_epoch is not None:
        return None
    if adapter._shuffle not in (True, False):  # noqa: SLF001 - "batch" shuffles otherwise
        return None
    slicing = importlib.import_module("keras.src.trainers.data_adapters.array_slicing")
    tree = importlib.import_module("keras.src.tree")
    sliceable = slicing.convert_to_sliceable(adapter._inputs, target_backend="tensorflow")  # noqa: SLF001
    return tree.lists_to_tuples(sliceable)


def improve_stream(source: Any, budget: float) -> str:
    """Let a user's ``tf.data.Dataset`` feed the same faster; return what is told of it."""
    if type(source.data_adapter).__name__ != "TFDatasetAdapter":
        return ""
    dataset, told = improved(source._distributed_dataset, source.num_batches, budget)  # noqa: SLF001
    source._distributed_dataset = dataset  # noqa: SLF001
    return told


def order_of(source: Any) -> Callable[[], Array]:
    """Return a function that draws the order of the rows for an epoch, as Keras would."""
    adapter = source.data_adapter
    rows = adapter._num_samples  # noqa: SLF001
    if not adapter._shuffle:  # noqa: SLF001
        return lambda: np.arange(rows)
    # Keras' own pipeline over row numbers instead of rows, in one batch: the same permutation
    # from the same seeds.
    numbers = type(adapter)(np.arange(rows), batch_size=rows, shuffle=True)
    dataset = numbers.get_tf_dataset()

    def draw() -> Array:
        drawn = next(iter(dataset))
        return np.asarray(drawn[0] if isinstance(drawn, tuple) else drawn)

    if rows < _FEW_ROWS:  # too few for two equal orders to mean anything
        return draw
    first, second = draw(), draw()
    if np.array_equal(first, second):  # with a seed Keras draws the same order in every epoch
        return lambda: first
    # Without one any order will do; this costs a tenth of a pipeline's start.
    fresh = np.random.default_rng()
    return lambda: fresh.permutation(rows)


def batch_size_of(source: Any) -> int:
    """Return the rows per batch of an array input."""
    return int(source.data_adapter._batch_size)  # noqa: SLF001
