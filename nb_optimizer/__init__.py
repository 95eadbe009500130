"""Optimize Keras models inside the notebook: ``%load_ext nb_optimizer``, then ``%%train``."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

# Public name to its module; imported on first use, so that loading the extension stays instant.
_PUBLIC = {
    "train": "nb_optimizer.api",
    "tune": "nb_optimizer.tuning",
    "Search": "nb_optimizer.views.search",
    "compress": "nb_optimizer.api",
    "runs": "nb_optimizer.api",
    "open_run": "nb_optimizer.api",
    "Run": "nb_optimizer.views",
    "UserError": "nb_optimizer.core.errors",
}
__all__ = ["Run", "Search", "UserError", "compress", "open_run", "runs", "train", "tune"]


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name not in _PUBLIC:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted([*_PUBLIC, "__version__"])


def load_ipython_extension(shell: Any) -> None:
    """Register the magics: ``%load_ext nb_optimizer``."""
    from nb_optimizer import magics  # noqa: PLC0415 - only when asked

    magics.load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """Take the magics away: ``%unload_ext nb_optimizer``."""
    from nb_optimizer import magics  # noqa: PLC0415 - only when asked

    magics.unload(shell)


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "../extension/labextension", "dest": "nb-optimizer"}]
