"""A compression from call to result, on real files in fresh processes."""

from __future__ import annotations

import numpy as np
import pytest

import nb_optimizer as nbo
from nb_optimizer.core.compression import bench, renewed, search, spared, workers
from nb_optimizer.core.compression.data import read
from nb_optimizer.core.compression.flatfile import FlatFile
from nb_optimizer.core.compression.plan import CompressPlan
from nb_optimizer.core.compression.ptq import FORMATS
from nb_optimizer.core.compression.runtime import Served
from nb_optimizer.core.compression.session import Compressing
from nb_optimizer.core.compression.watcher import Watcher
from nb_optimizer.core.errors import UserError
from nb_optimizer.core.store import Store


def test_every_number_format_gives_a_file_that_runs(compress, sets, trained, tmp_path):
    before = [w.copy() for w in trained.get_weights()]
    result = compress(quantize=",".join(FORMATS))
    assert result.status == "completed" and len(result.candidates) == len(FORMATS)
    rows = {c.name: c.row for c in result.candidates}
    base = result.baseline.row
    assert base.bytes > rows["float16"].bytes > rows["int8"].bytes > rows["int4"].bytes
    assert rows["int8"].float_operations == {} and rows["float16"].float_operations
    for row in rows.values():
        assert abs(row.drop) < 0.08 and row.drop_low <= row.drop <= row.drop_high
        assert row.latency_ms > 0 and row.samples == 400 and row.host and row.runtime
    # The score is that of the file itself, not of the model.
    served = Served(result.path / rows["int8"].file, 1)
    said = served.predict({"args_0": sets[1][0]}).argmax(1)
    assert np.mean(said == sets[1][1]) == pytest.approx(rows["int8"].score)
    assert all((a == b).all() for a, b in zip(before, trained.get_weights(), strict=True))


def test_the_result_is_read_back_and_exported(compress, tmp_path):
    result = compress(quantize="int8,dynamic")
    again = nbo.open_run(result.path)
    assert [r.to_dict() for r in again.rows] == [r.to_dict() for r in result.rows]
    assert again.best.name == result.best.name and again.status == "completed"
    layers = again.layers
    assert [x["weights"] for x in layers] == [16 * 64, 64 * 48, 48 * 4]
    assert layers[1]["left_alone"] == "" and layers[2]["left_alone"] == "only 192 weights"
    assert layers == result.layers and "3 layers with kernels" in again._repr_html_()
    target = again.best.export(tmp_path / "out" / "model.tflite")
    assert target.stat().st_size == again.best.bytes
    with pytest.raises(UserError, match="number formats only"):
        again.best.load()
    assert again.plot().axes and again.table()[0]["name"] == "float32"
    assert nbo.open_run("1", tmp_path).id == result.id


def test_pruned_shared_and_rounded_weights_reach_the_file(compress, sets):
    result = compress(prune=0.6, cluster=8, quantize="qat", epochs=4)
    row = result.candidates[0]
    file = FlatFile(row.path)
    # Folding the normalization scales whole channels, and a scale for each takes that back.
    assert file.different_values() <= 16
    loaded = row.load()
    kernel = next(w for w in loaded.get_weights() if w.shape == (64, 48))
    assert np.mean(kernel == 0) == pytest.approx(0.6, abs=0.01)
    assert len(np.unique(kernel)) <= 8
    assert row.gzip_bytes < result.baseline.gzip_bytes / 3
    again = compress(recipe=result.recipe)
    assert again.recipe == result.recipe
    assert again.best.gzip_bytes == pytest.approx(row.gzip_bytes, rel=0.05)


def test_a_search_ends_with_a_confirmed_pick_within_the_budget(compress, monkeypatch):
    monkeypatch.setattr(search.Search, "_enough", lambda _: 150)  # of 400 rows
    result = compress(budget="6%", target="gzip", time="15s", epochs=2)
    best = result.best
    assert best.row.confirmed and best.drop <= 0.06
    least = min(r.gzip_bytes for r in result.rows if r.status == "measured")
    assert best.gzip_bytes <= 1.03 * least  # among files that are nearly equal the fastest wins
    out_of_time = any("time" in note.text for note in result.record.notes)
    assert out_of_time or any(r.name.startswith("prune") for r in result.rows)
    assert set(result.picks) == {"quality", "balanced", "compact"}
    assert any(row.samples == 150 for row in result.rows)  # chosen on some rows
    assert all(c.row.samples == 400 for c in result.picks.values())  # all picks are confirmed


def test_a_search_for_speed_times_narrower_models_in_every_format(compress):
    result = compress(budget="60%", target="latency", time="30s", epochs=1)
    formats = {}
    for row in result.rows:
        narrower = row.recipe.get("shrink") or row.recipe.get("widths")
        if narrower and not row.recipe.get("qat"):
            formats.setdefault(str(narrower), []).append(row.recipe.get("quantize", ""))
    whole = [shares for shares in formats.values() if len(shares) > 1]
    assert whole and all(sorted(set(shares)) == sorted(shares) for shares in whole)
    assert all(c.speedup >= 1 for c in result.picks.values())


def test_small_convolutions_stay_float_where_8_bits_are_slower(tmp_path, monkeypatch):
    import keras

    layers = keras.layers
    first = layers.Conv2D(8, 3, activation="relu")
    rest = [layers.Conv2D(32, 3), layers.Flatten(), layers.Dense(3, activation="softmax")]
    model = keras.Sequential([keras.Input((10, 10, 1)), first, *rest])
    rng = np.random.default_rng(0)
    x, y = rng.random((300, 10, 10, 1), dtype="float32"), rng.integers(0, 3, 300)
    options = {"quantize": "int8", "directory": tmp_path, "live": "off"}
    monkeypatch.setattr(spared, "_SLOW", 0.0)  # on no processor
    alone = nbo.compress(model, data=(x[:200], y[:200]), train=(x[200:], y[200:]), **options)
    assert [c.name for c in alone.candidates] == ["int8"]
    monkeypatch.setattr(spared, "_SLOW", float("inf"))  # on any
    both = nbo.compress(model, data=(x[:200], y[:200]), train=(x[200:], y[200:]), **options)
    plain, other = both.candidates
    assert (plain.name, other.name) == ("int8", "int8*")
    assert list(other.row.recipe["formats"].values()) == ["float32"]
    assert sum(other.float_operations.values()) > sum(plain.float_operations.values())
    assert any("int8 is slower than float here" in n.text for n in both.record.notes)


def test_a_largest_size_is_kept(compress):
    limit = 9000
    result = compress(max_size=f"{limit}B", time="12s", epochs=1)
    assert all(c.bytes <= limit for c in result.candidates if c.status == "measured")
    assert all("allowed 9,000" in c.reason for c in result.rejected)
    assert result.best.bytes <= limit


def test_a_goal_that_nothing_meets_says_so(compress):
    result = compress(max_size="10B", train=None, time="20s")
    with pytest.raises(UserError, match="recommends nothing"):
        _ = result.best
    assert result.status == "completed" and len(result.rejected) >= 3
    assert "recommended: nothing" in repr(result)


def test_without_training_data_calibration_rows_are_not_scored(compress):
    result = compress(train=None, quantize="int8")
    assert result.baseline.samples == 400 - 80
    assert "taken out of --data" in result.record.notes[0].text


def test_a_killed_worker_is_a_row_with_its_reason(compress, monkeypatch):
    real = workers.call

    def call(request, folder, **more):
        if request["task"] == "quantize" and request["format"] == "int4":
            more["module"] = "tests.core.compression.dies"
        return real(request, folder, **more)

    monkeypatch.setattr(bench.workers, "call", call)
    result = compress(quantize="int4,int8")
    assert [c.name for c in result.candidates] == ["int8"]
    assert result.rejected[0].status == "failed" and "signal 9" in result.rejected[0].reason


def test_a_failing_picture_is_told_once_and_ends_nothing(sets, trained, tmp_path, caplog):
    class Broken(Watcher):
        def show(self, *_):
            return {}["canvas"]

        begin = pulse = show

    plan = CompressPlan(quantize="dynamic")
    session = Compressing(plan, trained, sets[1], store=Store(tmp_path), watcher=Broken())
    result = session.run()
    assert result.status == "completed" and result.best.name == "dynamic"
    assert [r.getMessage() for r in caplog.records if "could not show" in r.getMessage()] == [
        "nb_optimizer could not show the run (KeyError: 'canvas')"
    ]


def test_models_without_a_graph_get_number_formats_only(compress, sets):
    import keras

    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = keras.layers.Dense(4, activation="softmax")

        def call(self, x):
            return self.inner(x)

    model = Own()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(*sets[0], epochs=1, verbose=0)
    assert compress(model, quantize="dynamic").candidates
    failed = compress(model, prune=0.5).rejected[0]
    assert "has no layer graph" in failed.reason
    for options in ({"target": "latency", "epochs": 1}, {"target": "gzip"}):
        searched = compress(model, budget="50%", time="20s", **options)
        refused = [row.name for row in searched.rejected if "has no layer graph" in row.reason]
        assert searched.status == "completed" and refused[0] == "fine-tuned float32"
        assert {"dynamic", "int8"} < {row.name for row in searched.rows}


def test_recurrent_and_several_inputs_run_in_the_bare_runtime(compress):
    import keras
    from keras import layers

    rng = np.random.default_rng(0)
    steps, more = keras.Input((8, 3), name="steps"), keras.Input((4,), name="more")
    x = layers.Concatenate()([layers.LSTM(12)(steps), more])
    model = keras.Model({"steps": steps, "more": more}, layers.Dense(2, activation="softmax")(x))
    data = {
        "steps": rng.normal(size=(120, 8, 3)).astype("float32"),
        "more": rng.normal(size=(120, 4)).astype("float32"),
    }
    labels = model.predict(data, verbose=0).argmax(1)
    result = compress(model, data=(data, labels), train=None, quantize="dynamic")
    assert result.baseline.score == 1.0  # the file says what the model says
    assert result.candidates[0].agreement > 0.9


def test_calibration_keeps_rare_large_values(sets, tmp_path):
    """A moving average of extremes would cut confident outputs down to ties."""
    import keras

    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((16,)), keras.layers.Dense(8)])
    x = np.random.default_rng(0).normal(size=(64, 16)).astype("float32")
    x[0] *= 50  # one loud row, first: the average forgets it
    labels = model.predict(x, verbose=0)[:, :8]
    result = nbo.compress(
        model, data=(x[32:], labels[32:]), train=(x[:32], labels[:32]),
        quantize="int8", metric="mae", directory=tmp_path, live="off",
    )  # fmt: skip
    said = Served(result.candidates[0].path, 1).predict({"args_0": x[:1]})
    assert np.abs(said - labels[0]).max() < 0.02 * np.abs(labels[0]).max()


def test_tf_keras_models_are_compressed_as_their_keras_3_twins(sets, tmp_path):
    tf_keras = pytest.importorskip("tf_keras")
    layers = tf_keras.layers
    given = layers.Input((16,), name="rows")
    hidden = layers.LeakyReLU(0.1)(layers.BatchNormalization()(layers.Dense(64)(given)))
    out = layers.Dense(4, activation="softmax")(layers.Dense(48, activation="relu")(hidden))
    model = tf_keras.Model(given, out)
    loss = tf_keras.losses.SparseCategoricalCrossentropy()
    model.compile(tf_keras.optimizers.Adam(0.01), loss)
    model.fit(*sets[0], epochs=8, batch_size=32, verbose=0)
    before, score = model.get_weights(), np.mean(model.predict(sets[1][0]).argmax(1) == sets[1][1])
    result = nbo.compress(
        model, data=sets[1], train=sets[0], prune=0.5, quantize="int8", epochs=2,
        directory=tmp_path, live="off",
    )  # fmt: skip
    assert result.baseline.score == pytest.approx(score, abs=0.005)
    assert result.best.sparsity == pytest.approx(0.45, abs=0.1)
    loaded = result.best.load()
    assert type(loaded).__module__.startswith("keras.")
    assert "its Keras 3 twin is compressed" in result.record.notes[0].text
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))


def old_convolutions(k):
    layers = k.layers
    first = [layers.Conv2D(8, 3), layers.BatchNormalization(), layers.ReLU(6.0)]
    rest = [layers.DepthwiseConv2D(3), layers.GlobalAveragePooling2D(), layers.Dense(3)]
    return k.Sequential([layers.Input((12, 12, 3)), *first, *rest]), (12, 12, 3)


def old_recurrent(k):
    layers = k.layers
    both = layers.Bidirectional(layers.LSTM(6))
    return k.Sequential([layers.Input((7, 5)), both, layers.Dropout(0.2), layers.Dense(3)]), (7, 5)


@pytest.mark.parametrize("build", [old_convolutions, old_recurrent])
def test_the_keras_3_twin_of_a_tf_keras_model_gives_its_outputs(build):
    k = pytest.importorskip("tf_keras")
    model, shape = build(k)
    rate = k.optimizers.schedules.CosineDecay(0.003, 100)
    loss = k.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(k.optimizers.RMSprop(rate), loss)
    rng = np.random.default_rng(0)
    x, y = rng.random((20, *shape), dtype="float32"), rng.integers(0, 3, 20)
    twin, rows = renewed.taken(model, lambda m: read(m, (x, y), "--data"))
    assert type(twin.model).__module__.startswith("keras."), twin.note
    assert renewed._gap(model, twin.model, rows) <= renewed.TOLERANCE
    assert type(twin.model.optimizer).__name__ == "RMSprop" and twin.model.loss.from_logits
    assert float(twin.model.optimizer.learning_rate) == pytest.approx(0.003)


def test_tf_keras_models_without_a_twin_get_number_formats(sets, tmp_path):
    tf_keras = pytest.importorskip("tf_keras")

    class Own(tf_keras.layers.Layer):
        def call(self, x):
            return 2 * x

    layers = [Own(), tf_keras.layers.Dense(4, activation="softmax")]
    model = tf_keras.Sequential([tf_keras.layers.Input((16,)), *layers])
    options = {"data": sets[1], "train": sets[0], "directory": tmp_path, "live": "off"}
    result = nbo.compress(model, quantize="int8", **options)
    assert result.best.agreement > 0.9
    assert "stays a tf_keras model, which Keras 3 cannot read" in result.record.notes[0].text
    result = nbo.compress(model, prune=0.5, **options)
    assert "is a tf_keras model" in result.rejected[0].reason
