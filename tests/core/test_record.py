"""The record: best, ETA, thinning, resumes."""

from __future__ import annotations

import math

import pytest

from nb_optimizer.core import events as ev
from nb_optimizer.core.record import MAX_BATCH_POINTS, RunRecord


def begin(**more):
    return ev.RunBegin(0.0, "train-1", monitor="val_loss", epochs=10, steps=100, **more)


def epoch(number, value, seconds=2.0, validation=0.5, **more):
    values = {"loss": value / 2, "val_loss": value}
    return ev.EpochEnd(float(number), number, values, 0.001, 100, seconds, validation, **more)


def test_best_ignores_nan_and_follows_the_direction():
    values = [3.0, math.nan, 1.0, 2.0]
    stream = [begin(), *(epoch(n, v) for n, v in enumerate(values, 1))]
    assert RunRecord.of(stream).best.epoch == 3
    stream[0] = begin(direction="max")
    assert RunRecord.of(stream).best.epoch == 1
    assert RunRecord.of(stream).epochs_since_best == 3


def test_partial_epochs_are_in_no_history():
    record = RunRecord.of([begin(), epoch(1, 2.0), epoch(2, 1.0, partial=True)])
    assert record.history == {"loss": [1.0], "val_loss": [2.0]}
    assert record.partial_epoch.epoch == 2
    assert record.best.epoch == 1


def test_eta_counts_validation_and_all_epochs_left():
    record = RunRecord.of([begin(validates=True), epoch(1, 3.0, seconds=9.0), epoch(2, 2.0)])
    record.apply(ev.Progress(3.0, 3, 40, batches_per_second=50.0))
    # 60 batches at 50 a second, this epoch's validation, 7 epochs of 2 s.
    assert record.eta_seconds == pytest.approx(60 / 50 + 0.5 + 7 * 2.0)
    record.apply(ev.RunEnd(4.0, "stopped"))
    assert record.eta_seconds is None


def test_more_epochs_move_the_plan():
    record = RunRecord.of([begin(), ev.Intervention(1.0, "epochs", 3, 5, 15.0)])
    assert record.planned_epochs == 15


def test_batch_losses_stay_bounded_and_restart_with_the_epoch():
    record = RunRecord.of([begin()])
    for step in range(100_000):
        record.apply(ev.Progress(step * 0.01, 1, step, points=[[float(step), 1.0]]))
    assert len(record.batch_losses) <= MAX_BATCH_POINTS
    assert {loss for _, loss in record.batch_losses} == {1.0}
    record.apply(ev.Progress(1e4, 2, 1, points=[[1.0, 0.5]]))
    assert record.batch_losses == [(1.0, 0.5)]


def test_resumed_run_forgets_what_was_not_saved():
    stream = [begin(), epoch(1, 3.0), epoch(2, 2.0), epoch(3, 1.0)]
    record = RunRecord.of([*stream, ev.Resumed(9.0, 2, 12)])
    assert [e.epoch for e in record.epochs] == [1, 2]
    assert (record.best.epoch, record.planned_epochs, record.status) == (2, 12, "running")
    assert record.resumed_after == [2]


def test_learning_rate_is_the_latest_word():
    stream = [begin(), epoch(1, 3.0)]
    assert RunRecord.of(stream).learning_rate == 0.001
    stream.append(ev.Intervention(5.0, "learning_rate", 2, 3, 0.01))
    assert RunRecord.of(stream).learning_rate == 0.01
