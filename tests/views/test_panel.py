"""The live panel without a browser: what it sends, when, and what its controls do."""

from __future__ import annotations

import json
import math
import random
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import comm
import ipywidgets
import pytest

from nb_optimizer.core import events as ev
from nb_optimizer.core.record import RunRecord
from nb_optimizer.core.training.control import Control
from nb_optimizer.views import panel, panel_state
from nb_optimizer.views.curves import LIMIT, Curve, pack
from nb_optimizer.views.panel import PanelView
from nb_optimizer.views.pump import Pump

KILOBYTES = 1024
PUSH_BYTES = 64 * KILOBYTES
BEGIN = ev.RunBegin(
    time=0.0,
    run="r1",
    model="mlp",
    epochs=50,
    steps=100,
    batch_size=32,
    validates=True,
    monitor="val_loss",
)


@dataclass
class Wire:
    """Every message that widgets sent, as its size, and the state in it."""

    sizes: list[int] = field(default_factory=list)
    states: list[dict[str, Any]] = field(default_factory=list)


class Captured(comm.base_comm.BaseComm):
    """A comm that only writes down what is sent through it."""

    wire: Wire

    def publish_msg(self, msg_type, data=None, metadata=None, buffers=None, **keys):
        if msg_type != "comm_msg":
            return
        size = len(json.dumps(data)) + sum(memoryview(b).nbytes for b in buffers or ())
        self.wire.sizes.append(size)
        self.wire.states.append((data or {}).get("state", {}))


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    found = Wire()

    def create(**arguments):
        made = Captured(**arguments)
        made.wire = found
        return made

    monkeypatch.setattr(comm, "create_comm", create)
    return found


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """A record, a control and a panel on them."""

    def __init__(self) -> None:
        self.clock, self.record, self.control = Clock(), RunRecord(), Control()
        self.view = PanelView(self.record, self.control, clock=self.clock)

    def emit(self, event: ev.Event) -> None:
        self.record.apply(event)
        self.view.show(event, self.record)

    @property
    def board(self) -> panel.Board:
        return self.view._board


@pytest.fixture
def bench(wire: Wire) -> Iterator[Bench]:
    made = Bench()
    yield made
    made.view.close(made.record)


def progress(epoch: int, step: int, at: float = 1.0, **more: Any) -> ev.Progress:
    return ev.Progress(at, epoch, step, points=[[step, 1.0 / step]], **more)


def epoch_end(epoch: int, *, metrics: int = 1, **more: Any) -> ev.EpochEnd:
    names = ["loss", *(f"metric_{n}" for n in range(1, metrics))]
    values = {name: 1.0 / epoch + n for n, name in enumerate(names)}
    values |= {f"val_{name}": value + 0.1 for name, value in values.items()}
    return ev.EpochEnd(float(epoch), epoch, values, 0.001, 100, 1.0, 0.2, **more)


# ---- bounded and cheap


def test_a_very_long_run_stays_small_and_cheap(wire: Wire, record_property):
    bench = Bench()
    bench.record.ghost = RunRecord.of([BEGIN, *(epoch_end(n, metrics=6) for n in range(1, 3000))])
    epochs, batches, spent, pushes = 10_000, 10, 0.0, 0
    bench.emit(BEGIN)
    wire.sizes.clear()
    for epoch in range(1, epochs + 1):
        for batch in range(1, batches + 1):
            bench.record.apply(progress(epoch, batch * 10, batches_per_second=90.0))
        event = epoch_end(epoch, metrics=6)
        bench.record.apply(event)
        if epoch % 100 == 0:
            bench.record.apply(ev.Intervention(1.0, "learning_rate", epoch, 3, 0.1))
            bench.record.apply(ev.Note(1.0, "x" * 5000))
        bench.clock.now += 0.01  # forty epochs between two pushes
        before, began = len(wire.sizes), time.process_time()
        bench.view.show(event, bench.record)
        if len(wire.sizes) > before:
            pushes += 1
            spent += time.process_time() - began
    bench.view.close(bench.record)
    # 100 s of the fake clock: one push every 0.4 s, and each writes the board once.
    assert 240 <= pushes <= 252
    assert max(wire.sizes) < PUSH_BYTES
    assert spent / pushes < 0.005, f"{1000 * spent / pushes:.2f} ms per push"
    record_property("milliseconds per push", 1000 * spent / pushes)
    record_property("bytes per message, at most", max(wire.sizes))


def test_a_push_of_an_ordinary_run_costs_less_than_two_milliseconds(wire: Wire, record_property):
    bench = Bench()
    bench.emit(BEGIN)
    for epoch in range(1, 51):
        bench.emit(epoch_end(epoch, metrics=2))
    for step in range(1, 600):
        bench.record.apply(progress(51, step, batches_per_second=90.0))
    costs = []
    for n in range(60):
        event = progress(51, 600 + n, batches_per_second=90.0 + n)
        bench.record.apply(event)
        bench.clock.now += 1.0
        began = time.process_time()
        bench.view.show(event, bench.record)
        costs.append(time.process_time() - began)
    bench.view.close(bench.record)
    middle = sorted(costs)[len(costs) // 2]
    assert middle < 0.002, f"{1000 * middle:.2f} ms"
    record_property("milliseconds per push", 1000 * middle)


def test_an_event_between_two_pushes_sends_nothing(bench: Bench, wire: Wire):
    bench.emit(BEGIN)
    bench.clock.now += 1
    bench.emit(progress(1, 1))
    sent = len(wire.sizes)
    for step in range(2, 1000):
        bench.emit(progress(1, step))
        bench.view.pump()
    assert len(wire.sizes) == sent


# ---- when it pushes


def test_pushes_are_throttled_by_the_clock(bench: Bench):
    bench.emit(BEGIN)
    bench.clock.now += 1
    bench.emit(progress(1, 10))
    bench.clock.now += 0.1
    bench.emit(progress(1, 20))
    assert "batch 10 of" in bench.board._now["where"]
    bench.clock.now += 0.4
    bench.emit(progress(1, 30))
    assert "batch 30 of" in bench.board._now["where"]


def test_what_had_to_wait_is_shown_by_the_next_pump(bench: Bench):
    bench.emit(BEGIN)
    bench.clock.now += 1
    bench.emit(progress(1, 10))
    bench.emit(epoch_end(1))
    assert not bench.board._meta["charts"]
    bench.view.pump()
    assert not bench.board._meta["charts"]
    bench.clock.now += 0.5
    bench.view.pump()
    assert bench.board._meta["charts"][0]["name"] == "loss"


@pytest.mark.parametrize(
    "event",
    [
        ev.Note(1.0, "look here"),
        ev.NonFinite(1.0, 1, 3, 5, math.nan, ["too fast"]),
        ev.Intervention(1.0, "pause", 1, 3),
        ev.RunEnd(1.0, "completed", seconds=3.0),
    ],
)
def test_what_matters_is_pushed_at_once(bench: Bench, wire: Wire, event: ev.Event):
    bench.emit(BEGIN)
    bench.emit(progress(1, 3))
    sent = len(wire.sizes)
    bench.emit(event)
    assert len(wire.sizes) > sent


def test_a_slow_front_end_side_lengthens_the_interval(bench: Bench, monkeypatch):
    bench.emit(BEGIN)

    def slow(_picture: Any) -> None:
        bench.clock.now += 0.1

    monkeypatch.setattr(bench.view, "_write", slow)
    bench.clock.now += 1
    bench.emit(progress(1, 1))
    assert bench.view._due - bench.clock.now > 4


# ---- controls


def test_buttons_only_set_flags(bench: Bench):
    view, control = bench.view, bench.control
    view._more.click()
    view._best.click()
    view._pause.click()
    assert control.pause.is_set()
    assert [(c.action, c.value) for c in control.take()] == [
        ("more_epochs", 5.0),
        ("back_to_best", None),
    ]
    view._pause.click()
    assert not control.pause.is_set()
    view._stop.click()
    assert control.stop.is_set()
    assert view._stop.description == "Stop", "the thread of the handler writes no trait"


def test_the_next_pump_shows_that_it_is_stopping(bench: Bench):
    bench.emit(BEGIN)
    bench.view._stop.click()
    bench.view.pump()
    assert bench.view._stop.description == "Stopping\u2026"
    assert bench.view._stop.disabled
    assert bench.board._status["state"] == "stopping"
    assert bench.board._now["word"] == "Stopping\u2026"


def test_pause_becomes_resume(bench: Bench):
    bench.emit(BEGIN)
    bench.view._pause.click()
    bench.view.pump()
    assert bench.view._pause.description == "Resume"
    bench.view._pause.click()
    bench.view.pump()
    assert bench.view._pause.description == "Pause"


@pytest.mark.parametrize("typed", ["", "fast", "-1", "nan", "<b>1</b>", "0"])
def test_a_bad_learning_rate_is_refused_with_a_word(bench: Bench, typed: str):
    bench.view._rate.value = typed
    bench.view._set_rate.click()
    bench.view.pump()
    assert bench.control.take() == []
    assert bench.board._now["answer"].startswith("Not done: a number ")


def test_a_good_learning_rate_arrives_by_button_and_by_enter(bench: Bench):
    bench.view._rate.value = " 3e-4 "
    bench.view._set_rate.click()
    bench.view._rate._handle_custom_msg({"event": "submit"}, [])
    bench.view._rate.value = "0.01"
    bench.clock.now += 10
    bench.view._rate.value = "0.02"  # typed, neither Enter nor the button
    assert [c.value for c in bench.control.take()] == [0.0003, 0.01]


def test_a_handler_in_another_thread_writes_no_trait(bench: Bench, wire: Wire):
    bench.emit(BEGIN)
    sent = len(wire.sizes)
    thread = threading.Thread(target=bench.view._stop.click)
    thread.start()
    thread.join()
    assert len(wire.sizes) == sent
    assert bench.control.stop.is_set()


def test_controls_are_off_after_the_end(bench: Bench):
    bench.emit(BEGIN)
    bench.emit(ev.RunEnd(1.0, "stopped", "by you", 3.0, 2))
    assert all(widget.disabled for widget in bench.view._controls())
    assert bench.board._status["state"] == "stopped"


def test_ready_only_after_the_page_says_so(bench: Bench):
    bench.board._handle_custom_msg({"type": "other"}, [])
    bench.board._handle_custom_msg("nonsense", [])
    assert not bench.view.ready
    bench.board._handle_custom_msg({"type": "ready"}, [])
    assert bench.view.ready


def test_close_closes_every_widget_once(wire: Wire):
    before = set(_living())
    bench = Bench()
    bench.emit(BEGIN)
    bench.view.close(bench.record)
    bench.view.close(bench.record)
    bench.view.pump()
    bench.emit(progress(1, 1))
    assert set(_living()) == before


def _living() -> list[str]:
    from ipywidgets.widgets import widget

    return list(widget._instances)


# ---- what it shows


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


def test_without_a_kernel_the_panel_says_what_does_work(bench: Bench):
    assert not Pump(frozenset).works
    assert "not a Jupyter kernel" in Pump(frozenset).why_not
    assert panel.BUTTONS_WAIT in bench.board._meta["hint"]


def test_foreign_text_reaches_no_html(bench: Bench):
    evil = "<img src=x onerror=alert(1)>"
    begin = ev.RunBegin(1.0, run="r1", name=evil, model=evil, monitor=evil)
    bench.emit(begin)
    bench.emit(ev.Note(1.0, evil))
    bench.emit(ev.EpochEnd(1.0, 1, {evil: 1.0}))
    for widget in bench.view._widgets():
        assert not isinstance(widget, ipywidgets.HTML | ipywidgets.HTMLMath | ipywidgets.Label)
        assert evil not in str(getattr(widget, "description", ""))
    script = Path(panel.__file__).with_name("panel.js").read_text()
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert way not in script


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
    assert panel_state.CHARTS * 3 * LIMIT * 8 < PUSH_BYTES
