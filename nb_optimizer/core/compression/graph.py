"""Walks the graph of a live Keras 3 model; the only file here with private names of Keras.

A model is rebuilt by calling, for each operation of its graph, whatever ``make`` returns for it,
on tensors of any kind: Keras tensors make a new Keras model, tf_keras tensors a tf_keras one.
Nested models are opened. The flag ``training`` that Keras keeps in a node is left out: it belongs
to the call that made the graph, not to those that come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from nb_optimizer.core.errors import UserError

Make = Callable[[Any], Callable[..., Any]]


@dataclass(frozen=True)
class Node:
    """One call of an operation: ``inputs`` and ``outputs`` are Keras tensors."""

    operation: Any
    inputs: list[Any]
    outputs: list[Any]


def is_old(model: Any) -> bool:
    """Whether a model is of tf_keras."""
    return any(c.__module__.partition(".")[0] == "tf_keras" for c in type(model).__mro__)


def graph_of(model: Any) -> Any:
    """Return the functional graph of a Sequential or Functional model.

    Raises:
        UserError: the model has none: its ``call`` is code.
    """
    if is_old(model):
        message = (
            f"{model.name} is a tf_keras model: only number formats can be changed "
            "(--quantize, --budget without --train)."
        )
        raise UserError(message)
    inner = getattr(model, "_functional", None) if hasattr(model, "_functional") else model
    if inner is None or not hasattr(inner, "_nodes_by_depth"):
        message = (
            f"{type(model).__name__} has no layer graph (its call is your own code), so only "
            "number formats can be changed: --quantize, --budget without --train."
        )
        raise UserError(message)
    return inner


def has_graph(model: Any) -> bool:
    """Whether the model is Sequential or Functional."""
    try:
        graph_of(model)
    except UserError:
        return False
    return True


def nodes(model: Any) -> Iterator[Node]:
    """Yield the calls inside ``model`` in the order they run; nested models stay closed."""
    graph = graph_of(model)
    for depth in sorted(graph._nodes_by_depth, reverse=True):  # noqa: SLF001 - see above
        for node in graph._nodes_by_depth[depth]:  # noqa: SLF001
            if node.operation is not None and not node.is_input:
                yield Node(node.operation, list(node.input_tensors), list(node.outputs))


def flat_nodes(model: Any) -> Iterator[Node]:
    """Yield the calls inside ``model`` and inside the models it holds."""
    for node in nodes(model):
        if is_model(node.operation) and has_graph(node.operation):
            yield from flat_nodes(node.operation)
        else:
            yield node


def is_model(operation: Any) -> bool:
    """Whether an operation of a graph is a model itself."""
    return any(c.__name__ == "Model" for c in type(operation).__mro__)


def inputs_of(model: Any) -> list[Any]:
    """Return the input tensors of the graph, flat."""
    return list(graph_of(model)._inputs)  # noqa: SLF001 - see above


def packed(model: Any, inputs: list[Any]) -> Any:
    """Return flat inputs in the structure that ``model`` was made with."""
    from keras import tree  # noqa: PLC0415 - loads on first use

    made = tree.pack_sequence_as(graph_of(model)._inputs_struct, inputs)  # noqa: SLF001 - see above
    return made[0] if isinstance(made, list | tuple) and len(made) == 1 else made


def rebuild(model: Any, inputs: Any, make: Make) -> Any:
    """Run the graph of ``model`` on ``inputs`` and return its outputs.

    Args:
        model: a Sequential or Functional model.
        inputs: tensors in the order of :func:`inputs_of`.
        make: returns what is called in place of an operation; asked once for each.
    """
    return _Rebuilding(make).run(model, inputs)


class _Rebuilding:
    def __init__(self, make: Make) -> None:
        self._make = make
        self._made: dict[int, Callable[..., Any]] = {}

    def run(self, model: Any, inputs: Any) -> Any:
        from keras import tree  # noqa: PLC0415 - loads on first use

        graph = graph_of(model)
        values = dict(zip(map(id, graph._inputs), tree.flatten(inputs), strict=True))  # noqa: SLF001
        for depth in sorted(graph._nodes_by_depth, reverse=True):  # noqa: SLF001
            for node in graph._nodes_by_depth[depth]:  # noqa: SLF001
                if node.operation is None or node.is_input:
                    continue
                args, kwargs = node.arguments.fill_in(values)
                made = self._call(node.operation, args, kwargs)
                values.update(zip(map(id, node.outputs), tree.flatten(made), strict=True))
        return tree.map_structure(lambda t: values[id(t)], graph._outputs_struct)  # noqa: SLF001

    def _call(self, operation: Any, args: Any, kwargs: Any) -> Any:
        if is_model(operation) and has_graph(operation):
            return self.run(operation, args[0] if len(args) == 1 else args)
        if id(operation) not in self._made:
            self._made[id(operation)] = self._make(operation)
        kept = {k: v for k, v in kwargs.items() if k != "training" and not _no_mask(k, v)}
        return self._made[id(operation)](*args, **kept)


def _no_mask(name: str, value: Any) -> bool:
    return name == "mask" and value is None


def sublayers(model: Any) -> list[Any]:
    """Return all layers inside ``model``, nested ones too, in order."""
    return list(model._flatten_layers(recursive=True, include_self=False))  # noqa: SLF001 - see above


def own_classes(model: Any) -> dict[str, Any]:
    """Return the classes of the model's layers that are not Keras', by name."""
    return {
        type(layer).__name__: type(layer)
        for layer in sublayers(model)
        if type(layer).__module__.partition(".")[0] not in ("keras", "tf_keras")
    }
