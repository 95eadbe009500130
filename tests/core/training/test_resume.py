"""A run that was cut goes on to the very weights of an unbroken one."""

from __future__ import annotations

import numpy as np
import pytest

from nb_optimizer.core.errors import UserError
from nb_optimizer.core.journal import FILE
from nb_optimizer.core.store import read_record
from nb_optimizer.core.training.keeper import BEST, LATEST


def arrays(x, y):
    return {"x": x, "y": y, "batch_size": 16}


def arrays_in_steps(x, y):
    return {"x": x, "y": y, "batch_size": 16, "steps_per_epoch": 7}


def dataset(x, y):
    import tensorflow as tf

    pairs = tf.data.Dataset.from_tensor_slices((x, y))
    return {"x": pairs.shuffle(160, seed=3).batch(16)}


def generator(x, y):
    def batches():
        rng = np.random.default_rng(5)
        while True:
            rows = rng.integers(0, len(x), 16)
            yield x[rows], y[rows]

    return {"x": batches(), "steps_per_epoch": 8}


def py_dataset(x, y):
    import keras

    class Shuffled(keras.utils.PyDataset):
        def __init__(self):
            super().__init__()
            self.order = np.arange(len(x))

        def __len__(self):
            return 10

        def __getitem__(self, index):
            rows = self.order[index * 16 : (index + 1) * 16]
            return x[rows], y[rows]

        def on_epoch_end(self):
            np.random.shuffle(self.order)  # noqa: NPY002 - what users write

    return {"x": Shuffled()}


INPUTS = [arrays, arrays_in_steps, dataset, generator, py_dataset]


class StopAt:
    """Asks for a stop when an epoch ends, as a person at the panel would."""

    def __init__(self, recorder, epoch):
        def look(event, control):
            if type(event).__name__ == "EpochEnd" and event.epoch == epoch:
                control.request("stop")

        self.view = recorder(on_event=look)


@pytest.mark.parametrize("make_input", INPUTS)
def test_resumed_weights_are_bit_equal(make_input, train, model, data, recorder):
    import keras

    def one(view=None, **options):
        with train(seed=7, view=view, source=make_input.__name__ + str(id(data)), **options) as run:
            schedule = keras.optimizers.schedules.CosineDecay(0.01, 60)
            net = model(keras.optimizers.Adam(schedule))
            stopper = keras.callbacks.EarlyStopping("loss", patience=4)
            history = net.fit(**make_input(*data), epochs=6, callbacks=[stopper])
        return net, history, run, stopper

    whole, whole_history, _, whole_stopper = one()
    _, cut_history, cut, _ = one(StopAt(recorder, 3).view, restore_best=False)
    assert cut.status == "stopped"
    assert len(cut_history.history["loss"]) == 3
    resumed, history, run, stopper = one(resume=True)
    assert run.path == cut.path
    assert run.status == "completed"
    assert history.history == whole_history.history
    assert history.epoch == whole_history.epoch
    assert (stopper.best, stopper.wait) == (whole_stopper.best, whole_stopper.wait)
    for a, b in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(whole.optimizer.variables, resumed.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_several_fits_resume_each_from_its_own_place(train, model, data, recorder):
    x, y = data

    def cell(view=None, **options):
        with train(seed=1, view=view, **options) as run:
            first, second = model(), model()
            a = first.fit(x, y, epochs=2)
            b = second.fit(x, y, epochs=4)
        return run, first, a, b

    view = recorder()

    def stop_second(event, control):
        if type(event).__name__ == "EpochEnd" and view.record.begin.epochs == 4:
            control.request("stop")

    view._on_event = stop_second
    run, first, a, _ = cell(view)
    assert [r.status for r in run.runs] == ["completed", "stopped"]
    again, first_again, a_again, b_again = cell(resume=True)
    assert [r.status for r in again.runs] == ["completed", "completed"]
    assert a_again.history == a.history
    assert len(b_again.history["loss"]) == 4
    np.testing.assert_array_equal(first.get_weights()[0], first_again.get_weights()[0])


def test_dead_run_without_checkpoint_starts_again(train, model, data, store):
    x, y = data
    with train() as run:
        model().fit(x, y, epochs=2)
    for name in (BEST, LATEST):
        (run.path / name).unlink()
    lines = (run.path / FILE).read_text().splitlines(keepends=True)
    (run.path / FILE).write_text("".join(lines[:-1]))  # no RunEnd: as after SIGKILL
    assert read_record(run.path).status == "interrupted"
    with train(resume=True) as again:
        model().fit(x, y, epochs=2)
    assert again.status == "completed"
    assert again.epochs == 2


def test_nothing_to_resume_is_said(train, model, data, recorder):
    view = recorder()
    with train(resume=True, view=view) as run:
        model().fit(*data, epochs=1)
    assert run.status == "completed"
    assert "nothing to resume" in view.of("Note")[0].text


def test_changed_model_is_refused_and_left_untouched(train, model, data):
    import keras

    with train():
        model().fit(*data, epochs=1)
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, activation="softmax")])
    other.compile("adam", "sparse_categorical_crossentropy")
    before = other.get_weights()
    with pytest.raises(UserError, match=r"saved run has"), train(resume=True):
        other.fit(*data, epochs=3)
    np.testing.assert_array_equal(before[0], other.get_weights()[0])


def test_damaged_checkpoint_is_one_line(train, model, data):
    with train() as run:
        model().fit(*data, epochs=1)
    (run.path / LATEST).write_bytes(b"not a checkpoint")
    with pytest.raises(UserError, match="cannot be read"), train(resume=True):
        model().fit(*data, epochs=2)


def test_finished_run_has_nothing_left_but_more_epochs_go_on(train, model, data):
    x, y = data
    with train(seed=2) as run:
        model().fit(x, y, epochs=2)
    with train(seed=2, resume=True) as same:
        history = model().fit(x, y, epochs=2)
    assert (same.status, len(history.history["loss"])) == ("completed", 2)
    with train(seed=2, resume=True) as more:
        history = model().fit(x, y, epochs=5)
    assert (more.path, more.epochs, len(history.history["loss"])) == (run.path, 5, 5)
