"""How a ``tf.data.Dataset`` is made: the private names of its pipeline.

Where they are missing, or a stage is not known here, the pipeline is left as it is.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

# Stages that feed the same elements in the same order each time, unless what they call varies.
_STEADY = {
    "_BatchDataset", "_ParallelBatchDataset", "_PaddedBatchDataset", "_UnbatchDataset",
    "CacheDataset", "_ConcatenateDataset", "_MapDataset", "_ParallelMapDataset", "_FilterDataset",
    "_FlatMapDataset", "_OptionsDataset", "_PrefetchDataset", "_RangeDataset", "_RepeatDataset",
    "_SkipDataset", "_TakeDataset", "_TensorDataset", "_TensorSliceDataset", "_WindowDataset",
    "_ZipDataset",
}  # fmt: skip
_SHUFFLES = {"_ShuffleDataset"}
_COMPUTES = {"_MapDataset", "_ParallelMapDataset", "_FilterDataset", "_FlatMapDataset"}


def improved(dataset: Any, batches: int | None, budget: float) -> tuple[Any, str]:
    """Return the dataset with what makes it faster without changing what it feeds, and what it is.

    A pipeline whose elements are the same in every pass is kept in memory after the first one, if
    its ``batches`` fit into ``budget`` bytes; any that calls no Python and keeps no state of its
    own prepares batches ahead.
    """
    try:
        stages = list(_stages(dataset))
    except AttributeError:
        return dataset, ""
    names = {type(stage).__name__ for stage in stages}
    if not names <= _STEADY | _SHUFFLES or any(map(_varies, stages)):
        return dataset, ""
    tf: Any = importlib.import_module("tensorflow")
    told = ""
    if batches and names & _COMPUTES and not names & _SHUFFLES:
        whole = "CacheDataset" not in names and dataset.cardinality() == batches
        if whole and _bytes_of_a_batch(tf, dataset) * batches <= budget:
            dataset, told = dataset.cache(), "its batches are kept in memory"
    if type(dataset).__name__ != "_PrefetchDataset":
        dataset = dataset.prefetch(tf.data.AUTOTUNE)
    return dataset, told


def _stages(dataset: Any) -> Iterator[Any]:
    yield dataset
    for before in dataset._inputs():  # noqa: SLF001
        yield from _stages(before)


def _varies(stage: Any) -> bool:
    """Whether a stage may give other elements, or another order, in another pass."""
    unordered = getattr(stage, "_deterministic", None) in ("false", False)
    if unordered or stage.options().deterministic is False:
        return True
    graphs = [function.function.graph for function in stage._functions()]  # noqa: SLF001
    return any(op.op_def.is_stateful for graph in graphs for op in graph.get_operations())


def _bytes_of_a_batch(tf: Any, dataset: Any) -> float:
    first = next(iter(dataset.take(1)), ())
    return float(sum(t.dtype.size * int(tf.size(t)) for t in tf.nest.flatten(first)))
