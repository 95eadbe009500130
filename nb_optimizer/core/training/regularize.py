"""``--l1``, ``--l2`` and ``--dropout``: regularize a model for one run, then take it off again.

The penalty goes on the variables named ``kernel`` (of any layer, nested ones too) that have no
regularizer of their own. Dropout goes in front of ``Dense`` layers, except where the layer reads
the model's input or follows a ``Dropout`` already, as in Srivastava et al. 2014,
https://jmlr.org/papers/v15/srivastava14a.html.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from nb_optimizer.core.errors import UserError, listing
from nb_optimizer.core.training.framework import Framework

_KERNELS = ("kernel", "depthwise_kernel", "pointwise_kernel")
_SHOWN = 8


@dataclass
class Regularization:
    """What was added to a model; ``remove`` undoes it."""

    notes: list[str] = field(default_factory=list)
    variables: list[Any] = field(default_factory=list)  # seeds of the added dropout
    penalized: list[Any] = field(default_factory=list)
    dropped: list[Any] = field(default_factory=list)

    def remove(self, framework: Framework, model: Any) -> None:
        """Take everything off the model again."""
        for variable in self.penalized:
            variable.regularizer = None
        for layer in self.dropped:
            del layer.call
        if self.penalized or self.dropped:
            framework.retrace(model)


def add(
    framework: Framework, model: Any, *, l1: float, l2: float, dropout: float
) -> Regularization:
    """Add penalties and dropout to a built model and have its training step compiled again."""
    added = Regularization()
    if not (l1 or l2 or dropout):
        return added
    if framework.name != "keras":
        message = "--l1, --l2 and --dropout need a Keras 3 model; this is a tf_keras model."
        raise UserError(message)
    if l1 or l2:
        _add_penalty(framework, model, l1, l2, added)
    if dropout:
        _add_dropout(framework, model, dropout, added)
    framework.retrace(model)
    return added


def _add_penalty(
    framework: Framework, model: Any, l1: float, l2: float, added: Regularization
) -> None:
    regularizer = framework.module.regularizers.L1L2(l1=l1, l2=l2)
    kernels = [v for v in model.trainable_variables if v.name in _KERNELS]
    kept = [v for v in kernels if v.regularizer is not None]
    for variable in kernels:
        if variable.regularizer is None:
            variable.regularizer = regularizer
            added.penalized.append(variable)
    what = " and ".join(f"{n} {v:g}" for n, v in (("L1", l1), ("L2", l2)) if v)
    added.notes.append(_sentence(f"{what} added to the kernels of", added.penalized))
    if kept:
        added.notes.append(_sentence("left alone, with a regularizer of their own:", kept))


def _sentence(start: str, variables: list[Any]) -> str:
    names = [v.path.rsplit("/", 1)[0].rsplit("/", 1)[-1] for v in variables]
    return f"{start} {_shortened(names) or 'no layer'}"


def _shortened(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return listing(names) if more <= 0 else f"{', '.join(names[:_SHOWN])} and {more} more"


def _add_dropout(framework: Framework, model: Any, rate: float, added: Regularization) -> None:
    chosen, already = _places(framework, model)
    for layer in chosen:
        drop = framework.module.layers.Dropout(rate)
        added.variables.append(drop.seed_generator.state)
        layer.call = _dropping(layer.call, drop)
        added.dropped.append(layer)
    names = _shortened([layer.name for layer in chosen])
    added.notes.append(f"dropout {rate:g} added in front of {names or 'no layer'}")
    if already:
        names = _shortened([layer.name for layer in already])
        added.notes.append(f"left alone, with dropout in front already: {names}")


def _dropping(call: Any, drop: Any) -> Any:
    def call_with_dropout(inputs: Any, *args: Any, **kwargs: Any) -> Any:
        return call(drop(inputs), *args, **kwargs)

    return call_with_dropout


def _places(framework: Framework, model: Any) -> tuple[list[Any], list[Any]]:
    """Return the Dense layers to drop inputs of, and those that have dropout in front."""
    layers = framework.module.layers
    everything = framework.sublayers(model)
    dense = [x for x in everything if isinstance(x, layers.Dense)]
    drops = (layers.Dropout, layers.SpatialDropout1D, layers.SpatialDropout2D, layers.AlphaDropout)
    dropped = {id(_tensor(x, "output")) for x in everything if isinstance(x, drops)}
    inputs = {id(t) for t in getattr(model, "inputs", None) or []}
    if not inputs:  # a subclassed model has no graph to look at: its first layer reads the input
        return dense[1:], []
    already = [x for x in dense if id(_tensor(x, "input")) in dropped]
    first = [x for x in dense if id(_tensor(x, "input")) in inputs]
    return [x for x in dense if x not in already and x not in first], already


def _tensor(layer: Any, end: str) -> Any:
    """Return the symbolic input or output of a layer; a layer used twice has no single one."""
    try:
        return getattr(layer, end)
    except (AttributeError, ValueError):
        return layer
