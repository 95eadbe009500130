"""Pruning, clustering, rounding and shrinking on small models."""

from __future__ import annotations

import numpy as np
import pytest

from nb_optimizer.core.compression import cluster, kernels, lamp, projection, prune, shrink
from nb_optimizer.core.compression.plan import CompressPlan
from nb_optimizer.core.compression.qat import Twin, fake_quantize
from nb_optimizer.core.compression.recipe import Recipe
from nb_optimizer.core.compression.trained import copy
from nb_optimizer.core.errors import UserError


def test_a_mask_has_the_sparsity_that_was_asked_for():
    weights = np.random.default_rng(0).normal(size=(40, 50)).astype("float32")
    mask = prune.mask(weights, prune.Constant(0.8), 1)
    assert mask.mean() == pytest.approx(0.2, abs=1e-3)
    assert np.abs(weights[mask == 0]).max() <= np.abs(weights[mask == 1]).min()


def test_the_schedule_reaches_its_end_on_an_update():
    for steps in (7, 50, 333, 5000):
        schedule = prune.schedule_for(0.9, steps)
        assert schedule.updates(schedule.end) and schedule.end <= steps
        assert schedule.sparsity(schedule.end) == pytest.approx(0.9)
        assert schedule.sparsity(1) < 0.9 or schedule.end == 1


def test_a_constant_schedule_is_there_at_once_and_stays():
    recipe = CompressPlan(prune="0.9", schedule="constant").recipes()[0]
    schedule = prune.schedule_for(0.9, 500, recipe.schedule)
    assert schedule.updates(1) and schedule.updates(496)
    assert {schedule.sparsity(step) for step in (1, 250, 500)} == {0.9}
    assert recipe.name.startswith("prune 0.9 at once")
    assert Recipe.from_dict(recipe.to_dict()) == recipe


def test_two_of_four_along_the_input_channels():
    weights = np.random.default_rng(0).normal(size=(3, 3, 8, 5)).astype("float32")
    mask = prune.mask(weights, prune.TwoOfFour(), 1)
    rows = np.moveaxis(mask, -1, 0).reshape(5, -1, 4)
    assert (rows.sum(-1) == 2).all()


def test_a_few_values_and_zeros_stay_zeros():
    weights = np.random.default_rng(0).normal(size=(30, 30)).astype("float32")
    weights[np.abs(weights) < 1] = 0
    groups, centres = cluster.group(weights, 8, keep_zeros=True)
    assert len(centres) == 8 and centres[0] == 0
    assert ((groups == 0) == (weights.ravel() == 0)).all()
    near = centres[groups].reshape(weights.shape)
    assert np.abs(near - weights).mean() < 0.1


def test_training_keeps_zeros_and_shared_values(trained, sets):
    model = copy(trained)
    chosen, _ = kernels.choose(model)
    assert [k.name for k in chosen] == ["dense_1"] or len(chosen) == 1
    steps = 2 * 16
    pruned = [projection.Pruned(k, prune.schedule_for(0.7, steps)) for k in chosen]
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(*sets[0], epochs=2, batch_size=32, verbose=0, callbacks=[projection.callback(pruned)])
    assert np.mean(chosen[0].variable.numpy() == 0) == pytest.approx(0.7, abs=0.001)
    shared = [projection.Shared(k, 8, keep_zeros=True) for k in chosen]
    model.fit(*sets[0], epochs=1, batch_size=32, verbose=0, callbacks=[projection.callback(shared)])
    values = chosen[0].variable.numpy()
    assert np.mean(values == 0) == pytest.approx(0.7, abs=0.001)
    assert len(np.unique(values)) <= 8


def test_a_loss_of_the_users_own_does_not_keep_a_model_from_being_copied(trained):
    import keras

    def mine(truth, said):
        return keras.losses.sparse_categorical_crossentropy(truth, said)

    model = copy(trained)
    model.compile("adam", mine)
    again = copy(model)
    pairs = zip(model.get_weights(), again.get_weights(), strict=True)
    assert model.compiled and all((a == b).all() for a, b in pairs)


def test_layer_sparsities_add_up(trained):
    every = kernels.all_kernels(trained)
    found = lamp.sparsities(every, 0.6)
    sizes = {k.name: k.size for k in every}
    gone = sum(found[n] * sizes[n] for n in found)
    assert gone / sum(sizes.values()) == pytest.approx(0.6, abs=0.01)


def test_rounding_has_255_levels_in_each_channel():
    import tensorflow as tf

    weights = tf.constant(np.random.default_rng(0).normal(size=(500, 3)), tf.float32)
    rounded = fake_quantize(weights, 8, per_channel=True).numpy()
    for channel in range(3):
        assert 100 < len(np.unique(rounded[:, channel])) <= 255
    assert np.abs(rounded - weights.numpy()).max() < np.abs(weights).max() / 254


def series_net():
    import keras
    from keras import layers

    tokens = keras.Input((10,), dtype="int32")
    x = layers.Embedding(30, 8)(tokens)
    x = layers.Conv1D(8, 3, padding="same")(x)
    x = layers.BatchNormalization()(x)
    x = layers.ReLU()(x)
    x = layers.MultiHeadAttention(2, 4)(x, x)
    x = layers.LayerNormalization()(x)
    inner = keras.Sequential([keras.Input((10, 8)), layers.GRU(6, return_sequences=True)])
    x = layers.Dropout(0.1)(inner(x))
    x = layers.GlobalAveragePooling1D()(x) * 2.0
    return keras.Model(tokens, layers.Dense(3, activation="softmax")(x))


def test_the_rounding_twin_takes_what_tfmot_refuses():
    import keras

    keras.utils.set_random_seed(0)
    model = series_net()
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 30, (64, 10)).astype("int32"), rng.integers(0, 3, 64)
    twin = Twin(model)
    twin.calibrate(x)
    near = np.abs(twin.model.predict(x, verbose=0) - model.predict(x, verbose=0)).max()
    assert 0 < near < 0.05  # it rounds, and only a little
    before = [w.copy() for w in model.get_weights()]
    twin.model.compile("adam", "sparse_categorical_crossentropy")
    twin.model.fit(x, y, epochs=2, verbose=0)
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))
    twin.give_back()
    names = [v.path for v in model.trainable_variables]
    moved = [
        n for n, v in zip(names, model.trainable_variables, strict=True)
        if not any(v.shape == b.shape and np.array_equal(v.numpy(), b) for b in before)
    ]  # fmt: skip
    assert any("gru" in n for n in moved) and any("attention" in n for n in moved)


def test_a_twin_rounds_its_kernels_in_training(trained):
    twin = Twin(trained)
    kernel = kernels.all_kernels(twin.model)[0].variable
    kernel.assign(kernel * 1.0 + 1e-6)  # less than a rounding step: no output may change
    x = np.random.default_rng(0).normal(size=(8, 16)).astype("float32")
    twin.calibrate(x)
    first = twin.model.predict(x, verbose=0)
    kernel.assign(kernel * 1.0)
    assert np.array_equal(first, twin.model.predict(x, verbose=0))


def test_shrinking_takes_dead_channels_without_a_trace():
    import keras
    from keras import layers

    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(16, 3, padding="same"),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.MaxPooling2D(),
            layers.Conv2D(12, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(20, activation="relu"),
            layers.Dense(5),
        ]
    )
    for at, count in ((0, 8), (4, 4), (6, 8)):  # the last channels of each are dead
        kernel, bias = model.layers[at].get_weights()
        kernel[..., -count:], bias[-count:] = 0, 0
        model.layers[at].set_weights([kernel, bias])
    small, left = shrink.smaller(model, 0.34)
    assert [w.shape[-1] for w in small.get_weights() if w.ndim > 1] == [12, 8, 16, 5]
    x = np.random.default_rng(0).random((4, 8, 8, 3), dtype="float32")
    assert np.allclose(model.predict(x, verbose=0), small.predict(x, verbose=0), atol=1e-5)
    assert list(left.values()) == ["its channels are an output"]


def test_shrinking_leaves_what_meets_another_path():
    import keras
    from keras import layers

    i = keras.Input((6,))
    a = layers.Dense(16, name="a")(i)
    b = layers.Dense(16, name="b")(i)
    model = keras.Model(i, layers.Dense(2)(layers.Add(name="sum")([a, b])))
    with pytest.raises(UserError, match="its channels meet sum"):
        shrink.smaller(model, 0.5)


def test_many_steps_in_one_call_end_with_the_weights_of_single_steps(trained, sets):
    ended = []
    for many in (1, 4):
        model = copy(trained)
        kernel = kernels.choose(model)[0][0]
        for make in (
            lambda k: projection.Pruned(k, prune.Constant(0.7, begin=1, every=48)),
            lambda k: projection.Shared(k, 8, keep_zeros=True),
        ):
            model.compile("adam", "sparse_categorical_crossentropy", steps_per_execution=many)
            model.fit(*sets[0], epochs=2, batch_size=32, verbose=0, shuffle=False,
                      callbacks=[projection.callback([make(kernel)])])  # fmt: skip
            assert np.mean(kernel.variable.numpy() == 0) == pytest.approx(0.7, abs=0.001)
            assert "train_step" not in vars(model)
        assert len(np.unique(kernel.variable.numpy())) <= 8
        ended.append(model.get_weights())
    gaps = [np.abs(a - b).max() for a, b in zip(*ended, strict=True)]
    assert max(gaps) < 1e-3, gaps  # a bias before a normalization learns from rounding alone
