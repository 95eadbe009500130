"""When states are copied and written, told by a clock of the test's own."""

from __future__ import annotations

import numpy as np

from nb_optimizer.core.training import state
from nb_optimizer.core.training.keeper import BEST, LATEST, Keeper


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def snapshot(epoch):
    return state.Snapshot(epoch, [np.full(3, epoch, "float32")], [], [], ["w"], rest={})


def keeper(tmp_path, interval=30.0):
    clock, told = Clock(), []
    made = Keeper(
        tmp_path,
        interval,
        saved=lambda *what: told.append(what[:2]),
        fault=told.append,
        clock=clock,
    )
    return made, clock, told


def test_latest_waits_for_its_interval_and_is_written_at_the_end(tmp_path):
    made, clock, told = keeper(tmp_path)
    made.take(lambda: snapshot(1), is_best=False)
    assert told == [] and not list(tmp_path.iterdir())
    clock.now = 31.0
    made.take(lambda: snapshot(2), is_best=False)
    clock.now = 32.0
    made.take(lambda: snapshot(3), is_best=False)
    made.close()
    assert told == [(LATEST, 2), (LATEST, 3)]
    assert state.load(tmp_path / LATEST).epoch == 3


def test_a_best_that_had_to_wait_is_written_without_a_new_one(tmp_path):
    made, clock, told = keeper(tmp_path)
    made._due[BEST] = 5.0  # as after a write that took long
    made.take(lambda: snapshot(1), is_best=True)
    assert made.best.epoch == 1
    clock.now = 6.0
    made.write_due()
    made.close()
    assert told[0] == (BEST, 1)


def test_broken_weights_replace_nothing(tmp_path):
    made, _, _ = keeper(tmp_path)
    made.take(lambda: snapshot(1), is_best=True)
    assert not made.take(lambda: snapshot(np.nan), is_best=True)
    assert (made.best.epoch, made.latest.epoch) == (1, 1)
    made.close()


def test_without_a_directory_the_best_is_kept_in_memory():
    made = Keeper(None, 30.0, saved=lambda *_: None, fault=lambda _: None)
    made.take(lambda: snapshot(4), is_best=True)
    assert made.close()
    assert made.best.epoch == 4


def test_one_state_under_two_names_is_one_file_until_a_newer_one_comes(tmp_path):
    made, clock, _ = keeper(tmp_path)
    made.take(lambda: snapshot(1), is_best=True)
    made.close()
    assert (tmp_path / BEST).samefile(tmp_path / LATEST)
    assert not list(tmp_path.glob("*.part"))

    made, clock, _ = keeper(tmp_path)
    made.take(lambda: snapshot(2), is_best=True)
    clock.now = 40.0
    made.take(lambda: snapshot(3), is_best=False)
    made.close()
    assert state.load(tmp_path / BEST).epoch == 2
    assert state.load(tmp_path / LATEST).epoch == 3


def test_without_links_both_files_are_written(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError

    monkeypatch.setattr("os.link", refuse)
    made, _, told = keeper(tmp_path)
    made.take(lambda: snapshot(1), is_best=True)
    made.close()
    assert told == [(BEST, 1), (LATEST, 1)]
    assert not (tmp_path / BEST).samefile(tmp_path / LATEST)
    assert state.load(tmp_path / LATEST).epoch == 1
