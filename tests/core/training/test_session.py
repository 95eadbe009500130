"""Cells run unchanged: every kind of model and input trains as with plain ``fit``."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from nb_optimizer.core.errors import UserError


def functional_dict(x, y):
    import keras

    a, b = keras.Input((2,), name="a"), keras.Input((2,), name="b")
    out = keras.layers.Dense(2, activation="softmax")(keras.layers.concatenate([a, b]))
    net = keras.Model({"a": a, "b": b}, out)
    net.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return net, {"x": {"a": x[:, :2], "b": x[:, 2:]}, "y": y, "class_weight": {0: 1.0, 1: 2.0}}


def two_outputs(x, y):
    import keras

    given = keras.Input((4,))
    outs = [keras.layers.Dense(1, name=n)(given) for n in ("first", "second")]
    net = keras.Model(given, outs)
    net.compile("adam", ["mse", "mae"])
    return net, {"x": x, "y": (x[:, :1], x[:, 1:2])}


def sample_weights(x, y):
    net = _sequential()
    return net, {"x": x, "y": y, "sample_weight": np.linspace(0, 1, len(x))}


def own_train_step(x, y):
    import keras
    import tensorflow as tf

    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(2, activation="softmax")

        def call(self, inputs):
            return self.dense(inputs)

        def train_step(self, data):
            inputs, targets = data
            with tf.GradientTape() as tape:
                loss = self.compute_loss(inputs, targets, self(inputs, training=True))
            weights = self.trainable_variables
            self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
            return {"loss": loss}

    net = Own()
    net.compile("sgd", "sparse_categorical_crossentropy")
    return net, {"x": x, "y": y}


def tf_data(x, y):
    import tensorflow as tf

    return _sequential(), {"x": tf.data.Dataset.from_tensor_slices((x, y)).batch(20)}


def generator_with_steps(x, y):
    def rows():
        while True:
            for at in range(0, 160, 40):
                yield x[at : at + 40], y[at : at + 40]

    return _sequential(), {"x": rows(), "steps_per_epoch": 4}


def steps_per_execution(x, y):
    return _sequential(steps_per_execution=4), {"x": x, "y": y, "batch_size": 10}


def old_keras(x, y):
    import tf_keras

    net = tf_keras.Sequential([tf_keras.layers.Dense(2, activation="softmax")])
    net.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return net, {"x": x, "y": y}


def _sequential(**options):
    import keras

    net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, activation="softmax")])
    net.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], **options)
    return net


CASES = [
    functional_dict,
    two_outputs,
    sample_weights,
    own_train_step,
    tf_data,
    generator_with_steps,
    steps_per_execution,
    old_keras,
]


@pytest.mark.parametrize("case", CASES)
def test_trains_as_plain_fit_does(case, train, data):
    import keras

    def seeded():
        keras.utils.set_random_seed(4)
        if case is old_keras:
            import tf_keras

            tf_keras.utils.set_random_seed(4)

    x, y = data
    validation = {} if case in (functional_dict, two_outputs) else {"validation_data": (x, y)}
    seeded()
    net, arguments = case(x, y)
    plain = net.fit(**arguments, **validation, epochs=3, verbose=0)
    plain_weights = net.get_weights()
    seeded()
    net, arguments = case(x, y)
    with train(source="import tf_keras") as run:
        watched = net.fit(**arguments, **validation, epochs=3)
    assert watched.history == plain.history
    assert watched.epoch == plain.epoch
    for a, b in zip(plain_weights, net.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert run.status == "completed" and run.epochs == 3
    assert net.stop_training is False


def test_everything_is_given_back(train, model, data):
    import keras

    before = dict(vars(keras.Model))
    policy = keras.mixed_precision.dtype_policy().name
    with train(precision="mixed_bfloat16"):
        assert "fit" in vars(keras.Model)
        model().fit(*data, epochs=1)
    assert dict(vars(keras.Model)) == before
    assert keras.mixed_precision.dtype_policy().name == policy
    with pytest.raises(ZeroDivisionError), train():
        1 / 0  # noqa: B018
    assert dict(vars(keras.Model)) == before


def test_user_callbacks_see_the_planned_epochs_and_keep_their_order(train, model, data):
    import keras

    seen = []

    class Mine(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            seen.append(self.params["epochs"])

        def on_epoch_end(self, epoch, logs=None):
            logs["mine"] = epoch + 0.5

    with train(monitor="mine") as run:
        model().fit(*data, epochs=3, callbacks=Mine(), verbose=0)
    assert seen == [3]
    assert run.history["mine"] == [0.5, 1.5, 2.5]
    assert run.best.epoch == 1


def test_a_fit_inside_a_fit_and_in_another_thread_is_left_alone(train, model, data):
    import keras

    inner, threaded = model(), model()

    class Probe(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            inner.fit(*data, epochs=1, verbose=0)

    with train() as run:
        model().fit(*data, epochs=2, callbacks=[Probe()])
        other = threading.Thread(target=lambda: threaded.fit(*data, epochs=1, verbose=0))
        other.start()
        other.join()
    assert len(run.runs) == 1
    assert len(threaded.history.history["loss"]) == 1


def test_failure_is_recorded_and_raised_as_itself(train, model, data):
    import keras

    class Breaks(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                message = "disk of the user is on fire"
                raise OSError(message)

    handle = train()
    with pytest.raises(OSError, match="on fire"), handle:
        model().fit(*data, epochs=4, callbacks=[Breaks()])
    assert handle.run.status == "failed"
    assert handle.run.reason == "OSError: disk of the user is on fire"
    assert handle.run.best is not None


def test_fit_that_never_begins_leaves_no_run(train, model, data, store):
    with pytest.raises(ValueError), train():  # noqa: PT011 - whatever Keras says
        model().fit(data[0], data[1][:5])
    assert store.paths() == []


def test_early_stopping_by_patience_restores_the_best(train, model, data):
    x, y = data
    with train(patience=2, lr=0.5, seed=1) as run:
        net = model()
        net.fit(x, y, validation_split=0.3, epochs=40)
    assert run.status == "early_stopped"
    assert run.record.stopping["patience"] == 2
    held = net.evaluate(x[112:], y[112:], verbose=0, return_dict=True)["loss"]
    assert held == pytest.approx(run.best.value, rel=1e-5)


def test_users_own_early_stopping_feeds_the_meter(train, model, data):
    import keras

    stop = keras.callbacks.EarlyStopping("accuracy", patience=1, min_delta=0.5, mode="max")
    with train() as run:
        model().fit(*data, epochs=9, callbacks=[stop])
    assert run.status == "early_stopped"
    assert run.record.stopping["monitor"] == "accuracy"
    assert run.record.begin.monitor == "accuracy"
    assert "accuracy has not improved for 1 epochs" in run.reason


def test_options_change_the_call(train, model, data):
    with train(epochs=2, batch_size=40, lr=0.25) as run:
        net = model()
        net.fit(*data, epochs=50, batch_size=10)
    assert run.epochs == 2
    assert run.record.epochs[0].steps == 4
    assert float(net.optimizer.learning_rate) == 0.25


def test_batch_size_of_a_dataset_is_refused_before_training(train, model, data):
    import tensorflow as tf

    net = model()
    before = net.get_weights()
    batches = tf.data.Dataset.from_tensor_slices(data).batch(8)
    with (
        pytest.raises(UserError, match="--batch-size 16 applies to array input"),
        train(batch_size=16),
    ):
        net.fit(batches, epochs=1)
    np.testing.assert_array_equal(before[0], net.get_weights()[0])


def test_unknown_monitor_names_the_known_and_gives_the_weights_back(train, model, data):
    net = model()
    before = net.get_weights()
    with (
        pytest.raises(UserError, match='Did you mean "val_accuracy"') as told,
        train(monitor="val_acuracy"),
    ):
        net.fit(*data, validation_split=0.2, epochs=2)
    assert "loss, accuracy, val_loss and val_accuracy" in str(told.value)
    np.testing.assert_array_equal(before[0], net.get_weights()[0])
    assert int(net.optimizer.iterations) == 0


def test_precision_of_a_model_from_before_is_refused(train, model, data):
    net = model()
    with (
        pytest.raises(UserError, match="was built before, with float32"),
        train(precision="mixed_bfloat16"),
    ):
        net.fit(*data)


def test_regularization_is_said_applied_and_taken_off(train, model, data, recorder):
    import keras

    def losses(**options):
        net = model("sgd")
        net.set_weights([np.full_like(w, 0.1) for w in net.get_weights()])
        with train(view=recorder(), **options) as run:
            net.fit(*data, epochs=1, batch_size=160)
        return net, run

    plain, plain_run = losses(seed=0)
    net, run = losses(l2=0.5, seed=0)
    penalty = 0.5 * sum(float((w.numpy() ** 2).sum()) for w in _kernels(model, plain))
    assert run.history["loss"][0] > plain_run.history["loss"][0] + 0.1
    assert penalty > 0
    assert all(v.regularizer is None for v in net.trainable_variables)
    notes = [n.text for n in run.record.notes]
    assert notes[0].startswith("L2 0.5 added to the kernels of dense")
    net, run = losses(dropout=0.5, seed=0)
    assert "already has dropout" not in run.record.notes[0].text
    assert all("call" not in vars(layer) for layer in net.layers)
    assert isinstance(net, keras.Sequential)


def _kernels(model, net):
    return [v for v in net.trainable_variables if v.name == "kernel"]


def test_reduce_lr_works_over_a_schedule(train, model, data):
    import keras

    schedule = keras.optimizers.schedules.ExponentialDecay(1e-9, 1000, 0.99)
    with train(reduce_lr=1, min_delta=1.0) as run:
        net = model(keras.optimizers.SGD(schedule))
        net.fit(*data, epochs=3)
    rates = [e.learning_rate for e in run.record.epochs]
    assert rates[1] < rates[0] * 0.2
    assert net.optimizer._learning_rate is schedule


def test_nan_is_told_with_batch_and_causes(train, model, data, recorder):
    x, y = data[0].copy(), data[1]
    x[40] = np.nan
    view = recorder()
    with train(view=view) as run:
        _sequential().fit(x, y, epochs=2, batch_size=16, shuffle=False)
    (event,) = view.of("NonFinite")
    assert (event.epoch, event.first <= 3 <= event.last) == (1, True)
    assert any("input holds NaN" in cause for cause in event.causes)
    assert run.record.non_finite == event


def test_weights_that_broke_behind_a_finite_loss_are_not_the_best(train, model, data):
    import keras

    class Breaks(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:  # relu(NaN) is 0 on some processors, and the loss looks fine
                kernel, *rest = self.model.get_weights()
                self.model.set_weights([kernel * np.nan, *rest])

    with train(restore_best=True) as run:
        net = model()
        net.fit(*data, epochs=4, callbacks=[Breaks()])
    assert np.isfinite(net.get_weights()[0]).all()
    assert any("weights hold NaN" in n.text for n in run.record.notes)


def test_batch_losses_are_not_averaged(train, data, recorder):
    import keras

    net = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    net.compile(keras.optimizers.SGD(0.0), "mse")
    net.set_weights([np.zeros((1, 1), "float32")])
    y = np.repeat(np.arange(8, dtype="float32"), 4)[:, None]
    seen = []

    class Slow(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            import time

            time.sleep(0.11)  # longer than a tick, so that every batch is read

    view = recorder(on_event=lambda e, c: seen.extend(getattr(e, "points", [])))
    with train(view=view):
        net.fit(np.ones_like(y), y, batch_size=4, shuffle=False, callbacks=[Slow()])
    assert [round(v, 4) for _, v in seen] == [float(n * n) for n in range(8)]


def test_monitor_may_come_with_a_later_validation(train, model, data):
    with train(monitor="val_loss") as run:
        model().fit(*data, validation_split=0.2, epochs=4, validation_freq=2)
    assert run.best.metric == "val_loss"
    assert run.best.epoch in (2, 4)


def test_a_callback_list_of_the_users_own_is_kept(train, model, data):
    import keras

    net = model()
    given = keras.callbacks.CallbackList([], add_history=True, model=net, epochs=2, steps=5)
    with train() as run:
        net.fit(*data, epochs=2, callbacks=given, verbose=0)
    assert run.epochs == 2


def test_live_rate_under_mixed_float16(train, model, data, recorder):
    import keras

    def look(event, control):
        if type(event).__name__ == "EpochEnd" and event.epoch == 1:
            control.request("learning_rate", 0.004)

    with train(precision="mixed_float16", view=recorder(on_event=look)) as run:
        net = model(keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.01, 1000)))
        net.fit(*data, epochs=3)
    assert type(net.optimizer).__name__ == "LossScaleOptimizer"
    assert run.record.epochs[-1].learning_rate == pytest.approx(0.004, rel=0.05)
