"""``--precision``: the number format of the models that are built in the block."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any

from nb_optimizer.core.errors import UserError


@contextlib.contextmanager
def precision_scope(name: str | None) -> Iterator[None]:
    """Make ``name`` Keras' global dtype policy within the block."""
    if name is None:
        yield
        return
    mixed = importlib.import_module("keras").mixed_precision
    before = mixed.dtype_policy()
    mixed.set_dtype_policy(name)
    try:
        yield
    finally:
        mixed.set_dtype_policy(before)


def check_precision(model: Any, name: str | None) -> None:
    """Refuse a model that was built in another format than asked for."""
    has = getattr(getattr(model, "dtype_policy", None), "name", name)
    if name is not None and has != name:
        message = (
            f"--precision {name} applies to models built in this cell; "
            f"{model.name} was built before, with {has}. Build it in the cell."
        )
        raise UserError(message)
