"""Compresses by a search in FOLDER; ``resume`` goes on. Read and killed by a test."""

from __future__ import annotations

import json
import sys

import keras
import numpy as np

import nb_optimizer as nbo

folder, options = sys.argv[1], json.loads(sys.argv[2])
rng = np.random.default_rng(0)
x = rng.normal(size=(900, 16)).astype("float32")
y = (x @ rng.normal(size=(16, 4))).argmax(1)
keras.utils.set_random_seed(options.pop("weights", 0))
model = keras.Sequential(
    [
        keras.Input((16,)),
        keras.layers.Dense(64, activation="relu"),
        keras.layers.Dense(48, activation="relu"),
        keras.layers.Dense(4, activation="softmax"),
    ]
)
model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
model.fit(x[:500], y[:500], epochs=25, batch_size=32, verbose=0)
wanted = {"budget": "0.8%", "target": "gzip", "epochs": 1, **options}
made = nbo.compress(
    model, data=(x[500:], y[500:]), train=(x[:500], y[:500]), directory=folder, live="off", **wanted
)
print(json.dumps([[r.number, r.name, r.status, r.bytes, r.gzip_bytes] for r in made.rows]))  # noqa: T201
