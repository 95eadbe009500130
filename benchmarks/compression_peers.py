"""The search beside its peers: ``python benchmarks/compression_peers.py [TASK] [SECONDS]``.

On the same trained model: the recipes of TF-MOT's tutorials (one by one, through the bridge),
Keras' own ``model.quantize("int8")`` and the LiteRT quantizer with its default recipes, against
``%compress --budget 0.5% --target gzip``. For each peer, the smallest file of the search that is
at least as accurate is named. A table, and each line as JSON. TASK is digits, glyphs or series.
"""

from __future__ import annotations

import gzip
import io
import json
import sys
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import compression_data as sets
import compression_gains as bench
import numpy as np

TASKS = {
    "digits": lambda: (sets.digits_cnn, *sets.digits(), 12),
    "glyphs": lambda: (sets.glyph_cnn, sets.glyphs(8000, 1), sets.glyphs(10_000, 2), 12),
    "series": lambda: (sets.series_net, sets.series(6000, 1), sets.series(10_000, 2), 5),
}
TUTORIALS = {
    "prune 80 % + int8": {"prune": "0.8", "quantize": "int8"},
    "cluster 16 + dynamic": {"cluster": 16, "quantize": "dynamic"},
    "QAT": {"quantize": "qat"},
    "PQAT 80 %": {"prune": "0.8", "quantize": "qat"},
    "PCQAT 80 %, 16": {"prune": "0.8", "cluster": 16, "quantize": "qat"},
}


def packed(path):
    return len(gzip.compress(Path(path).read_bytes(), 9, mtime=0))


def accuracy(said, labels):
    return float(np.mean(said.argmax(-1) == labels))


def by_tfmot(model, test, train):
    for name, options in TUTORIALS.items():
        row = bench.compress(model, test, train, engine="tfmot", epochs=6, **options).rows[-1]
        if row.status == "failed":
            yield f"TF-MOT {name}", None, row.reason
        else:
            yield f"TF-MOT {name}", row.gzip_bytes, row.score


def by_keras(model, test):
    import keras

    twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    twin.quantize("int8")
    path = Path(tempfile.mkdtemp()) / "quantized.keras"
    twin.save(path)
    said = twin.predict(test[0], batch_size=256, verbose=0)
    yield 'Keras quantize("int8")', packed(path), accuracy(said, test[1])


def by_litert(source, test, train):
    """The quantizer as its own guide calls it."""
    from litert_quantizer import quantizer, recipe

    from nb_optimizer.core.compression.runtime import Served

    name = next(iter(Served(source, 1).inputs))
    rows = [{name: train[0][i : i + 1]} for i in range(256)]
    for made in ("dynamic_wi8_afp32", "static_wi8_ai8", "dynamic_wi4_afp32"):
        path = Path(tempfile.mkdtemp()) / f"{made}.tflite"
        maker = quantizer.Quantizer(str(source))
        maker.load_quantization_recipe(getattr(recipe, made)())
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            ranges = maker.calibrate({"serving_default": rows}) if maker.need_calibration else None
            path.write_bytes(bytes(maker.quantize(ranges).quantized_model))
        said = Served(path, 1).predict({name: test[0]})
        yield f"LiteRT {made}", packed(path), accuracy(said, test[1])


def compare(task, seconds):
    import keras

    build, train, test, epochs = TASKS[task]()
    keras.utils.set_random_seed(0)
    model = build()
    model.fit(*train, batch_size=64, epochs=epochs, verbose=0)
    result = bench.compress(
        model, test, train, budget="0.5%", target="gzip", time=f"{seconds}s", seed=0
    )
    base, best = result.baseline, result.best
    tell(task, "float", base.gzip_bytes, base.score, None)
    made = [r for r in result.rows if r.status != "failed" and r.recipe.get("quantize")]
    ours = [(r.name, r.gzip_bytes, r.score) for r in made if r.samples == len(test[1])]
    source = result.path / base.file
    for peers in (
        by_litert(source, test, train), by_keras(model, test), by_tfmot(model, test, train)
    ):  # fmt: skip
        for name, size, score in peers:
            tell(task, name, size, score, ours)
    tell(task, f"search: {best.name}", best.row.gzip_bytes, best.score, None)


def tell(task, name, size, score, ours):
    """Print a line; with ``ours``, beside the smallest of ours that is at least as accurate."""
    line = {"task": task, "name": name, "gzip_bytes": size, "score": score}
    text = f"{task:8}{name:34}"
    if size is None:
        print(f"{text} refused: {score}\n{json.dumps(line)}", flush=True)
        return
    text += f"{size:>9,} B{score:>9.4f}"
    if ours is not None:
        equal = [o for o in ours if o[2] >= score]
        least = min(equal, key=lambda o: o[1]) if equal else None
        line["search"] = least
        text += (
            f"   search {least[1]:,} B at {least[2]:.4f}: {size / least[1]:.1f}x smaller"
            if least
            else "   nothing of the search is as accurate"
        )
    print(f"{text}\n{json.dumps(line)}", flush=True)


if __name__ == "__main__":
    wanted = [sys.argv[1]] if len(sys.argv) > 1 else list(TASKS)
    for one in wanted:
        compare(one, int(sys.argv[2]) if len(sys.argv) > 2 else 300)
