"""A Keras 3 model in tf_keras gives the same outputs, whatever it is made of."""

from __future__ import annotations

import numpy as np
import pytest

from nb_optimizer.core.compression.bridge.translate import translate


def images():
    import keras
    from keras import layers

    i = keras.Input((16, 16, 3))
    keras.utils.set_random_seed(0)
    x = layers.Rescaling(4.0, offset=-1.0)(i)
    x = layers.Conv2D(8, 3, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    x = layers.Activation("relu6")(x)
    y = layers.DepthwiseConv2D(3, padding="same")(x)
    y = layers.LeakyReLU(negative_slope=0.1)(y) + x
    gate = layers.Dense(8, activation="hard_sigmoid")(
        layers.GlobalAveragePooling2D(keepdims=True)(y)
    )
    y = keras.ops.relu(y * gate * 2.0 + 0.1)
    y = layers.SeparableConv2D(6, 3)(y)
    return keras.Model(i, layers.Dense(3)(keras.ops.mean(y, axis=(1, 2)))), (16, 16, 3), 0


def texts():
    import keras
    from keras import layers

    i = keras.Input((9,), dtype="int32")
    x = layers.Embedding(20, 8, mask_zero=True)(i)
    x = layers.Bidirectional(layers.LSTM(4, return_sequences=True))(x)
    x = layers.TimeDistributed(layers.Dense(8))(x)
    x = layers.MultiHeadAttention(2, 4)(x, x)
    x = layers.GRU(5)(layers.LayerNormalization()(x))
    return keras.Model(i, layers.Dense(3)(x)), (9,), 20


def folded():
    import keras
    from keras import layers

    model = keras.Sequential(
        [
            keras.Input((12,)),
            layers.Dense(8),
            layers.BatchNormalization(),
            layers.ReLU(),
            keras.Sequential([keras.Input((8,)), layers.Dense(6, activation="silu")]),
            layers.Dense(4, activation="softmax"),
        ]
    )
    norm = model.layers[1]
    rng = np.random.default_rng(0)
    norm.set_weights([rng.random(8) + 0.5, rng.random(8), rng.random(8), rng.random(8) + 0.5])
    return model, (12,), 0


def rows(shape, top):
    rng = np.random.default_rng(0)
    if top:
        return rng.integers(0, top, (4, *shape)).astype("int32")
    return rng.random((4, *shape)).astype("float32")


@pytest.mark.parametrize(
    ("build", "fold"), [(images, True), (texts, False), (folded, False), (folded, True)]
)
def test_same_outputs_and_the_weights_come_back(build, fold):
    model, shape, top = build()
    x = rows(shape, top)
    made = translate(model, fold=fold)
    assert made.difference(x) < 1e-5
    before = model.predict(x, verbose=0)
    for layer in made.model.layers:  # something to carry back
        layer.set_weights([w * 1.01 for w in layer.get_weights()])
    made.copy_weights(back=True)
    assert np.abs(model.predict(x, verbose=0) - before).max() > 0
    assert made.difference(x) < 1e-4


def test_what_has_no_counterpart_is_called_and_told():
    import keras
    from keras import layers

    class Twice(layers.Layer):
        def call(self, x):
            return 2 * x

    i = keras.Input((4,))
    x = Twice(name="twice")(layers.Dense(3)(i))
    model = keras.Model(i, layers.RMSNormalization(name="rms")(x[:, 1:]))
    made = translate(model)
    assert made.difference(rows((4,), 0)) < 1e-6
    assert made.called["twice"] == "Twice: a class of its own"
    assert "rms" in made.called


def test_several_inputs_and_outputs_by_name():
    import keras
    from keras import layers

    a, b = keras.Input((3,), name="a"), keras.Input((5,), name="b")
    joined = layers.Concatenate()([a, b])
    model = keras.Model({"a": a, "b": b}, {"x": layers.Dense(2)(joined), "y": layers.Dense(1)(a)})
    made = translate(model)
    assert made.difference({"a": rows((3,), 0), "b": rows((5,), 0)}) < 1e-6
