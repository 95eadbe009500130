"""What the live panel shows: status, charts, early stopping; and curves of any length."""

from __future__ import annotations

import json
import math
import random
import struct
from typing import Any

import pytest
from panel_bench import BEGIN, Bench, epoch_end, progress

from nb_optimizer.core import events as ev
from nb_optimizer.core.record import RunRecord
from nb_optimizer.views.curves import CHARTS, LIMIT, Curve, pack

PUSH_BYTES = 64 * 1024


def test_the_status_for_the_extension(bench: Bench):
    bench.emit(BEGIN)
    bench.emit(progress(3, 50))
    bench.clock.now += 1
    bench.view.pump()
    status = bench.board._status
    assert status == {
        "nbopt": 1,
        "run": "r1",
        "state": "running",
        "epoch": 3,
        "epochs": 50,
        "text": status["text"],
    }
    assert status["text"].startswith("epoch 3/50")
    assert len(json.dumps(status)) < 300


def test_series_and_layout_fit_together(bench: Bench):
    bench.record.ghost = RunRecord.of([BEGIN, *(epoch_end(n) for n in range(1, 6))])
    bench.emit(BEGIN)
    for epoch in range(1, 4):
        bench.emit(epoch_end(epoch))
    bench.clock.now += 1
    bench.view.pump()
    (chart,) = bench.board._meta["charts"]
    assert chart["curves"] == [("training", 3), ("validation", 3), ("previous", 5)]
    numbers = struct.unpack("<22f", bench.board._series)
    assert numbers[:4] == pytest.approx((1, 1.0, 2, 0.5))
    assert numbers[6:8] == pytest.approx((1, 1.1))
    assert chart["ring"] == [3, pytest.approx(1 / 3 + 0.1)]
    assert "validation 0.4333" in chart["now"]


def test_more_than_four_metrics_are_counted(bench: Bench):
    bench.emit(BEGIN)
    bench.emit(epoch_end(1, metrics=7))
    bench.clock.now += 1
    bench.view.pump()
    assert len(bench.board._meta["charts"]) == 4
    assert bench.board._meta["more"].startswith("3 more metrics")


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"wait": 2, "best": 0.1234, "min_delta": 0.001}, "2 of 5 epochs without improvement"),
        ({"wait": 2, "best": 0.1234, "min_delta": 0.001}, "Best val_loss 0.1234 at epoch 7."),
        ({"wait": 2, "best": 0.1234, "min_delta": 0.001}, "is a drop of more than 0.001."),
        ({"wait": 0, "best": 0.9, "min_delta": 0, "direction": "max"}, "is any rise."),
        ({"wait": 0, "best": math.inf}, "0 of 5 epochs without improvement. An"),
        ({"first_epoch": 12}, "watches val_loss from epoch 12 on"),
    ],
)
def test_the_early_stopping_meter(bench: Bench, state: dict[str, Any], words: str):
    base = {"monitor": "val_loss", "patience": 5, "direction": "min"}
    bench.emit(BEGIN)
    bench.emit(epoch_end(9, stopping=base | state))
    bench.clock.now += 1
    bench.view.pump()
    meter = bench.board._meta["meter"]
    assert words in meter["text"]
    assert (meter["used"], meter["of"], meter["blocks"]) == (state.get("wait", 0), 5, True)


def test_a_resumed_run_starts_its_curves_again(bench: Bench):
    bench.emit(BEGIN)
    for epoch in range(1, 6):
        bench.emit(epoch_end(epoch))
    bench.emit(ev.Resumed(9.0, 2, 50))
    assert bench.board._meta["charts"][0]["curves"] == [("training", 2), ("validation", 2)]


def test_every_state_of_a_run_can_be_shown(bench: Bench):
    for phase in ("compiling", "training", "validating", "paused", "other"):
        bench.record.apply(progress(1, 1, phase=phase))
        where = bench.view._picture.now("running", "", "")["where"]
        assert phase in where
    for status in ("completed", "early_stopped", "stopped", "failed", "interrupted"):
        bench.emit(ev.RunEnd(2.0, status))
        assert bench.board._now["state"] == status
        assert "Time left" not in dict(bench.board._now["facts"])


# ---- curves


@pytest.mark.parametrize("length", [0, 1, 2, 149, 150, 299, 300, 301, 4567])
def test_a_curve_is_bounded_and_keeps_its_peaks_and_its_end(length: int):
    dice = random.Random(length)  # noqa: S311
    points = [(float(x), dice.random()) for x in range(length)]
    kept = Curve(points).points()
    assert len(kept) <= LIMIT
    assert kept == sorted(set(kept))
    assert set(kept) <= set(points)
    if points:
        assert kept[-1] == points[-1]
        for pick in (min, max):
            assert pick(points, key=lambda p: p[1]) in kept


def test_a_curve_survives_nan_and_infinity():
    values = [math.nan, 1.0, math.inf, -math.inf, 2.0, math.nan] * 500
    curve = Curve((float(x), y) for x, y in enumerate(values))
    assert len(curve.points()) <= LIMIT
    assert len(pack([curve.points()])) == 8 * len(curve.points())
    assert math.isnan(curve.points()[-1][1])
    assert pack([[(1.0, 1e300)]])[4:] == struct.pack("<f", math.inf)


def test_limits_hold_together():
    assert CHARTS * 3 * LIMIT * 8 < PUSH_BYTES
