"""Compresses on two and three logical CPUs and on one device; prints what came out as JSON.

Run by ``test_compress_devices.py`` as ``devices_cases.py native`` and ``... search [tfmot]``:
TensorFlow divides a processor only once in a process.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import keras
import numpy as np

import nb_optimizer as nbo
from nb_optimizer.core.devices.inventory import divide_cpu

TUNED = {"prune": "0.5", "epochs": 2, "start": {"tune": True, "epochs": 1}}
rng = np.random.default_rng(0)
x = rng.normal(size=(650, 16)).astype("float32")
y = (x @ rng.normal(size=(16, 4))).argmax(1)


def net(rule):
    keras.utils.set_random_seed(0)
    dense = keras.layers.Dense
    inside = [dense(64, activation="relu"), dense(48, activation="relu")]
    model = keras.Sequential([keras.Input((16,)), *inside, dense(4, activation="softmax")])
    model.compile(rule, "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x[:450], y[:450], epochs=2, verbose=0)
    return model


def made(model, **options):
    given = {"epochs": 2, "quantize": "float16", "live": "off", **options}
    found = nbo.compress(
        model, data=(x[450:], y[450:]), train=(x[:450], y[:450]), directory=Path("here"), **given
    )
    if not found.candidates:
        return {"reason": found.rejected[0].reason}
    weights = found.candidates[0].load().get_weights()
    return {
        "weights": [w.ravel().tolist() for w in weights],
        "notes": [n.text for n in found.record.notes],
        "size": found.candidates[0].bytes,
    }


def on_both(model, **options):
    return {devices: made(model, devices=devices, **options) for devices in ("cpu:2", "none")}


def native():
    adam, sgd = net(keras.optimizers.Adam(0.01)), net(keras.optimizers.SGD(0.1, momentum=0.9))
    before = [w.copy() for w in adam.get_weights()]
    found = {
        "prune, cluster and round": on_both(sgd, prune=0.5, cluster=8, quantize="qat"),
        "shrink": on_both(adam, shrink=0.3),
        "tuned before": on_both(adam, recipe=TUNED),
        "three": made(adam, prune=0.5, devices="cpu:3"),
    }
    pairs = zip(before, adam.get_weights(), strict=True)
    return {**found, "untouched": all((a == b).all() for a, b in pairs)}


def searched(model):
    search = nbo.compress(
        model, data=(x[450:], y[450:]), train=(x[:450], y[:450]), directory=Path("there"),
        budget="90%", target="gzip", time="60s", epochs=1, devices="cpu:2", live="off",
    )  # fmt: skip
    return {
        "trained": sum(bool(c.recipe.get("prune")) for c in search.candidates),
        "notes": [n.text for n in search.record.notes],
        "runs": sum(p.name.startswith("train") for p in Path("there").glob("runs/*")),
    }


def main(part, engine=""):
    divide_cpu(3)
    found = native() if part == "native" else {}
    if part == "search":
        adam = net(keras.optimizers.Adam(0.01))
        found["search"] = searched(adam)
        if engine:
            found["tfmot"] = on_both(adam, prune=0.5, cluster=8, engine=engine)
            found["tfmot round"] = made(adam, quantize="qat", engine=engine, devices="cpu:2")
    print(json.dumps(found))  # noqa: T201 - read by the tests


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(*sys.argv[1:])
