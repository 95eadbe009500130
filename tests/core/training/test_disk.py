"""A disk that is full or slow costs the record, never the training."""

from __future__ import annotations

import os
import threading
import time

import numpy as np
import pytest

from nb_optimizer.core.journal import FILE
from nb_optimizer.core.training import state


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")  # noqa: PTH110
@pytest.mark.parametrize("file", [FILE, "best.part"])
def test_full_disk_is_said_and_training_goes_on(train, model, data, store, monkeypatch, file):
    create = store.create

    def on_a_full_disk():
        path = create()
        (path / file).symlink_to("/dev/full")
        return path

    monkeypatch.setattr(store, "create", on_a_full_disk)
    with train(restore_best=True) as run:
        net = model()
        net.fit(*data, epochs=4)
        history = net.fit(*data, epochs=2)
    assert run.runs[0].status == "completed"
    (note,) = [n for n in run.runs[0].record.notes if n.level == "warning"]
    assert "can no longer be written" in note.text
    assert "No space left on device" in note.text
    assert len(history.history["loss"]) == 2


def test_slow_disk_does_not_slow_training(train, model, data, monkeypatch):
    save, writers, epochs = state.save, set(), []

    def slowly(snapshot, path):
        writers.add(threading.current_thread())
        epochs.append(len(run.record.epochs) if run.runs else 0)
        time.sleep(0.7)
        save(snapshot, path)

    monkeypatch.setattr(state, "save", slowly)
    with train() as run:
        model().fit(*data, epochs=6)
    assert writers and threading.main_thread() not in writers
    assert epochs[0] < 6  # training went on while the first state was being written
    assert (run.path / "best.npz").is_file()


def test_state_file_keeps_every_bit(tmp_path, model, data):
    import keras

    from nb_optimizer.core.training.framework import of

    net = model()
    net.fit(*data, epochs=1, verbose=0)
    subject = state.Subject(of(net), net)
    stopping = keras.callbacks.EarlyStopping()
    stopping.best_weights, stopping.odd = net.get_weights(), (1, [2.5, None], {"a": np.float32(3)})
    snapshot = state.take(subject, 1)
    state.take_rest(snapshot, [stopping])
    state.save(snapshot, tmp_path / "state.npz")
    before, draws = net.get_weights(), np.random.rand(3)  # noqa: NPY002
    net.fit(*data, epochs=1, verbose=0)
    np.testing.assert_raises(
        AssertionError, np.testing.assert_array_equal, before[0], net.get_weights()[0]
    )
    loaded = state.load(tmp_path / "state.npz")
    fresh = keras.callbacks.EarlyStopping()
    state.put(subject, loaded)
    assert state.put_rest(loaded, [fresh]) == []
    np.testing.assert_array_equal(before[0], net.get_weights()[0])
    np.testing.assert_array_equal(fresh.best_weights[0], before[0])
    assert fresh.odd == stopping.odd
    np.testing.assert_array_equal(np.random.rand(3), draws)  # noqa: NPY002


def test_interrupted_write_leaves_the_old_file(tmp_path, model, data, monkeypatch):
    from nb_optimizer.core.training.framework import of

    net = model()
    net.fit(*data, epochs=1, verbose=0)
    snapshot = state.take(state.Subject(of(net), net), 1)
    state.save(snapshot, tmp_path / "state.npz")

    def breaks(*_args, **_kwargs):
        message = "pulled the plug"
        raise OSError(message)

    monkeypatch.setattr(np, "savez", breaks)
    with pytest.raises(OSError, match="plug"):
        state.save(snapshot, tmp_path / "state.npz")
    assert state.load(tmp_path / "state.npz").epoch == 1
    assert [p.name for p in tmp_path.iterdir()] == ["state.npz"]
