"""What ``%compress`` gains: ``python benchmarks/compression_gains.py [WHAT] ...``.

``static``: int8 after training on three tasks. ``search SEED SECONDS [ENGINE]``: ``--budget 0.5%
--target gzip`` on the glyph CNN, against the float model that the search fine-tunes for as long.
``latency SEED SECONDS``: the same for ``--target latency``. ``qat``: how much of what int8 loses
training wins back. Every line printed is measured on the exported file.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import compression_data as sets
import numpy as np

import nb_optimizer as nbo

TRAIN, TEST = 16_000, 12_000
EPOCHS = 20
CACHE = Path(__file__).parents[1] / ".cache"


def compress(model, test, train, **options):
    folder = tempfile.mkdtemp()
    return nbo.compress(model, data=test, train=train, directory=folder, live="off", **options)


def glyph_task(seed):
    """Return the trained glyph CNN and its data; made once for each seed, kept in .cache."""
    import keras

    kept = CACHE / f"glyphs-{seed}.npz"
    if kept.is_file():
        found = np.load(kept)
        train, test = (found["x"], found["y"]), (found["a"], found["b"])
        return keras.models.load_model(kept.with_suffix(".keras")), train, test
    train, test = sets.glyphs(TRAIN, 100 + seed), sets.glyphs(TEST, 900)
    keras.utils.set_random_seed(seed)
    model = sets.glyph_cnn()
    # To the end of its learning, so that fine-tuning alone gains little more.
    slower = keras.optimizers.schedules.CosineDecay(1e-3, EPOCHS * (TRAIN // 64), alpha=0.02)
    adam = keras.optimizers.Adam(slower)
    model.compile(adam, "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(*train, batch_size=64, epochs=EPOCHS, verbose=0)
    CACHE.mkdir(exist_ok=True)
    model.save(kept.with_suffix(".keras"))
    np.savez(kept, x=train[0], y=train[1], a=test[0], b=test[1])
    return model, train, test


def static():
    tasks = {
        "digits CNN": (sets.digits_cnn, *sets.digits(), 12),
        "glyph CNN": (sets.glyph_cnn, sets.glyphs(8000, 1), sets.glyphs(6000, 2), 6),
        "series Conv1D": (sets.series_net, sets.series(6000, 1), sets.series(4000, 2), 5),
    }
    for name, (build, train, test, epochs) in tasks.items():
        import keras

        keras.utils.set_random_seed(0)
        model = build()
        model.fit(*train, batch_size=64, epochs=epochs, verbose=0)
        row = compress(model, test, train, quantize="int8").rows[-1]
        base = model.count_params()
        print(
            f"{name}: {base:,} parameters, {row.bytes:,} B, "
            f"drop {100 * row.drop:+.2f} pt "
            f"[{100 * row.drop_low:+.2f}, {100 * row.drop_high:+.2f}], "
            f"{row.speedup:.2f}x as fast as float",
            flush=True,
        )
        print(f"   {float_size(model, row)}", flush=True)


def float_size(model, row):
    size = 4 * model.count_params()
    return f"{size / row.bytes:.2f}x smaller than its float weights"


def search(seed, seconds, target, **more):
    model, train, test = glyph_task(seed)
    start = time.time()
    options = {"budget": "0.5%", "target": target, "time": f"{seconds}s", "seed": seed, **more}
    result = compress(model, test, train, **options)
    print(result, flush=True)
    best, base = result.best, result.baseline
    held = next(r for r in result.rows if r.number == best.row.against)
    tuned, own, more = held.score, best.row.passes, held.passes
    print(
        f"seed {seed}: float {base.score:.4f}, after {more} more epochs {tuned:.4f}, the best had "
        f"{own}, {held.samples:,} rows, {time.time() - start:.0f} s",
        flush=True,
    )
    for name, row in {"best": best, **result.picks}.items():
        print(
            f"seed {seed}, {name}: {row.name}: gzip {base.gzip_bytes / row.gzip_bytes:.1f}x, "
            f"file {base.bytes / row.bytes:.1f}x, {row.row.speedup:.2f}x as fast, accuracy "
            f"{row.score:.4f}, {100 * (tuned - row.score):+.2f} pt less than that float model",
            flush=True,
        )


def qat():
    """A network that int8 hurts: two channels of very different size share one scale."""
    model, (x, y), test = glyph_task(0)
    train = x[:6000], y[:6000]
    import keras

    spoilt = keras.models.clone_model(model)
    weights = model.get_weights()
    rng = np.random.default_rng(0)
    # Scaling a channel up and its reader down changes no output, but 8-bit activations suffer.
    factor = np.exp(rng.normal(0, 2.2, weights[0].shape[-1])).astype("float32")
    weights[0], weights[1] = weights[0] * factor, weights[1] * factor
    weights[2] = weights[2] / factor[None, None, :, None]
    spoilt.set_weights(weights)
    sets.compiled(spoilt)
    lossy = compress(spoilt, test, train, quantize="int8").rows[-1]
    for engine in ("native", "tfmot"):
        won = compress(spoilt, test, train, quantize="qat", epochs=4, engine=engine).rows[-1]
        back = (lossy.drop - won.drop) / lossy.drop if lossy.drop else float("nan")
        print(
            f"{engine}: int8 loses {100 * lossy.drop:.2f} pt, QAT {100 * won.drop:.2f} pt: "
            f"{back:.0%} won back {won.reason}",
            flush=True,
        )


if __name__ == "__main__":
    what, *more = sys.argv[1:] or ["static"]
    numbers = [int(a) for a in more[:2]] or [0, 600]
    engine = {"engine": more[2]} if len(more) > 2 else {}
    if what == "static":
        static()
    elif what == "qat":
        qat()
    else:
        search(*numbers, "latency" if what == "latency" else "gzip", **engine)
