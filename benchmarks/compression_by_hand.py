"""What ``%compress`` costs beside TF-MOT by hand: ``python benchmarks/compression_by_hand.py``.

The same recipe on the same trained glyph CNN, each in a process of its own: prune 80 %, six epochs
on 8,000 rows, take the wrappers off, quantize to 8 bits with 200 rows of calibration. By hand that
is TF-MOT's tutorial on a tf_keras model with TensorFlow's converter, nothing measured. Wall time
and CPU time begin when Keras is imported; memory is the peak of the process and its children,
read ten times a second.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
import time

import psutil

ROWS, EPOCHS, BATCH, CALIBRATION = 8_000, 6, 64, 200
ROUNDS = 3


class Peak(threading.Thread):
    """The most memory that this process and its children have had together, in MB."""

    def __init__(self):
        super().__init__(daemon=True)
        self.most = 0.0
        self.start()

    def run(self):
        """Look ten times a second."""
        me = psutil.Process()
        while True:
            total = 0
            for process in [me, *me.children(recursive=True)]:
                try:
                    total += process.memory_info().rss
                except psutil.Error:
                    continue
            self.most = max(self.most, total / 2**20)
            time.sleep(0.1)


def by_hand(model, train, _):
    """Do as TF-MOT's tutorial does."""
    import tensorflow as tf
    import tf_keras
    from tf_keras import layers

    from nb_optimizer.core.compression.tfmot_worker import load_tfmot

    sparsity = load_tfmot().sparsity.keras
    twin = tf_keras.Sequential(
        [
            layers.Input((28, 28, 1)),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(36, activation="softmax"),
        ]
    )
    twin.set_weights(model.get_weights())
    steps = EPOCHS * -(-ROWS // BATCH)
    slower = sparsity.PolynomialDecay(0.0, 0.8, 0, steps // 2)
    pruned = sparsity.prune_low_magnitude(twin, slower)
    pruned.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    watch = [sparsity.UpdatePruningStep()]
    pruned.fit(*train, batch_size=BATCH, epochs=EPOCHS, callbacks=watch, verbose=0)
    converter = tf.lite.TFLiteConverter.from_keras_model(sparsity.strip_pruning(pruned))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([train[0][i : i + 1]] for i in range(CALIBRATION))
    return len(converter.convert())


def by_us(engine):
    """Return a function that makes and measures the same by ``nbo.compress``."""

    def run(model, train, test):
        import compression_gains as bench

        recipe = {"prune": 0.8, "quantize": "int8", "epochs": EPOCHS, "engine": engine}
        return bench.compress(model, test, train, **recipe).rows[-1].bytes

    return run


WAYS = {"by hand": by_hand, "--engine tfmot": by_us("tfmot"), "--engine native": by_us("native")}


def child(way):
    import compression_gains as bench

    model, (x, y), test = bench.glyph_task(0)
    train, peak = (x[:ROWS], y[:ROWS]), Peak()
    before, start = sum(os.times()[:4]), time.perf_counter()
    size = WAYS[way](model, train, test)
    told = [time.perf_counter() - start, sum(os.times()[:4]) - before, peak.most, size]
    print("RESULT", json.dumps(told))


def main():
    figures = {way: [] for way in WAYS}
    for _ in range(ROUNDS):
        for way, runs in figures.items():
            command = [sys.executable, __file__, way]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
            if not lines:
                sys.exit(done.stderr[-3000:])
            runs.append(json.loads(lines[0][7:]))
    for way, runs in figures.items():
        wall, cpu, peak, size = (statistics.median(column) for column in zip(*runs, strict=True))
        row = {"way": way, "seconds": wall, "cpu": cpu, "peak_mb": peak, "bytes": size}
        print(f"{way:16} {wall:6.1f} s  {cpu:6.1f} s CPU  {peak:6.0f} MB  {size:8,.0f} B")
        print(json.dumps({k: round(v, 1) if k != "way" else v for k, v in row.items()}), flush=True)


if __name__ == "__main__":
    child(sys.argv[1]) if len(sys.argv) > 1 else main()
