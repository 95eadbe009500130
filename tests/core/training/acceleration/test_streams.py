"""Batches that come from a pipeline run in blocks too, and every one of them trains once."""

from __future__ import annotations

import numpy as np
import pytest

from nb_optimizer.core.training.acceleration.install import Acceleration
from nb_optimizer.core.training.acceleration.promises import LOOP, XLA
from nb_optimizer.core.training.dataset_inside import improved

ROWS, BATCH, EPOCHS = 330, 32, 4
MUCH = 1e9  # bytes


@pytest.fixture(scope="module")
def arrays():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, 6)).astype("float32")
    return x, (np.abs(x[:, :4].sum(axis=1)).astype(int) % 3).astype("int64")


def pairs(arrays):
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(arrays)


def endless(arrays):
    return {"x": pairs(arrays).shuffle(ROWS, seed=4).repeat().batch(BATCH), "steps_per_epoch": 7}


def of_unknown_length(arrays):
    return {"x": pairs(arrays).shuffle(ROWS, seed=4).filter(lambda x, _: x[0] < 1).batch(BATCH)}


def computed(arrays):
    return {"x": pairs(arrays).map(lambda x, y: (x * 2, y)).batch(BATCH)}


def a_generator(arrays):
    def batches():
        while True:
            for i in range(0, ROWS, BATCH):
                yield arrays[0][i : i + BATCH], arrays[1][i : i + BATCH]

    return {"x": batches(), "steps_per_epoch": 9}


def a_sequence(arrays):
    import keras

    class Batches(keras.utils.PyDataset):
        order = np.arange(ROWS)

        def __len__(self):
            return 11

        def __getitem__(self, i):
            rows = self.order[i * BATCH : (i + 1) * BATCH]
            return arrays[0][rows], arrays[1][rows]

        def on_epoch_end(self):
            self.order = np.roll(self.order, 5)

    return {"x": Batches()}


def arrays_in_few_steps(arrays):
    return {"x": arrays[0], "y": arrays[1], "batch_size": BATCH, "steps_per_epoch": 5}


def model(*layers):
    import keras

    keras.utils.set_random_seed(9)
    net = keras.Sequential(
        [keras.Input((6,)), *layers, keras.layers.Dense(3, activation="softmax")]
    )
    net.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return net


CASES = (
    endless, of_unknown_length, computed, a_generator, a_sequence, arrays_in_few_steps,
)  # fmt: skip


@pytest.fixture(scope="module")
def plain_histories(arrays):
    return {}


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@pytest.mark.parametrize("way", [LOOP, XLA])
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.__name__)
def test_same_history(case, way, arrays, train, monkeypatch, plain_histories):
    if case not in plain_histories:
        with train(accelerate="off"):
            plain_histories[case] = model().fit(**case(arrays), epochs=EPOCHS, verbose=0).history
    monkeypatch.setattr(Acceleration, "known", lambda self: way)
    with train(source=case.__name__) as run:
        history = model().fit(**case(arrays), epochs=EPOCHS, verbose=0).history
    assert run.record.accelerated.way == way
    assert ("kept in memory" in run.record.accelerated.text) == (case is computed)
    for name, values in plain_histories[case].items():
        np.testing.assert_allclose(history[name], values, rtol=1e-5, err_msg=name)


def test_where_xla_cannot_compile_no_batch_is_lost(arrays, train, monkeypatch):
    import keras
    import tensorflow as tf

    class InPython(keras.layers.Layer):
        def call(self, x):
            return tf.ensure_shape(tf.numpy_function(lambda v: v, [x], tf.float32), x.shape)

    monkeypatch.setattr(Acceleration, "known", lambda self: XLA)
    net = model(keras.layers.Dense(4), InPython())
    with train() as run:
        net.fit(computed(arrays)["x"], epochs=2, verbose=0)
    assert int(net.optimizer.iterations) == 2 * 11
    assert run.record.status == "completed"


def test_a_fault_in_the_data_is_raised_and_not_skipped(arrays, train, monkeypatch):
    import tensorflow as tf

    def check(x, y):
        with tf.control_dependencies([tf.debugging.assert_less(x[0], 2.0, "too large a value")]):
            return tf.identity(x), y

    monkeypatch.setattr(Acceleration, "known", lambda self: LOOP)
    x = np.zeros((ROWS, 6), "float32")
    x[100] = 3.0
    net = model()
    with pytest.raises(tf.errors.InvalidArgumentError, match="too large a value"), train():
        net.fit(pairs((x, arrays[1])).map(check).batch(BATCH), epochs=1, verbose=0)
    assert int(net.optimizer.iterations) <= 4  # the fault is in the fourth batch


def test_only_what_feeds_the_same_is_kept_and_prepared_ahead(arrays):
    import tensorflow as tf

    steady = pairs(arrays).map(lambda x, y: (x + 1, y)).batch(BATCH)
    assert improved(steady, 11, MUCH)[1] == "its batches are kept in memory"
    assert improved(steady, 11, 100)[1] == ""  # too large
    shuffled = pairs(arrays).map(lambda x, y: (x + 1, y)).shuffle(9).batch(BATCH)
    ahead, told = improved(shuffled, 11, MUCH)
    assert (type(ahead).__name__, told) == ("_PrefetchDataset", "")
    assert improved(ahead, 11, MUCH)[0] is ahead
    scale = tf.Variable(1.0)
    varying = {
        "random": lambda x, y: (x + tf.random.uniform([6]), y),
        "python": lambda x, y: (tf.numpy_function(lambda v: v, [x], tf.float32), y),
        "variable": lambda x, y: (x * scale, y),
    }
    for name, function in varying.items():
        given = pairs(arrays).map(function).batch(BATCH)
        assert improved(given, 11, MUCH) == (given, ""), name
    unordered = pairs(arrays).map(varying["random"], num_parallel_calls=2, deterministic=False)
    assert improved(unordered, 330, MUCH) == (unordered, "")
