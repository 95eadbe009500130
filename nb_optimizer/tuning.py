"""``nbo.tune``: the same as ``%%tune``, as a plain Python call."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from nb_optimizer.core.errors import UserError, nearest
from nb_optimizer.core.store import Store
from nb_optimizer.core.tuning.conduct import Cell, begin
from nb_optimizer.core.tuning.grammar import parse
from nb_optimizer.core.tuning.plan import TunePlan
from nb_optimizer.views.search import Search, detached, follow

_FIT = (
    *("x", "y", "batch_size", "epochs", "verbose", "callbacks", "validation_split"),
    *("validation_data", "shuffle", "class_weight", "sample_weight", "initial_epoch"),
    *("steps_per_epoch", "validation_steps", "validation_batch_size", "validation_freq"),
)


def tune(
    build: Callable[..., Any],
    *data: Any,
    ranges: Mapping[str, str] | None = None,
    directory: str | Path | None = None,
    **options: Any,
) -> Search:
    """Search the hyperparameters of ``build``, which returns a compiled Keras model.

    ::

        def build(lr, units): ...

        search = nbo.tune(
            build, x, y, ranges={"lr": "log(1e-4,1e-1)", "units": "16..128:16"},
            validation_split=0.2, epochs=27, on="val_accuracy", trials=40,
        )
        search.best_model

    Args:
        build: called with the values by name; without ``ranges``, with Keras Tuner's ``hp``.
        *data: what ``model.fit`` takes first: ``x`` and ``y``, or one data set.
        ranges: name to range, written as on the line of ``%%tune``.
        directory: where runs are kept, ``.nb_optimizer`` by default.
        **options: those of ``%%tune`` (:class:`TunePlan`), and of ``model.fit``.

    Raises:
        UserError: an unknown option, a bad range, something that workers cannot be given.
    """
    plan, fit = _split(options)
    made = [parse(name, text) for name, text in (ranges or {}).items()]
    _check(build, [r.name for r in made])
    call = ", ".join(f"{r.name}={r.name}" for r in made) or "hp"
    source = f"model = build({call})\nmodel.fit(*fit_data, **fit_options)\n"
    cell = Cell(source, made, line=f"nbo.tune({getattr(build, '__name__', 'build')}, ...)")
    names = {"build": build, "fit_data": data, "fit_options": fit}
    for number, value in enumerate(data):  # arrays by memory map, not inside a tuple
        names[f"fit_data_{number}"] = value
    listed = ", ".join(f"fit_data_{n}" for n in range(len(data)))
    cell = Cell(source.replace("*fit_data", listed) if data else source, made, line=cell.line)
    job = begin(plan, cell, Store(directory), names)
    if plan.detach:
        return detached(job)
    found = follow(job, plan.live)
    if found.status == "failed":
        _raise(found)
    return found


def _split(options: dict[str, Any]) -> tuple[TunePlan, dict[str, Any]]:
    known = [f.name for f in fields(TunePlan)]
    fit = {k: v for k, v in options.items() if k in _FIT and k not in known}
    rest = {k: v for k, v in options.items() if k not in fit}
    for name in rest:
        if name not in known:
            guess = nearest(name, [*known, *_FIT])
            message = f'There is no option "{name}" of tune or of fit.{guess}'
            raise UserError(message)
    if "workers" in rest:
        rest["workers"] = str(rest["workers"])
    return TunePlan.of(rest), fit


def _check(build: Callable[..., Any], names: list[str]) -> None:
    if not callable(build):
        message = f"tune takes a function that builds the model, got {type(build).__name__}."
        raise UserError(message)
    try:
        inspect.signature(build).bind(**dict.fromkeys(names)) if names else None
    except TypeError as error:
        message = f"build cannot be called with the ranges {', '.join(names)} ({error})."
        raise UserError(message) from error


def _raise(found: Search) -> None:
    fault = found.record.fault
    message = f"{found.id} failed: {found.reason}"
    if fault is None or fault["kind"] == "UserError":
        raise UserError(message)
    raise RuntimeError(message + "\n" + fault["traceback"])
