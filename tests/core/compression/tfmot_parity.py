"""Prunes the same model by TF-MOT's wrapper and natively; prints the largest difference."""

from __future__ import annotations

import keras
import numpy as np

from nb_optimizer.core.compression import kernels, projection, prune
from nb_optimizer.core.compression.bridge.translate import translate
from nb_optimizer.core.compression.tfmot_worker import load_tfmot

EPOCHS, BATCH, END = 3, 16, 30
rng = np.random.default_rng(0)
x, y = rng.random((256, 8, 8, 4), dtype="float32"), rng.integers(0, 5, 256)
sparsity = load_tfmot().sparsity.keras
fit = {"epochs": EPOCHS, "batch_size": BATCH, "shuffle": False, "verbose": 0}


def network():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((8, 8, 4)),
            keras.layers.Conv2D(8, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(16, activation="relu"),
            keras.layers.Dense(5, activation="softmax"),
        ]
    )


def theirs(settings):
    import tf_keras

    wrapped = sparsity.prune_low_magnitude(translate(network()).model, **settings)
    wrapped.compile(tf_keras.optimizers.SGD(0.05), "sparse_categorical_crossentropy")
    wrapped.fit(x, y, callbacks=[sparsity.UpdatePruningStep()], **fit)
    return sparsity.strip_pruning(wrapped).get_weights()


def ours(schedule):
    model = network()
    model.compile(keras.optimizers.SGD(0.05), "sparse_categorical_crossentropy")
    every = [projection.Pruned(k, schedule) for k in kernels.all_kernels(model)]
    model.fit(x, y, callbacks=[projection.callback(every)], **fit)
    return model.get_weights()


KINDS = {
    "polynomial": (
        {"pruning_schedule": sparsity.PolynomialDecay(0.2, 0.75, 0, END, frequency=5)},
        prune.Polynomial(0.75, END, initial=0.2, every=5),
    ),
    "constant": (
        {"pruning_schedule": sparsity.ConstantSparsity(0.6, 4, frequency=10)},
        prune.Constant(0.6, begin=4, every=10),
    ),
    "two_of_four": ({"sparsity_m_by_n": (2, 4)}, prune.TwoOfFour()),
}
for kind, (settings, schedule) in KINDS.items():
    pairs = list(zip(ours(schedule), theirs(settings), strict=True))
    gap = max(float(np.abs(a - b).max()) for a, b in pairs)
    same = all(((a == 0) == (b == 0)).all() for a, b in pairs)
    zeros = np.mean(np.concatenate([a.ravel() for a, _ in pairs if a.ndim > 1]) == 0)
    print(f"PARITY {kind} {gap:.3e} {same} {zeros:.3f}")  # noqa: T201 - read by the test
