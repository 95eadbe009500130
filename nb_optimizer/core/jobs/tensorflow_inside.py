"""Private names of TensorFlow that workers need; no other file of ``core/jobs`` knows them."""

from __future__ import annotations

import gc
import weakref
from typing import Any

_MADE = "CustomGradient-"  # how TensorFlow names what ``tf.custom_gradient`` registers
_KEPT = "_nb_optimizer_gradients"


def forget_gradients() -> None:
    """Free the traced functions that only the registry of gradients still holds.

    A function that is traced with a custom gradient in it, as those of Keras' losses and dropout
    are, is registered for good, with its whole graph. For a moment each gradient belongs to its
    graph instead; those of graphs that somebody else holds, too, come back.
    """
    known = _registry()
    graphs = []
    for name in [n for n in known if n.startswith(_MADE)]:
        graph = _outermost_graph(known[name]["type"])
        if graph is not None:
            setattr(graph, _KEPT, {**getattr(graph, _KEPT, {}), name: known.pop(name)})
            graphs.append(weakref.ref(graph))
        del graph
    gc.collect()
    for reference in graphs:
        if (living := reference()) is not None:
            known.update(getattr(living, _KEPT))
            setattr(living, _KEPT, {})


def _registry() -> dict[str, dict[str, Any]]:
    """Return TensorFlow's registry of gradients; empty where another version hides it elsewhere.

    Workers then grow a little faster, and are replaced as ever.
    """
    try:
        from tensorflow.python.framework import ops  # noqa: PLC0415 - loads it
    except ImportError:
        return {}
    found = getattr(getattr(ops, "gradient_registry", None), "_registry", None)
    return found if isinstance(found, dict) else {}


def _outermost_graph(gradient: Any, depth: int = 2) -> Any:
    """Return the graph of the tensors that a gradient's function closes over, if it has any."""
    from tensorflow.python.framework.func_graph import FuncGraph  # noqa: PLC0415 - loads it

    for cell in gradient.__closure__ or ():
        content = cell.cell_contents
        for one in content if isinstance(content, list | tuple) else (content,):
            graph = getattr(one, "graph", None)
            if isinstance(graph, FuncGraph):
                while isinstance(graph.outer_graph, FuncGraph):
                    graph = graph.outer_graph
                return graph
            if depth and hasattr(one, "__closure__"):
                found = _outermost_graph(one, depth - 1)
                if found is not None:
                    return found
    return None
