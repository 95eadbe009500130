"""``evaluate`` and ``predict`` in the block return what they return without it, in every way."""

from __future__ import annotations

import numpy as np
import pytest

from nb_optimizer.core.training.acceleration import passes
from nb_optimizer.core.training.acceleration.pace import Pace
from nb_optimizer.core.training.acceleration.passes import Passes
from nb_optimizer.core.training.acceleration.promises import FUSED, LOOP, PLAIN, XLA

ROWS, BATCH = 330, 32  # the last batch is not full


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, 6)).astype("float32")
    return x, (x.sum(axis=1) > 0).astype("int64")


@pytest.fixture
def net():
    import keras

    keras.utils.set_random_seed(1)
    layers = [keras.layers.Dense(8, activation="relu"), keras.layers.Dropout(0.5)]
    made = keras.Sequential([keras.Input((6,)), *layers, keras.layers.Dense(2, "softmax")])
    metrics = ["accuracy", keras.metrics.SparseCategoricalCrossentropy(name="entropy")]
    made.compile("adam", "sparse_categorical_crossentropy", metrics=metrics)
    return made


@pytest.fixture
def ran(monkeypatch):
    """Name the ways in which blocks have run, in order."""
    from nb_optimizer.core.training.acceleration.blocks import Feed

    seen, usual = [], Feed.run

    def run(feed, step, block):
        seen.append(feed.pace.way)
        return usual(feed, step, block)

    monkeypatch.setattr(Feed, "run", run)
    return seen


def force(monkeypatch, way):
    def pace(self, source, compiled, ways):
        return Pace((PLAIN, *ways), lambda: 1, known=way)

    monkeypatch.setattr(Passes, "_pace", pace)


@pytest.mark.parametrize("way", [LOOP, FUSED, XLA])
def test_evaluate(way, net, data, train, monkeypatch, ran):
    x, y = data
    weights = np.linspace(0.1, 2, ROWS)
    arguments = {"batch_size": BATCH, "verbose": 0, "return_dict": True}
    plain = net.evaluate(x, y, **arguments), net.evaluate(x, y, sample_weight=weights, **arguments)
    plain_list = net.evaluate(x, y, BATCH, 0)
    force(monkeypatch, way)
    original = net.test_function
    with train():
        mine = (
            net.evaluate(x, y, **arguments),
            net.evaluate(x, y, sample_weight=weights, **arguments),
        )
        as_list = net.evaluate(x, y, BATCH, 0)
    assert set(ran) == {way} and net.test_function is original
    for theirs, ours in zip(plain, mine, strict=True):
        assert list(theirs) == list(ours)
        np.testing.assert_allclose(list(ours.values()), list(theirs.values()), rtol=1e-6)
    np.testing.assert_allclose(as_list, plain_list, rtol=1e-6)
    if way == LOOP:
        assert mine == plain


def test_evaluate_of_a_dataset(net, data, train, monkeypatch, ran):
    import tensorflow as tf

    batches = tf.data.Dataset.from_tensor_slices(data).batch(BATCH)
    plain = net.evaluate(batches, verbose=0)
    force(monkeypatch, LOOP)
    with train():
        assert net.evaluate(batches, verbose=0) == plain
    assert set(ran) == {LOOP}


def test_predict(net, data, train, monkeypatch, ran):
    plain = net.predict(data[0], batch_size=BATCH, verbose=0)
    force(monkeypatch, LOOP)
    original = net.predict_function
    with train():
        mine = net.predict(data[0], batch_size=BATCH, verbose=0)
        few = net.predict(data[0][:7], verbose=0)
    assert set(ran) == {LOOP} and net.predict_function is original
    np.testing.assert_array_equal(mine, plain)
    np.testing.assert_array_equal(few, net.predict(data[0][:7], verbose=0))


def test_steps_that_keras_compiles_stay_compiled(net, data, train, monkeypatch, ran):
    net.jit_compile = True
    arguments = {"batch_size": BATCH, "verbose": 0}
    plain = net.predict(data[0], **arguments), net.evaluate(*data, **arguments)
    force(monkeypatch, XLA)
    with train():
        mine = net.predict(data[0], **arguments), net.evaluate(*data, **arguments)
    assert set(ran) == {XLA}
    np.testing.assert_allclose(mine[0], plain[0], rtol=1e-6)
    np.testing.assert_allclose(mine[1], plain[1], rtol=1e-6)


def test_predict_of_several_outputs_and_inputs(data, train, monkeypatch, ran):
    import keras

    a, b = keras.Input((6,), name="a"), keras.Input((6,), name="b")
    both = keras.layers.concatenate([a, b])
    outputs = {"one": keras.layers.Dense(3)(both), "two": keras.layers.Reshape((2, 3))(a)}
    net = keras.Model({"a": a, "b": b}, outputs)
    given = {"a": data[0], "b": data[0][::-1].copy()}
    plain = net.predict(given, batch_size=BATCH, verbose=0)
    force(monkeypatch, LOOP)
    with train():
        mine = net.predict(given, batch_size=BATCH, verbose=0)
    assert set(ran) == {LOOP}
    for name, values in plain.items():
        np.testing.assert_array_equal(mine[name], values)


def test_outputs_that_no_loop_can_collect_come_from_plain_steps(data, train, monkeypatch, ran):
    import keras
    import tensorflow as tf

    class Ragged(keras.Model):
        def call(self, x):
            return tf.RaggedTensor.from_tensor(x, lengths=tf.cast(x[:, 0] > 0, tf.int64) + 1)

    net = Ragged()
    plain = net.predict(data[0], batch_size=BATCH, verbose=0)
    force(monkeypatch, LOOP)
    with train():
        mine = net.predict(data[0], batch_size=BATCH, verbose=0)
        again = net.predict(data[0], batch_size=BATCH, verbose=0)
    assert ran[:1] == [LOOP]
    assert mine.to_list() == plain.to_list() == again.to_list()


def test_what_validation_has_compiled_evaluates(net, data, train, monkeypatch, ran):
    from nb_optimizer.core.training.acceleration.install import Acceleration

    x, y = data
    monkeypatch.setattr(Acceleration, "known", lambda self: LOOP)
    monkeypatch.setattr(Acceleration, "_by_rule", lambda self, source: LOOP)
    with train() as run:
        net.fit(x, y, validation_data=(x[:160], y[:160]), epochs=2, verbose=0)
        del ran[:]
        monkeypatch.setattr("nb_optimizer.core.training.acceleration.ways._repeated", None)
        mine = net.evaluate(x, y, verbose=0)  # would fail if it had to compile
    assert run.status == "completed" and LOOP in ran
    assert mine == net.evaluate(x, y, verbose=0)


def test_few_steps_stay_plain_and_the_next_call_decides_anew(net, data, train, ran):
    x, y = data
    plain = net.evaluate(x, y, verbose=0)
    with train():
        assert net.evaluate(x, y, verbose=0) == plain
        assert not ran
        net.evaluate(np.tile(x, (2000, 1)), np.tile(y, 2000), verbose=0)
    assert ran


def test_own_steps_callbacks_and_off_are_left_alone(net, data, train, monkeypatch, ran):
    import keras

    x, y = data

    class Own(keras.Sequential):
        def test_step(self, batch):
            return super().test_step(batch)

    own = Own([keras.Input((6,)), keras.layers.Dense(2, "softmax")])
    own.compile("adam", "sparse_categorical_crossentropy")
    force(monkeypatch, LOOP)
    with train():
        own.evaluate(x, y, verbose=0)
        net.evaluate(x, y, verbose=0, callbacks=[keras.callbacks.Callback()])
    with train(accelerate="off"):
        net.predict(x, verbose=0)
    assert not ran
    assert passes.unsuited(own, _framework(own), "test_step") == (
        "the model has a test_step of its own"
    )


def _framework(net):
    from nb_optimizer.core.training import framework

    return framework.of(net)
