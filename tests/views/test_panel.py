"""The live panel without a browser: when it pushes, what its controls do, what it says."""

from __future__ import annotations

import math
import threading
from pathlib import Path
from typing import Any

import ipywidgets
import pytest
from panel_bench import BEGIN, Bench, Wire, epoch_end, progress

from nb_optimizer.core import events as ev
from nb_optimizer.views import panel
from nb_optimizer.views.pump import Pump

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


# ---- what it says


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
    here = Path(panel.__file__).parent
    script = "".join((here / name).read_text() for name in panel.SCRIPTS)
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert way not in script
