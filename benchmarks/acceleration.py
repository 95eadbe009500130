"""``--accelerate auto`` against plain ``fit``: CPU time, wall time and memory of the same training.

    python benchmarks/acceleration.py [work ...]

Every variant trains from fresh in a process of its own, by turns. The ratio is plain
``fit(verbose=0)`` divided by the variant of the same round: above 1 is faster. ``CPU`` and ``wall``
are of the whole training, with compiling and choosing in it; ``later`` is the CPU time of an epoch
in the second half, when that is over.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec

JAX = "JAX lax.scan by hand"
VARIANTS = ("plain", "accelerated", "steps_per_execution=32", "jit_compile=True", JAX)
EPOCHS = {
    "mlp": 200,
    "wide_and_deep": 100,
    "cnn": 60,
    "lstm": 50,
    "transformer": 100,
    "mobilenet": 2,
}


def digits(copies):
    import numpy as np
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return np.tile(x / 16, (copies, 1)).astype("float32"), np.tile(y, copies)


def mlp(compiled):
    import keras
    from keras import layers

    x, y = digits(10)
    hidden = [layers.Dense(64, activation="relu") for _ in range(3)]
    net = keras.Sequential([keras.Input((64,)), *hidden, layers.Dense(10, activation="softmax")])
    net.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], **compiled)
    return net, {"x": x, "y": y, "batch_size": 32}


def wide_and_deep(compiled):
    import keras
    import numpy as np
    from keras import layers

    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(20_000, 8)), rng.normal(size=(20_000, 24))
    y = (a.sum(axis=1) + b[:, :4].prod(axis=1) > 0).astype("float32")
    wide, deep = keras.Input((8,)), keras.Input((24,))
    hidden = layers.Dense(32, activation="relu")(layers.Dense(64, activation="relu")(deep))
    out = layers.Dense(1, activation="sigmoid")(layers.concatenate([wide, hidden]))
    net = keras.Model([wide, deep], out)
    net.compile("adam", "binary_crossentropy", metrics=["accuracy"], **compiled)
    return net, {"x": [a.astype("float32"), b.astype("float32")], "y": y, "batch_size": 64}


def cnn(compiled):
    import keras
    from keras import layers

    x, y = digits(6)
    convolutions = [layers.Conv2D(32, 3, activation="relu") for _ in range(2)]
    head = [layers.Flatten(), layers.Dense(10, activation="softmax")]
    net = keras.Sequential([keras.Input((8, 8, 1)), *convolutions, *head])
    net.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], **compiled)
    return net, {"x": x.reshape(-1, 8, 8, 1), "y": y, "batch_size": 32}


def lstm(compiled):
    import keras
    import numpy as np
    from keras import layers

    series = np.cumsum(np.random.default_rng(0).normal(size=(4_000, 51)), axis=1).astype("float32")
    net = keras.Sequential([keras.Input((50, 1)), layers.LSTM(32), layers.Dense(1)])
    net.compile("adam", "mse", **compiled)
    return net, {"x": series[:, :50, None], "y": series[:, 50], "batch_size": 32}


def transformer(compiled):
    import keras
    import numpy as np
    from keras import layers

    rng = np.random.default_rng(0)
    x = rng.integers(0, 200, (4_000, 32))
    given = keras.Input((32,))
    words = layers.Embedding(200, 32)(given)
    mixed = layers.LayerNormalization()(words + layers.MultiHeadAttention(2, 16)(words, words))
    hidden = layers.Dense(32)(layers.Dense(64, activation="relu")(mixed))
    pooled = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(mixed + hidden))
    net = keras.Model(given, layers.Dense(2, activation="softmax")(pooled))
    net.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], **compiled)
    return net, {"x": x, "y": (x[:, 0] > x[:, 1]).astype("int64"), "batch_size": 32}


def mobilenet(compiled):
    import keras
    import numpy as np

    rng = np.random.default_rng(0)
    net = keras.applications.MobileNetV2((96, 96, 3), weights=None, classes=10)
    net.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], **compiled)
    x = rng.random((1_280, 96, 96, 3), dtype="float32")
    return net, {"x": x, "y": rng.integers(0, 10, 1_280), "batch_size": 32}


WORKS = {f.__name__: f for f in (mlp, wide_and_deep, cnn, lstm, transformer, mobilenet)}


def child_of_jax():
    """Train the MLP without Keras and print the same."""
    import jax_limit

    x, y = digits(10)
    cpu, wall = time.process_time(), time.perf_counter()
    ends = []
    losses = jax_limit.train(x, y, 32, EPOCHS["mlp"], lambda: ends.append(time.process_time()))
    tell(cpu, wall, ends, losses[-1], "")


def tell(cpu, wall, ends, loss, told):
    """Print what a training has cost; ``ends`` are the CPU times at the ends of its epochs."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    spent = [time.process_time() - cpu, time.perf_counter() - wall, peak]
    half = (len(ends) - 1) // 2
    later = (ends[-1] - ends[half]) / (len(ends) - 1 - half)
    print("RESULT", json.dumps([*spent, loss, told, later]))


def child(work, variant):
    """Train once and print CPU seconds, wall seconds and the peak of memory in MB."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    if variant == JAX:
        child_of_jax()
        return
    import keras

    import nb_optimizer as nbo

    keras.utils.set_random_seed(1)
    key, _, value = variant.partition("=")
    net, arguments = WORKS[work]({key: json.loads(value.lower())} if value else {})
    ends = []
    clock = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: ends.append(time.process_time()))
    arguments |= {"epochs": EPOCHS[work], "verbose": 0, "callbacks": [clock]}
    cpu, wall, told = time.process_time(), time.perf_counter(), ""
    if variant == "accelerated":
        with tempfile.TemporaryDirectory() as folder:
            with nbo.train(directory=folder, live="off") as run:
                history = net.fit(**arguments)
            told = run.record.accelerated.text if run.record.accelerated else ""
    else:
        history = net.fit(**arguments)
    tell(cpu, wall, ends, history.history["loss"][-1], told)


def run(*what, script=__file__):
    """Run a child of ``script`` in a process of its own and return what it measured."""
    command = [sys.executable, script, "--child", *what]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        sys.exit(done.stderr[-3000:])
    return json.loads(lines[0][7:])


def report(work, rounds, variants):
    """Measure one work in all variants and print a table and JSON lines."""
    figures = {v: [] for v in variants if v != JAX or (work == "mlp" and find_spec("jax"))}
    for _ in range(rounds):
        for variant, runs in figures.items():
            runs.append(run(work, variant))
    print(f"\n{work}, {EPOCHS[work]} epochs")
    for variant, runs in figures.items():
        pairs = list(zip(figures["plain"], runs, strict=True))
        row = {
            "work": work,
            "variant": variant,
            "cpu_ratio": round(statistics.median(p[0] / r[0] for p, r in pairs), 2),
            "wall_ratio": round(statistics.median(p[1] / r[1] for p, r in pairs), 2),
            "later_ratio": round(statistics.median(p[5] / r[5] for p, r in pairs), 2),
            "cpu_seconds": round(statistics.median(r[0] for r in runs), 1),
            "peak_mb": round(statistics.median(r[2] for r in runs)),
            "loss": round(runs[-1][3], 6),
            "told": runs[-1][4],
        }
        print(
            f"  {variant:24} CPU {row['cpu_ratio']:6.2f}x  wall {row['wall_ratio']:6.2f}x  "
            f"later {row['later_ratio']:6.2f}x  "
            f"{row['cpu_seconds']:7.1f} s CPU  {row['peak_mb']:5} MB  loss {row['loss']}"
        )
        if row["told"]:
            print(f"{'':28}{row['told']}")
        print(f"  {json.dumps(row)}", flush=True)


def main():
    """Measure the works that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("works", nargs="*", choices=[[], *WORKS])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=VARIANTS)
    parser.add_argument("--child", nargs=2, metavar=("WORK", "VARIANT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(*arguments.child)
        return
    for work in arguments.works or WORKS:
        report(work, arguments.rounds, arguments.variants)


if __name__ == "__main__":
    main()
