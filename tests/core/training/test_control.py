"""Stop, pause and steering, asked for while ``fit`` runs."""

from __future__ import annotations

import os
import signal
import threading
import time

import numpy as np
import pytest

from nb_optimizer.core.training.control import Control


def at_batch(count, act):
    """Return a callback that calls ``act`` when ``count`` batches have been trained."""
    import keras

    class AtBatch(keras.callbacks.Callback):
        done = 0

        def on_train_batch_end(self, batch, logs=None):
            self.done += 1
            if self.done == count:
                act()

    return AtBatch()


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.05)


def test_first_interrupt_stops_skips_validation_and_restores_the_best(train, model, data):
    import keras

    x, y = data
    tested = []
    watch = keras.callbacks.LambdaCallback(on_epoch_end=lambda e, logs: tested.append(sorted(logs)))
    before = signal.getsignal(signal.SIGINT)
    with train(seed=1, lr=0.5) as run:
        net = model()
        history = net.fit(
            x,
            y,
            validation_split=0.2,
            epochs=9,
            batch_size=16,
            callbacks=[at_batch(27, interrupt), watch],
        )
    assert signal.getsignal(signal.SIGINT) is before
    assert run.status == "stopped"
    assert run.reason == "the kernel was interrupted"
    assert run.epochs == 3
    assert {k: len(v) for k, v in history.history.items()} == {
        "loss": 3, "accuracy": 3, "val_loss": 3, "val_accuracy": 3,
    }  # fmt: skip
    assert run.record.partial_epoch.epoch == 4
    assert tested[-1] == ["accuracy", "loss"]
    held = net.evaluate(x[128:], y[128:], verbose=0, return_dict=True)["loss"]
    assert held == pytest.approx(run.best.value, rel=1e-5)


def test_interrupt_within_validation_cuts_it(train, model, data):
    import keras

    x, y = data
    count = []

    class InValidation(keras.callbacks.Callback):
        def on_test_batch_end(self, batch, logs=None):
            count.append(batch)
            time.sleep(0.06)
            if len(count) == 12:
                interrupt()

    with train() as run:
        model().fit(
            x,
            y,
            validation_data=(x, y),
            validation_batch_size=16,
            epochs=9,
            callbacks=[InValidation()],
        )
    assert run.status == "stopped"
    assert run.epochs == 1
    assert len(count) < 17
    assert run.record.partial_epoch.epoch == 2
    assert "val_loss" not in run.record.partial_epoch.values


def test_second_interrupt_is_a_real_one(train, model, data):
    def twice():
        interrupt()
        interrupt()

    handle = train()
    with pytest.raises(KeyboardInterrupt), handle:
        model().fit(*data, epochs=9, callbacks=[at_batch(8, twice)])
    assert handle.run.status == "stopped"
    assert handle.run.reason == "the kernel was interrupted twice"


def test_pause_holds_training_and_resume_goes_on(train, model, data, recorder):
    held = []

    def pump(control):
        if control.pause.is_set():
            held.append(time.perf_counter())
            if len(held) > 5:
                control.request("resume")
        elif not held:
            control.request("pause")

    view = recorder(on_pump=pump)
    with train(view=view) as run:
        model().fit(*data, epochs=2)
    assert run.status == "completed"
    assert [i.action for i in run.interventions] == ["pause", "resume"]
    assert held[-1] - held[0] > 0.15
    assert "paused" in [e.phase for e in view.of("Progress")]


def steer(recorder, *wishes, epoch=2):
    """Return a view that asks for ``wishes`` when ``epoch`` ends."""

    def look(event, control):
        if type(event).__name__ == "EpochEnd" and event.epoch == epoch:
            for action, value in wishes:
                assert control.request(action, value) == ""

    return recorder(on_event=look)


def test_live_learning_rate(train, model, data, recorder):
    with train(view=steer(recorder, ("learning_rate", 0.125))) as run:
        net = model()
        net.fit(*data, epochs=4)
    assert [e.learning_rate for e in run.record.epochs][-1] == 0.125
    (deed,) = run.interventions
    assert (deed.action, deed.value) == ("learning_rate", 0.125)
    assert "learning_rate = value" in run.to_code()


def test_live_learning_rate_scales_a_schedule_and_hands_it_back(train, model, data, recorder):
    import keras

    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    net = model(keras.optimizers.SGD(schedule))
    frozen = []
    keep = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda e, logs: frozen.append(net.get_weights()[0])
    )
    with train(view=steer(recorder, ("learning_rate", 1e-30))) as run:
        net.fit(*data, epochs=5, callbacks=[keep])
    rates = [e.learning_rate for e in run.record.epochs]
    assert rates[1] == pytest.approx(0.1 * 0.5 ** (10 / 10), rel=1e-5)
    assert max(rates[3:]) < 1e-29
    np.testing.assert_array_equal(frozen[4], net.get_weights()[0])  # the step saw it too
    assert net.optimizer._learning_rate is schedule
    net.fit(*data, epochs=1, verbose=0)  # the next plain fit is the user's own again
    assert np.abs(frozen[4] - net.get_weights()[0]).max() > 0


def test_more_epochs_equal_a_longer_run(train, model, data, recorder):
    with train(seed=3) as longer:
        a = model()
        longer_history = a.fit(*data, epochs=6)
    with train(seed=3, view=steer(recorder, ("more_epochs", 4), epoch=1)) as run:
        b = model()
        history = b.fit(*data, epochs=2)
    assert (run.status, run.epochs, longer.epochs) == ("completed", 6, 6)
    assert history.history == longer_history.history
    np.testing.assert_array_equal(a.get_weights()[0], b.get_weights()[0])


def test_back_to_best_restores_weights_and_keeps_the_rate(train, model, data, recorder):
    x, y = data
    view = recorder()
    kept = {}

    def look(event, control):
        if type(event).__name__ == "EpochEnd":
            kept[event.epoch] = net.get_weights()[0]
            if event.epoch == 4:
                control.request("learning_rate", 1e-30)
                control.request("back_to_best")

    view._on_event = look
    with train(view=view, seed=1, lr=0.9) as run:
        net = model("sgd")
        net.fit(x, y, epochs=6, validation_split=0.3)
    deed = next(i for i in run.interventions if i.action == "back_to_best")
    np.testing.assert_array_equal(net.get_weights()[0], kept[int(deed.value)])


def test_stop_request_on_disk_is_seen(train, model, data, recorder):
    view = recorder()

    def look(event, control):
        if type(event).__name__ == "EpochEnd" and event.epoch == 1:
            (handle.store.paths()[-1] / "stop").touch()

    view._on_event = look
    handle = train(view=view)
    with handle as run:
        model().fit(*data, epochs=2000)
    assert run.status == "stopped"
    assert "another kernel" in run.reason
    assert not (run.path / "stop").exists()


def test_handlers_may_run_in_any_thread(train, model, data, recorder):
    view = recorder()
    with train(view=view) as run:
        net = model()
        threading.Timer(0.6, lambda: view.control.request("stop")).start()
        net.fit(*data, epochs=5000)
    assert run.status == "stopped"


@pytest.mark.parametrize(
    ("action", "value", "word"),
    [
        ("learning_rate", "fast", "a number is needed"),
        ("learning_rate", -1, "above 0"),
        ("learning_rate", float("nan"), "above 0"),
        ("more_epochs", 2.5, "whole number"),
        ("format_disk", None, "unknown action"),
        ("learning_rate", None, "a number is needed"),
    ],
)
def test_wishes_from_the_browser_are_checked(action, value, word):
    control = Control()
    assert word in control.request(action, value)
    assert control.take() == []


def test_a_broken_view_never_stops_training(train, model, data, recorder):
    def look(event, control):
        message = "the picture fell off the wall"
        raise RuntimeError(message)

    handle = train(view=recorder(on_event=look))
    with handle as run:
        model().fit(*data, epochs=2)
    assert run.status == "completed"
    assert handle.guard.problems == ["RuntimeError: the picture fell off the wall"]
