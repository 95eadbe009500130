"""Accelerated training computes what plain ``fit`` computes, from the same seed, shuffled."""

from __future__ import annotations

import numpy as np
import pytest

from nb_optimizer.core.training.acceleration import blocks, hardware
from nb_optimizer.core.training.acceleration.install import Acceleration
from nb_optimizer.core.training.acceleration.promises import FUSED, LOOP, PLAIN, XLA, Promises

ROWS, EPOCHS, BATCH = 330, 5, 32  # the last batch is not full


def rows(*shape, classes=3):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, *shape)).astype("float32")
    y = (np.abs(x.reshape(ROWS, -1)[:, :4].sum(axis=1)).astype(int)) % classes
    return x, y.astype("int64")


def dense(*extra, optimizer="adam", metrics=("accuracy",), width=8, **inputs):
    import keras

    net = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(width, activation="relu"),
            *extra,
            keras.layers.Dense(3, activation="softmax"),
        ]
    )
    net.compile(optimizer, "sparse_categorical_crossentropy", metrics=list(metrics))
    x, y = rows(6)
    return net, {"x": x, "y": y, **inputs}


def mlp():
    return dense()


def dropout():
    import keras

    return dense(keras.layers.Dropout(0.3))


def batch_normalization():
    import keras

    return dense(keras.layers.BatchNormalization())


def class_weights():
    return dense(class_weight={0: 1.0, 1: 2.0, 2: 0.5})


def sample_weights():
    return dense(sample_weight=np.linspace(0.1, 2, ROWS))


def schedule():
    import keras

    return dense(optimizer=keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 60)))


def clipping():
    import keras

    return dense(optimizer=keras.optimizers.Adam(0.01, global_clipnorm=0.5))


def weight_decay():
    import keras

    return dense(optimizer=keras.optimizers.AdamW(0.01, weight_decay=0.01))


def moving_average():
    import keras

    options = {"use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": 7}
    return dense(optimizer=keras.optimizers.Adam(0.01, **options))


def several_metrics():
    import keras

    given = keras.Input((6,))
    net = keras.Model(given, keras.layers.Dense(1, activation="sigmoid")(given))
    named = [keras.metrics.AUC(name="auc"), keras.metrics.Precision(name="precision")]
    metrics = ["accuracy", *named, "mae"]
    net.compile("adam", "binary_crossentropy", metrics=metrics)
    x, y = rows(6, classes=2)
    return net, {"x": x, "y": y[:, None].astype("float32")}


def wide_and_deep():
    import keras

    wide, deep = keras.Input((2,), name="wide"), keras.Input((4,), name="deep")
    hidden = keras.layers.Dense(8, activation="relu")(deep)
    both = keras.layers.concatenate([wide, hidden])
    net = keras.Model({"wide": wide, "deep": deep}, keras.layers.Dense(3)(both))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile("adam", loss, metrics=["accuracy"])
    x, y = rows(6)
    return net, {"x": {"wide": x[:, :2], "deep": x[:, 2:]}, "y": y}


def cnn():
    import keras

    net = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(8, 3, activation="relu"),
            keras.layers.Conv2D(8, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )
    net.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    x, y = rows(8, 8, 1)
    return net, {"x": x, "y": y}


def lstm():
    import keras

    net = keras.Sequential([keras.Input((12, 1)), keras.layers.LSTM(8), keras.layers.Dense(1)])
    net.compile("adam", "mse")
    x, y = rows(12, 1)
    return net, {"x": x, "y": y.astype("float32")}


def transformer():
    import keras
    from keras import layers

    given = keras.Input((8,))
    words = layers.Embedding(20, 8)(given)
    mixed = layers.LayerNormalization()(words + layers.MultiHeadAttention(2, 4)(words, words))
    out = layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling1D()(mixed))
    net = keras.Model(given, out)
    net.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    x, y = rows(8)
    return net, {"x": (np.abs(x) * 7).astype("int32") % 20, "y": y}


def dataset():
    import tensorflow as tf

    net, arguments = dense()
    pairs = tf.data.Dataset.from_tensor_slices((arguments["x"], arguments["y"]))
    return net, {"x": pairs.shuffle(ROWS, seed=4).batch(BATCH)}


CASES = [
    mlp, dropout, batch_normalization, class_weights, sample_weights, schedule, clipping,
    weight_decay, moving_average, several_metrics, wide_and_deep, cnn, lstm, transformer, dataset,
]  # fmt: skip


def fit(case, train, monkeypatch, way):
    import keras

    monkeypatch.setattr(Acceleration, "known", lambda self: way)
    keras.utils.set_random_seed(9)
    net, arguments = case()
    if case is not dataset:
        x, y = arguments["x"], arguments["y"]
        arguments |= {"batch_size": BATCH, "validation_data": (x, y)}
    with train(accelerate="auto" if way else "off", source=case.__name__) as run:
        history = net.fit(**arguments, epochs=EPOCHS)
    if way:
        assert run.record.accelerated.way == way
    return history.history, net.get_weights()


@pytest.fixture(scope="module")
def plain_results():
    return {}


@pytest.mark.parametrize("way", [LOOP, FUSED, XLA])
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.__name__)
def test_same_history_and_weights(case, way, train, monkeypatch, plain_results):
    if case is dropout and way != LOOP:
        pytest.skip("XLA draws other random numbers; see test_dropout_under_xla")
    if case is dataset and way == FUSED:
        pytest.skip("no iterator can be drawn from within one loop under XLA")
    if case not in plain_results:
        plain_results[case] = fit(case, train, monkeypatch, "")
    plain_history, plain_weights = plain_results[case]
    history, weights = fit(case, train, monkeypatch, way)
    assert set(history) == set(plain_history)
    for name, values in plain_history.items():
        np.testing.assert_allclose(history[name], values, rtol=1e-5, atol=1e-7, err_msg=name)
    for a, b in zip(plain_weights, weights, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-5)
    if way == LOOP and case is not transformer:  # its validation loss differs in the last bit
        assert history == plain_history


def mobilenet():
    import keras

    net = keras.applications.MobileNetV2((32, 32, 3), alpha=0.35, weights=None, classes=3)
    net.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    x, y = rows(32, 32, 3)
    return net, {"x": x[:70], "y": y[:70]}


@pytest.mark.parametrize("case", [mlp, mobilenet], ids=lambda c: c.__name__)
def test_steps_that_stay_plain_compute_the_same(case, train, monkeypatch):
    import keras

    nothing = Promises({}, {}, slow_step=0.0)  # so that plain steps are all that is tried
    monkeypatch.setattr(hardware, "promises", lambda _: nothing)
    monkeypatch.setattr(blocks, "_MOST_BATCHES", 2)

    def history(accelerate):
        keras.utils.set_random_seed(9)
        net, arguments = case()
        with train(accelerate=accelerate) as run:
            return net.fit(**arguments, batch_size=10, epochs=2).history, run

    expected, _ = history("off")
    found, run = history("auto")
    assert run.record.accelerated.way == PLAIN
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("way", [FUSED, XLA])
def test_dropout_under_xla_drops_the_same_share_of_fresh_units(way, train, monkeypatch):
    import keras

    def squares(_, y_pred):
        return keras.ops.mean(keras.ops.square(y_pred), axis=-1)

    monkeypatch.setattr(Acceleration, "known", lambda self: way)
    net = keras.Sequential([keras.Input((50,)), keras.layers.Dropout(0.3, seed=1)])
    net.compile(keras.optimizers.SGD(0.0), lambda _, y_pred: keras.ops.mean(y_pred, axis=-1),
                metrics=[squares])  # fmt: skip
    with train():
        history = net.fit(np.ones((640, 50)), np.ones((640, 1)), epochs=4).history
    # Kept units are scaled by 1/0.7: their mean stays 1, the mean of their squares is 1/0.7.
    np.testing.assert_allclose(history["loss"], 1, atol=0.02)
    np.testing.assert_allclose(history["squares"], 1 / 0.7, atol=0.03)
    assert len(set(history["loss"])) == 4  # other units in each epoch


@pytest.mark.parametrize("way", [FUSED, XLA])
def test_steps_that_keras_compiles_draw_the_same_random_numbers(way, train, monkeypatch):
    """The last batch, which is not full, among them."""

    def compiled_dropout():
        net, arguments = dropout()
        net.jit_compile = True
        return net, arguments

    plain_history, plain_weights = fit(compiled_dropout, train, monkeypatch, "")
    history, weights = fit(compiled_dropout, train, monkeypatch, way)
    for name, values in plain_history.items():
        np.testing.assert_allclose(history[name], values, rtol=1e-5, err_msg=name)
    for a, b in zip(plain_weights, weights, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-5)


def test_a_seed_fixes_the_way_before_the_first_step(train):
    import keras

    keras.utils.set_random_seed(9)
    net, arguments = mlp()
    with train(seed=9) as run:
        net.fit(**arguments, epochs=2, batch_size=10)
    assert run.record.accelerated.way == LOOP
    assert "fixed by --seed" in run.record.accelerated.text


def test_a_callback_that_compiles_anew_gets_plain_steps(train, monkeypatch):
    import keras

    class Unfreeze(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                self.model.compile("sgd", "sparse_categorical_crossentropy")
                self.model.make_train_function(force=True)

    def losses(way):
        monkeypatch.setattr(Acceleration, "known", lambda self: way)
        keras.utils.set_random_seed(9)
        net, arguments = mlp()
        with train(accelerate="auto" if way else "off"):
            history = net.fit(**arguments, epochs=5, callbacks=[Unfreeze()])
        assert int(net.optimizer.iterations) == 3 * 11
        return history.history["loss"]

    assert losses(LOOP) == losses("")


def test_what_cannot_be_kept_falls_back_with_the_reason(train):
    import keras

    class Watching(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            pass

    net, arguments = mlp()
    with train() as run:
        net.fit(**arguments, callbacks=[Watching()])
    assert run.record.accelerated.text == "plain steps: Watching watches every batch"
    with train(accelerate="off") as run:
        net.fit(**arguments)
    assert run.record.accelerated is None


def test_the_next_run_of_the_cell_starts_with_the_choice(train, monkeypatch):
    known = Acceleration.known
    monkeypatch.setattr(Acceleration, "known", lambda self: LOOP)
    net, arguments = mlp()
    with train():
        net.fit(**arguments, epochs=1)
    monkeypatch.setattr(Acceleration, "known", known)
    with train() as run:
        net.fit(**arguments, epochs=1)
    assert run.record.accelerated.way == LOOP
    assert "as the last run of this cell has chosen" in run.record.accelerated.text
