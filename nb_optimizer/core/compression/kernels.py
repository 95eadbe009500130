"""Which weights of a model may be pruned and clustered, and why the others are left alone."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from nb_optimizer.core.compression import graph

NAMES = ("kernel", "recurrent_kernel", "embeddings", "pointwise_kernel")
LEAST = 1000  # weights below which a kernel is not worth its loss
END = "the first or the last layer"
_FRAGILE = "Depthwise"  # few weights for each output


@dataclass(frozen=True)
class Kernel:
    """A weight of rank 2 or more, and the layer it belongs to."""

    layer: Any
    variable: Any
    name: str

    @property
    def size(self) -> int:
        """How many weights it has."""
        count = 1
        for n in self.variable.shape:
            count *= int(n)
        return count


def all_kernels(model: Any) -> list[Kernel]:
    """Return every kernel of the model once, in order."""
    found: dict[int, Kernel] = {}
    for layer in graph.sublayers(model):
        for name in NAMES:
            value = getattr(layer, name, None)
            if value is not None and len(getattr(value, "shape", ())) > 1:
                label = layer.name if name == "kernel" else f"{layer.name}/{name}"
                found.setdefault(id(value), Kernel(layer, value, label))
    return list(found.values())


def choose(model: Any, also: Collection[str] = ()) -> tuple[list[Kernel], dict[str, str]]:
    """Return the kernels to work on, and the others with the reason they are left alone.

    The first kernel and the last are the usual losers and hold few weights; those that ``also``
    names are worked on.
    """
    every = all_kernels(model)
    left: dict[str, str] = {}
    chosen = []
    for i, kernel in enumerate(every):
        reason = _reason(kernel, is_end=len(every) > 2 and i in (0, len(every) - 1))  # noqa: PLR2004
        if reason and kernel.name not in also:
            left[kernel.name] = reason
        else:
            chosen.append(kernel)
    return chosen, left


def table(model: Any) -> list[dict[str, Any]]:
    """Return a row for each kernel: its layer, how much it holds, and why it is left alone."""
    _, left = choose(model)
    whole = max(1, int(model.count_params()))
    return [
        {
            "layer": k.name, "kind": type(k.layer).__name__, "weights": k.size,
            "share": round(k.size / whole, 4), "left_alone": left.get(k.name, ""),
        }
        for k in all_kernels(model)
    ]  # fmt: skip


def _reason(kernel: Kernel, *, is_end: bool) -> str:
    if not kernel.layer.trainable:
        return "not trainable"
    if _FRAGILE in type(kernel.layer).__name__:
        return "depthwise kernels lose the most and hold the least"
    if kernel.size < LEAST:
        return f"only {kernel.size} weights"
    if is_end and kernel.size < 10 * LEAST:
        return END
    return ""
