"""A model of an earlier cell, made again inside the scope; what it learns comes back to it."""

from __future__ import annotations

import types
from typing import Any

from nb_optimizer.core.devices.keras_inside import compiled_with
from nb_optimizer.core.errors import UserError
from nb_optimizer.core.training.framework import Framework, to_array


def rebuilt(framework: Framework, model: Any, strategy: Any) -> Any:
    """Return a twin of ``model`` under ``strategy``: same weights, optimizer state and settings.

    Raises:
        UserError: the model cannot be made again from its own description.
    """
    if framework.name != "keras":
        message = (
            f"{model.name} is a model of tf_keras from an earlier cell; with --devices such a "
            "model must be built in the cell."
        )
        raise UserError(message)
    settings = compiled_with(model) if getattr(model, "compiled", False) else None
    with strategy.scope():
        twin = _clone(framework, model)
        if settings is not None:
            settings["optimizer"] = _again(model.optimizer, model)
            for name in ("metrics", "weighted_metrics"):
                settings[name] = _metrics_again(framework, settings[name], model)
            twin.compile(**settings)
        if model.built:
            copy_state(framework, model, twin)
    return twin


def copy_state(framework: Framework, source: Any, target: Any) -> None:
    """Copy weights and optimizer state between two models of the same build."""
    if not target.built:
        target.build([v.shape for v in source.inputs] if len(source.inputs) > 1 else _shape(source))
    pairs = [(framework.variables(source), framework.variables(target))]
    optimizers = zip(framework.optimizers(source), framework.optimizers(target), strict=True)
    for one, other in optimizers:
        states = (framework.optimizer_variables(m, o) for m, o in ((one, source), (other, target)))
        pairs.append(tuple(states))  # type: ignore[arg-type]
    for theirs, ours in pairs:
        for variable, to in zip(theirs, ours, strict=True):
            to.assign(to_array(variable))


def _shape(model: Any) -> Any:
    return model.inputs[0].shape


def _clone(framework: Framework, model: Any) -> Any:
    keras = framework.module
    compiled, model.compiled = model.compiled, False  # compiled below, from live objects
    is_plain = isinstance(model, keras.Sequential) or hasattr(model, "operations")
    try:
        with keras.saving.custom_object_scope(_own_code(framework, model)):
            if is_plain:
                again = keras.models.clone_model(
                    model, clone_function=lambda layer: _layer_again(keras, layer), recursive=True
                )
            else:
                again = type(model).from_config(model.get_config())
                if model.built:
                    again.build_from_config(model.get_build_config())
    except (TypeError, ValueError, NotImplementedError, AttributeError) as error:
        raise _cannot(model, error) from error
    finally:
        model.compiled = compiled
    same = [v.shape for v in again.variables] == [v.shape for v in model.variables]
    if not same or len(again.trainable_variables) != len(model.trainable_variables):
        raise _cannot(model, ValueError("its description gives other weights"))
    again.name = model.name
    return again


def _own_code(framework: Framework, model: Any) -> dict[str, Any]:
    """Return the user's own functions and classes that the layers hold, by name."""
    own: dict[str, Any] = {}
    for layer in [model, *framework.sublayers(model)]:
        for thing in (layer, *vars(layer).values()):
            kind = thing if isinstance(thing, types.FunctionType) else type(thing)
            if not str(kind.__module__).startswith(("keras.", "builtins")):
                own[kind.__name__] = kind
    return own


def _layer_again(keras: Any, layer: Any) -> Any:
    config = layer.get_config()
    if isinstance(layer, keras.layers.Lambda):  # its live function, which no config can carry
        kept = {k: config[k] for k in ("name", "trainable", "dtype", "arguments") if k in config}
        return keras.layers.Lambda(layer.function, **kept)
    return type(layer).from_config(config)


def _again(thing: Any, model: Any) -> Any:
    try:
        return type(thing).from_config(thing.get_config())
    except (TypeError, ValueError, NotImplementedError, AttributeError) as error:
        raise _cannot(model, error) from error


def _metrics_again(framework: Framework, given: Any, model: Any) -> Any:
    """Make metric objects anew, whose variables belong to a scope; words and functions serve."""

    def again(metric: Any) -> Any:
        return _again(metric, model) if isinstance(metric, framework.module.Metric) else metric

    if isinstance(given, dict):
        return {k: _metrics_again(framework, v, model) for k, v in given.items()}
    if isinstance(given, list | tuple):
        return [_metrics_again(framework, v, model) for v in given]
    return again(given)


def _cannot(model: Any, error: Exception) -> UserError:
    words = " ".join(str(error).split()) or type(error).__name__
    sentence = words.partition(". ")[0].removesuffix(".")  # Keras breaks its sentences into lines
    return UserError(
        f"{model.name} was built outside the devices' scope and cannot be rebuilt there "
        f"({sentence[:200]}). Build and compile it in the cell."
    )
