"""Small convolutions in float beside 8 bits: these save nothing there, and can slow them down.

Kernels for 8 bits take many channels at once. A first convolution over one or three channels is
padded to that, and can take several times as long as in float.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nb_optimizer.core.compression.recipe import Recipe
from nb_optimizer.core.compression.row import MEASURED

if TYPE_CHECKING:
    from nb_optimizer.core.compression.session import Compressing

_SMALL = 1024  # weights of a convolution
_SLOW = 1.0  # times as fast as float


def spared(session: Compressing, recipe: Recipe) -> Recipe | None:
    """Return an ``int8`` recipe with small convolutions in float, if its file has such."""
    _, source, _ = session.trained.float_file(recipe)
    small = [o for o in session.bench.operations(source) if _is_small(o)]
    if not small:
        return None
    return replace(recipe, formats={str(o["index"]): "float32" for o in small})


def make(session: Compressing, recipe: Recipe) -> None:
    """Make the candidate, and the one beside an ``int8`` file that turns out slower than float."""
    row = session.candidate(recipe)
    plain = recipe.quantize == "int8" and not recipe.formats
    if not plain or row.status != MEASURED or row.speedup >= _SLOW:
        return
    if session.trained.finished_file(recipe) is not None:  # TF-MOT has written that one
        return
    if (other := spared(session, recipe)) is not None:
        session.note("int8 is slower than float here, so small convolutions are tried in float")
        session.candidate(other)


def _is_small(operation: dict[str, Any]) -> bool:
    return bool(operation["kind"] == "CONV_2D" and operation["weights"] < _SMALL)
