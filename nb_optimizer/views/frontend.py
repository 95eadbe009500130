"""What shows the output of this process. Asked when something is shown, never at import."""

from __future__ import annotations

import sys
from typing import Any


def _shell() -> Any | None:
    """Return the IPython shell, if IPython runs this code."""
    if "IPython" not in sys.modules:
        return None
    from IPython.core.getipython import get_ipython  # noqa: PLC0415 - only where it is loaded

    return get_ipython()


def _request() -> dict[str, Any]:
    """Return the message that asked for the running cell, or nothing outside a kernel."""
    kernel = getattr(_shell(), "kernel", None)
    parent = kernel.get_parent("shell") if hasattr(kernel, "get_parent") else None
    return parent or {}


def variables() -> dict[str, Any]:
    """Return the notebook's variables, to read and to set."""
    names: dict[str, Any] = getattr(_shell(), "user_ns", {})
    return names


def in_kernel() -> bool:
    """Whether output goes to a Jupyter kernel's client."""
    return getattr(_shell(), "kernel", None) is not None


def cell_id() -> str:
    """Return the id of the running cell where the front end tells it, else nothing."""
    return str(_request().get("metadata", {}).get("cellId", ""))


def mode(live: str) -> str:
    """Return ``widget``, ``html``, ``text`` or ``off`` for the option ``--live``.

    A notebook page marks its cells in the request's metadata. What runs notebooks without a page
    (papermill, nbclient, nbconvert, a console) sends none: there, text lines reach the log.
    """
    if live == "off":
        return live
    if not in_kernel():
        return "text"
    if live == "auto":
        return "widget" if _request().get("metadata") else "text"
    return live
