"""TF-MOT's own steps on a translated model: pruning, clustering, training with 8-bit rounding.

Runs in TF-MOT's worker process only. Layers that TF-MOT refuses are left alone and told.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nb_optimizer.core.compression import kernels
from nb_optimizer.core.compression.bridge import opaque
from nb_optimizer.core.compression.bridge.translate import Translation
from nb_optimizer.core.compression.prune import (
    Constant,
    Polynomial,
    fits_two_of_four,
    schedule_for,
)
from nb_optimizer.core.compression.recipe import TWO_OF_FOUR

if TYPE_CHECKING:
    from nb_optimizer.core.compression.tfmot_worker import Job

SHORT = 2  # clustering and 8-bit training take this part of the epochs
_CORE = "tensorflow_model_optimization.python.core."  # what TF-MOT does not export
_BITS = _CORE + "quantization.keras.default_8bit."


def prune(job: Job, made: Translation) -> tuple[Any, list[Any]]:
    """Return the model in TF-MOT's pruning wrappers, and the callbacks that they need."""
    sparsity = job.tfmot.sparsity.keras
    two_of_four, kind = job.recipe.prune == TWO_OF_FOUR, job.recipe.schedule
    steps = job.request["epochs"] * job.steps_per_epoch
    names = {new.name: old.name for old, new in made.pairs}

    def wrap(layer: Any) -> Any:
        if two_of_four:
            return sparsity.prune_low_magnitude(layer, sparsity_m_by_n=(2, 4))
        own = job.recipe.layers.get(names.get(layer.name, ""), float(job.recipe.prune))
        return sparsity.prune_low_magnitude(
            layer, _schedule(sparsity, schedule_for(own, steps, kind))
        )

    def supported(layer: Any) -> bool:
        fits = not two_of_four or fits_two_of_four(layer.get_weights()[0].shape)
        return fits and _accepts(wrap, layer)

    return _wrapped(job, made, job.pruned, wrap, supported), [sparsity.UpdatePruningStep()]


def _schedule(sparsity: Any, plan: Polynomial | Constant) -> Any:
    """Return one of our schedules as TF-MOT's own."""
    if isinstance(plan, Constant):
        return sparsity.ConstantSparsity(plan.final, plan.begin, frequency=plan.every)
    return sparsity.PolynomialDecay(
        plan.initial, plan.final, plan.begin, plan.end, frequency=plan.every
    )


def cluster(job: Job, made: Translation) -> tuple[Any, list[Any]]:
    """Return the model in TF-MOT's clustering wrappers; they need no callbacks."""
    centroids = job.tfmot.clustering.keras.CentroidInitialization
    module = importlib.import_module(_CORE + "clustering.keras.experimental.cluster")
    names = {new.name: old.name for old, new in made.pairs}

    def wrap(layer: Any) -> Any:
        return module.cluster_weights(
            layer,
            number_of_clusters=job.recipe.values_of(names.get(layer.name, "")),
            cluster_centroids_init=centroids.KMEANS_PLUS_PLUS,
            preserve_sparsity=bool(job.recipe.prune),
        )

    return _wrapped(job, made, job.shared, wrap, lambda layer: _accepts(wrap, layer)), []


def quantize(job: Job) -> Any:
    """Train with 8-bit rounding, carry the weights back, return the model that was trained."""
    kept = {k.name: np.asarray(k.variable) != 0 for k in kernels.all_kernels(job.source)}
    job.begun_with = job.source.get_weights()
    made = job.translated(fold=True)
    model = _rounding(job, made)
    job.fit(model, [], job.recipe, SHORT)
    _carry_back(job, made, model)
    if job.recipe.prune:  # TF-MOT masks them inside its wrapper only
        for kernel in kernels.all_kernels(job.source):
            kernel.variable.assign(np.asarray(kernel.variable) * kept[kernel.name])
    return model


def _rounding(job: Job, made: Translation) -> Any:
    """Return the model as TF-MOT trains it: what it supports feels 8-bit rounding."""
    import tf_keras  # noqa: PLC0415 - this process only

    quantization = job.tfmot.quantization.keras
    registry = importlib.import_module(_BITS + "default_8bit_quantize_registry")
    known = registry.Default8BitQuantizeRegistry()
    model = tf_keras.models.clone_model(
        made.model,
        clone_function=lambda x: (
            quantization.quantize_annotate_layer(x) if _quantizable(job, x, known) else x
        ),
    )
    with quantization.quantize_scope(opaque.classes()):
        return quantization.quantize_apply(model, _careful(_scheme(job), known))


def _wrapped(job: Job, made: Translation, chosen: set[str], wrap: Any, supported: Any) -> Any:
    """Clone the model with ``wrap`` around the layers that were chosen and are supported."""
    import tf_keras  # noqa: PLC0415 - this process only

    names = {new.name: old.name for old, new in made.pairs}
    done = []

    def clone(layer: Any) -> Any:
        if names.get(layer.name) not in chosen:
            return layer
        if not supported(layer):
            kind = type(layer).__name__
            job.notes.append(f"left alone: {names[layer.name]} (TF-MOT refuses {kind})")
            return layer
        done.append(layer.name)
        return wrap(layer)

    model = tf_keras.models.clone_model(made.model, clone_function=clone)
    if not done:
        message = "TF-MOT supports none of the layers of this model; try --engine native"
        raise ValueError(message)
    return model


def _accepts(wrap: Any, layer: Any) -> bool:
    """Whether TF-MOT wraps a layer of this kind; asked on a copy."""
    twin = type(layer).from_config(layer.get_config())
    try:
        twin.build(layer.input_shape)
        wrap(twin)
    except (ValueError, RuntimeError, TypeError, AttributeError):
        return False
    return True


def _quantizable(job: Job, layer: Any, registry: Any) -> bool:
    if not layer.name.startswith("nb_"):
        return False
    if registry.supports(layer) or _folds(layer):
        return True
    if layer.get_weights():
        job.notes.append(f"left in float: {layer.name[3:]} (TF-MOT refuses {type(layer).__name__})")
    return False


def _folds(layer: Any) -> bool:
    """Whether a normalization directly follows a convolution, into which TF-MOT folds it."""
    if type(layer).__name__ != "BatchNormalization":
        return False
    before = layer.input._keras_history.layer  # noqa: SLF001 - tf_keras is frozen
    return type(before).__name__ in ("Conv2D", "DepthwiseConv2D")


def _careful(scheme: Any, known: Any) -> Any:
    """Return a scheme that takes no layer in front of a quantized one which it cannot configure.

    Those that preserve zeros and clusters say yes to any layer without weights, as MaxPooling1D,
    and raise afterwards.
    """
    registry = scheme.get_quantize_registry()
    usual = registry.supports
    registry.supports = lambda layer: usual(layer) and known.supports(layer)
    scheme.get_quantize_registry = lambda: registry
    return scheme


def _scheme(job: Job) -> Any:
    combine = job.tfmot.experimental.combine
    if job.recipe.cluster:
        return combine.Default8BitClusterPreserveQuantizeScheme(bool(job.recipe.prune))
    if job.recipe.prune:
        return combine.Default8BitPrunePreserveQuantizeScheme()
    module = importlib.import_module(_BITS + "default_8bit_quantize_scheme")
    return module.Default8BitQuantizeScheme()


def write(job: Job, trained: Any) -> None:
    """Write the 8-bit file; called outside of the strategy, under which nothing is converted."""
    import tensorflow as tf  # noqa: PLC0415 - this process only

    model = trained
    if job.request["devices"]:
        job.source = job.load()
        job.source.set_weights(job.begun_with)  # the scheme looks at zeros and shared values
        model = _rounding(job, job.translated(fold=True))
        model.set_weights(trained.get_weights())
    if job.recipe.cluster:
        model = job.tfmot.experimental.combine.strip_clustering_cqat(model)
    specs = [
        tf.TensorSpec((1, *a.shape[1:]), a.dtype, name=n)
        for n, a in zip(job.names, job.inputs, strict=True)
    ]
    function = tf.function(lambda *rows: model(job.rows(list(rows)), training=False))
    concrete = function.get_concrete_function(*specs)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    Path(job.request["file"]).write_bytes(converter.convert())


def _carry_back(job: Job, made: Translation, model: Any) -> None:
    """Put the trained weights of the wrapped layers into the Keras 3 model."""
    wrappers = {x.layer.name: x for x in model.layers if hasattr(x, "layer")}
    wrappers |= {x.name: x for x in model.layers if not hasattr(x, "layer")}
    layers = [new for _, new in made.pairs] + [new for _, _, new in made.folds]
    missing = [x.name[3:] for x in layers if x.weights and not _take(x, wrappers.get(x.name))]
    if missing:
        job.notes.append(f"weights not carried back: TF-MOT replaced {', '.join(missing)}")
        return
    made.copy_weights(back=True)


def _take(layer: Any, wrapper: Any) -> bool:
    """Give ``layer`` the weights of its wrapper, which keeps them in an order of its own."""
    if wrapper is None:
        return False
    found = {(_last(v.name), tuple(v.shape)): v for v in wrapper.weights}
    keys = [(_last(v.name), tuple(v.shape)) for v in layer.weights]
    if not all(k in found for k in keys):
        return False
    layer.set_weights([found[k].numpy() for k in keys])
    return True


def _last(name: str) -> str:
    return str(name).rpartition("/")[2]
