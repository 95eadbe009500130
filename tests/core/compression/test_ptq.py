"""Number formats after training: what the quantizer is asked for, and the way round it."""

from __future__ import annotations

import os

import numpy as np
import pytest

import nb_optimizer as nbo
from nb_optimizer.core.compression import data, export, ptq
from nb_optimizer.core.compression.bench import Bench
from nb_optimizer.core.compression.flatfile import FlatFile
from nb_optimizer.core.compression.plan import CompressPlan
from nb_optimizer.core.compression.recipe import Recipe
from nb_optimizer.core.compression.resume import Memory
from nb_optimizer.core.compression.runtime import Served
from nb_optimizer.core.compression.session import Compressing
from nb_optimizer.core.compression.workers import WorkerError
from nb_optimizer.core.store import Store


@pytest.fixture
def place(tmp_path, sets, trained):
    """A bench, and a file that no quantizer can read."""
    held_out, train = (data.read(trained, pair, "--data") for pair in sets[::-1])
    bench = Bench(tmp_path, held_out, train, Memory(tmp_path, lambda _: None), lambda _: None)
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"TFL3 but nothing else")
    return bench, broken, tmp_path / "made.tflite"


@pytest.mark.parametrize("form", ["float16", "dynamic", "int8", "int16x8"])
def test_the_converter_steps_in_where_the_quantizer_fails(place, sets, trained, form):
    bench, broken, target = place
    assert bench.quantize(broken, target, Recipe(quantize=form), trained) == "converter"
    x = sets[1][0][:100]
    said = Served(target, 1).predict({"args_0": x})
    assert np.mean(said.argmax(1) == trained.predict(x, verbose=0).argmax(1)) > 0.9


def test_four_bits_have_no_other_way(place, trained):
    bench, broken, target = place
    with pytest.raises(WorkerError, match="the LiteRT quantizer failed"):
        bench.quantize(broken, target, Recipe(quantize="int4"), trained)
    assert not target.exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")  # noqa: PTH110
def test_a_full_disk_is_told_and_loses_nothing(sets, trained, tmp_path):
    """The file is written to a device that is always full."""
    session = Compressing(CompressPlan(quantize="int8"), trained, sets[1], store=Store(tmp_path))
    (session.path / "1-int8.tflite").symlink_to("/dev/full")
    result = session.run()
    assert result.baseline.score > 0.5
    assert "No space left on device" in result.rejected[0].reason


def test_equal_first_classes_keep_float_results(tmp_path, monkeypatch):
    """Two classes lie close together and a third far below, so 8 bits cannot tell them apart."""
    import keras

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3, activation="softmax")])
    kernel = np.zeros((8, 3), "float32")
    kernel[0, 0], kernel[:, 2] = 0.3, -400
    model.set_weights([kernel, np.zeros(3, "float32")])
    x = np.random.default_rng(0).uniform(0.1, 1, (600, 8)).astype("float32")
    x[:, 0] = np.random.default_rng(1).choice([-1, 1], 600)
    y = model.predict(x, verbose=0).argmax(1)
    pairs = {"data": (x[300:], y[300:]), "train": (x[:300], y[:300])}
    found = nbo.compress(model, quantize="int8", directory=tmp_path, live="off", **pairs)
    row = found.candidates[0].row
    assert row.score == found.baseline.score == 1 and "FULLY_CONNECTED" in row.float_operations
    assert any("two classes came out equal" in n.text for n in found.record.notes)
    # Without that the file is worse.
    target = tmp_path / "ties.tflite"
    monkeypatch.setattr(ptq, "_TIES", 1.0)
    source = tmp_path / "float.tflite"
    held = data.read(model, pairs["train"], "--train")
    export.export_float(model, held, source)
    assert not ptq.quantize(source, target, "int8", held.inputs, {})
    said = Served(target, 1).predict({"args_0": x[300:]})
    assert np.mean(said.argmax(1) == y[300:]) < 0.9


def test_floats_beside_shared_values_are_short_and_no_others(compress, trained):
    def floats(row):
        file = FlatFile(row.path)
        graph = file._graphs[0]
        made = [file._constant(t) for t in graph.tensors]
        return [v for v in made if v is not None and v.dtype == np.float32 and v.size > 3]

    first = {trained.layers[0].name: 8}  # which no normalization follows
    recipe = {"cluster": 8, "values": first, "quantize": "dynamic", "epochs": 2}
    shared = compress(recipe=recipe).candidates[0]
    biases = np.concatenate([v.ravel() for v in floats(shared)])
    assert len(biases) > 60 and not np.any(biases.view("u4") & 0xFFFF)
    exact = shared.load().layers[0].get_weights()[1]
    nearest = np.abs(exact[:, None] - biases).min(axis=1)
    assert np.all(nearest <= np.abs(exact) / 256)
    plain = compress(quantize="dynamic").candidates[0]
    assert any(np.any(v.view("u4") & 0xFFFF) for v in floats(plain))
    tiny = ptq.Operation(0, "CONV_2D", "", weights=36, values=36)
    assert not ptq._shares(tiny)
