"""Every keras.applications model below 30 million parameters in tf_keras: the same outputs?

``python benchmarks/compression_translation.py [NAME ...]``. Weights are random, statistics of
normalizations too, so that nothing is hidden by zeros and ones. Prints the largest difference
relative to the largest output, the seconds it took, and what was called as it is.
"""

from __future__ import annotations

import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import inspect

import keras
import numpy as np

from nb_optimizer.core.compression.bridge.translate import TOLERANCE, translate

MOST = 30e6
SIDE = {"InceptionV3": 75, "Xception": 75}
LARGE = (  # known to be larger: not built at all
    "ConvNeXtSmall", "ConvNeXtBase", "ConvNeXtLarge", "ConvNeXtXLarge", "EfficientNetB6",
    "EfficientNetB7", "EfficientNetV2M", "EfficientNetV2L", "NASNetLarge", "ResNet101",
    "ResNet101V2", "ResNet152", "ResNet152V2", "InceptionResNetV2", "VGG16", "VGG19",
)  # fmt: skip


def builders():
    found = inspect.getmembers(keras.applications, inspect.isfunction)
    return {name: build for name, build in found if name[0].isupper()}


def shake(model, rng):
    """Give every weight a value of its own."""
    for variable in model.variables:
        if "float" in str(variable.dtype) and variable.path.rpartition("/")[2] in (
            "gamma", "beta", "moving_mean", "moving_variance", "bias",
        ):  # fmt: skip
            noise = rng.uniform(0.05, 0.15, variable.shape).astype("float32")
            variable.assign(variable + noise)


def check(name, build):
    side = SIDE.get(name, 64)
    model = build(weights=None, input_shape=(side, side, 3), classes=20, classifier_activation=None)
    if model.count_params() >= MOST:
        return None
    rng = np.random.default_rng(0)
    shake(model, rng)
    start = time.perf_counter()
    made = translate(model)
    seconds = time.perf_counter() - start
    gap = made.difference(rng.uniform(0, 255, (2, side, side, 3)).astype("float32"))
    called = sorted({why.partition(":")[0] for why in made.called.values()})
    return model.count_params(), gap, seconds, called


def main(names):
    bad = 0
    for name, build in builders().items():
        if (names and name not in names) or (not names and name in LARGE):
            continue
        found = check(name, build)
        keras.backend.clear_session()
        if found is None:
            continue
        count, gap, seconds, called = found
        bad += not gap <= TOLERANCE
        told = ", ".join(called) or "-"
        print(f"| {name} | {count / 1e6:.1f}M | {gap:.1e} | {seconds:.0f} s | {told} |", flush=True)
    print("all within" if not bad else f"{bad} NOT within", f"{TOLERANCE:.0e}")


if __name__ == "__main__":
    main(sys.argv[1:])
