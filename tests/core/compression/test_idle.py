"""Channels that are zero on all training data: found, taken away, and nothing changes."""

from __future__ import annotations

import numpy as np
import pytest

from nb_optimizer.core.compression import idle, shrink
from nb_optimizer.core.compression.data import Data
from nb_optimizer.core.compression.recipe import Recipe


def rows(**inputs):
    return Data(inputs)


def put_to_sleep(layer, count):
    """Make the last channels of a layer of ReLU units dead, whatever they read."""
    kernel, bias = layer.get_weights()
    bias[-count:] = -100
    layer.set_weights([kernel, bias])


@pytest.fixture(scope="module")
def sleepy():
    """An image classifier whose three layers have 8, 4 and 9 dead channels."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(24, 3, padding="same", name="first"),
            layers.ReLU(),
            layers.MaxPooling2D(),
            layers.Conv2D(12, 3, activation="relu", name="second"),
            layers.Flatten(),
            layers.Dense(21, activation="relu", name="third"),
            layers.Dense(5),
        ]
    )
    for name, count in {"first": 8, "second": 4, "third": 9}.items():
        put_to_sleep(model.get_layer(name), count)
    return model


def test_dead_channels_go_and_no_output_changes(sleepy):
    x = np.random.default_rng(0).random((300, 8, 8, 3), dtype="float32")
    found = idle.find(sleepy, rows(args_0=x), lambda: True)
    assert set(range(16, 24)) <= set(found["first"])
    assert set(range(8, 12)) <= set(found["second"]) and set(range(12, 21)) <= set(found["third"])
    small = shrink.without(sleepy, found)
    assert small.count_params() < 0.5 * sleepy.count_params()
    said = sleepy.predict(x, verbose=0)
    assert np.allclose(said, small.predict(x, verbose=0), rtol=1e-4, atol=1e-4)


def test_a_channel_that_is_seen_at_work_once_stays(sleepy):
    x = np.zeros((300, 8, 8, 3), "float32")
    alone = idle.find(sleepy, rows(args_0=x), lambda: True)
    x[-1] = np.random.default_rng(1).random((8, 8, 3)) * 50
    seen = idle.find(sleepy, rows(args_0=x), lambda: True)
    awake = [c for c in alone["second"] if c not in seen["second"]]
    assert awake and max(awake) < 8


def test_without_time_nothing_is_called_idle(sleepy):
    x = np.zeros((300, 8, 8, 3), "float32")
    answers = iter([True, False])
    assert idle.find(sleepy, rows(args_0=x), lambda: next(answers)) == {}


def test_inputs_by_name_reach_their_own_place():
    import keras
    from keras import layers

    z, a = keras.Input((4,), name="z"), keras.Input((6,), name="a")
    both = layers.Concatenate()([layers.Dense(8)(z), layers.Dense(8)(a)])
    wide = layers.Dense(16, activation="relu", name="wide")(both)
    model = keras.Model([z, a], layers.Dense(2)(wide))
    put_to_sleep(model.get_layer("wide"), 4)
    data = rows(a=np.ones((5, 6), "float32"), z=np.ones((5, 4), "float32"))
    assert set(range(12, 16)) <= set(idle.find(model, data, lambda: True)["wide"])


def test_a_search_takes_idle_channels_away_first(compress, trained):
    from nb_optimizer.core.compression.trained import copy

    model = copy(trained)
    put_to_sleep(model.layers[0], 40)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    result = compress(model=model, budget="90%", target="gzip", time="16s", epochs=2)
    row = next(r for r in result.candidates if r.name.startswith("trim + "))
    same = next(r for r in result.candidates if f"trim + {r.name}" == row.name)
    assert abs(row.drop - same.drop) <= 0.01 and row.gzip_bytes < 0.8 * same.gzip_bytes
    told = " ".join(n.text for n in result.record.notes)
    assert "zero on all training data" in told and f"{model.layers[0].name} (40)" in told
    began = [r.recipe for r in result.rows if r.recipe.get("start")]
    assert began and all('"trim": true' in Recipe.from_dict(r).key for r in began)
