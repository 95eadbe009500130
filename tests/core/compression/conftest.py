"""A small trained classifier and its data, made once; and ``compress`` in a temporary store."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture(scope="session")
def sets():
    """900 rows of 16 numbers in 4 classes: 500 to train on, 400 held out."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(900, 16)).astype("float32")
    y = (x @ rng.normal(size=(16, 4))).argmax(1)
    return (x[:500], y[:500]), (x[500:], y[500:])


@pytest.fixture(scope="session")
def trained(sets):
    import keras

    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((16,)),
            layers.Dense(64, activation="relu"),
            layers.Dense(48),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Dense(4, activation="softmax"),
        ]
    )
    adam = keras.optimizers.Adam(0.01)
    model.compile(adam, "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(*sets[0], epochs=8, batch_size=32, verbose=0)
    return model


@pytest.fixture
def compress(sets, trained, tmp_path):
    """``compress(quantize="int8", ...)``: on the trained model, in a temporary store."""
    import nb_optimizer as nbo

    def make(model=None, data=None, train=sets[0], **options):
        return nbo.compress(
            model or trained,
            data=data or sets[1],
            train=train,
            directory=tmp_path,
            live="off",
            **options,
        )

    return make
