"""Every view takes every event, tells what matters and lets no markup through.

A further view joins by one entry in ``VIEWS``: a function from a stream of events to what
the reader finally has before them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import pytest

from nb_optimizer.core import events as ev
from nb_optimizer.core.record import RunRecord
from nb_optimizer.core.training.control import Control
from nb_optimizer.views import html
from nb_optimizer.views.panel import PanelView
from nb_optimizer.views.text import TextView

EVIL = "<script>alert(1)</script>"
BEGIN = ev.RunBegin(
    1.0, "train-3", "dense", model="sequential", epochs=50, steps=100, monitor="loss"
)
FIRST = ev.EpochEnd(2.0, 1, {"loss": 0.75}, 1e-3, 100, 1.0)

SAMPLES: dict[type[ev.Event], tuple[ev.Event, str]] = {
    ev.RunBegin: (BEGIN, "train-3"),
    ev.Resumed: (ev.Resumed(3.0, 1, 50), "resumed after epoch 1"),
    ev.Progress: (ev.Progress(3.0, 2, 7, points=[[7.0, math.nan]]), "batch 7 of 100"),
    ev.EpochEnd: (ev.EpochEnd(3.0, 2, {"loss": 0.4321}, 1e-3, 100, 1.0), "0.4321"),
    ev.Checkpoint: (ev.Checkpoint(3.0, 1, "best.keras"), "train-3"),
    ev.Intervention: (ev.Intervention(3.0, "back_to_best", 2, 9), "back to the best weights"),
    ev.Note: (ev.Note(3.0, "data is not shuffled"), "data is not shuffled"),
    ev.Accelerated: (
        ev.Accelerated(3.0, "loop", 3.1, "3.1 times the speed"),
        "3.1 times the speed",
    ),
    ev.Distributed: (
        ev.Distributed(3.0, "MirroredStrategy", ["GPU:0", "GPU:1"], 2, 64, "on GPU:0 and GPU:1"),
        "on GPU:0 and GPU:1",
    ),
    ev.Scaling: (
        ev.Scaling(3.0, 900.0, 450.0, 0.9, "train-2", "90% of 500 on one device"),
        "90% of 500 on one device",
    ),
    ev.NonFinite: (ev.NonFinite(3.0, 2, 5, 9, math.inf, ["why"]), "batches 5 to 9"),
    # A compression's own, told by views/compression.py; the views of training pass over them.
    ev.Measured: (ev.Measured(3.0, {"number": 0, "name": "float32"}), "train-3"),
    ev.Layers: (ev.Layers(3.0, [{"layer": "dense", "kind": "Dense", "weights": 9}]), "train-3"),
    ev.Kept: (ev.Kept(3.0, "weights {}", {"file": "weights-1.keras"}), "train-3"),
    ev.Picked: (ev.Picked(3.0, {"best": 0}), "train-3"),
    ev.RunEnd: (ev.RunEnd(3.0, "failed", "out of memory"), "out of memory"),
}


def _text(stream: list[ev.Event]) -> str:
    lines: list[str] = []
    record = RunRecord()
    view = TextView(record, Control(), lines.append, clock=lambda: 0.0)
    for event in stream:
        record.apply(event)
        view.show(event, record)
        view.pump()
    view.close(record)
    return "\n".join(lines)


def _html(stream: list[ev.Event]) -> str:
    record = RunRecord()
    for event in stream:
        record.apply(event)
        html.page(record)
    return html.page(record)


def _panel(stream: list[ev.Event]) -> str:
    """Return all that the panel's script is given to draw."""
    record = RunRecord()
    view = PanelView(record, Control())
    for event in stream:
        record.apply(event)
        view.show(event, record)
        view.pump()
    view._push()
    board = view._board
    traits = [board._meta, board._now, board._status]
    view.close(record)
    return json.dumps(traits, ensure_ascii=False)


VIEWS: dict[str, Callable[[list[ev.Event]], str]] = {
    "text": _text,
    "html": _html,
    "panel": _panel,
}


def test_every_event_has_a_sample() -> None:
    assert set(SAMPLES) == set(ev.EVENTS.values())


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("name", ev.EVENTS)
def test_every_view_tells_every_event(view: str, name: str) -> None:
    event, wanted = SAMPLES[ev.EVENTS[name]]
    stream: list[ev.Event] = [BEGIN, FIRST, event] if event is not BEGIN else [event]
    assert wanted in VIEWS[view](stream)


@pytest.mark.parametrize("view", VIEWS)
def test_a_stream_that_lost_its_beginning_is_shown(view: str) -> None:
    assert VIEWS[view]([event for event, _ in SAMPLES.values() if event is not BEGIN])


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_is_bounded_for_ten_thousand_epochs(view: str) -> None:
    stream = [ev.EpochEnd(2.0, n, {"loss": 1 / n}, 1e-3, 9, 0.1) for n in range(1, 10_001)]
    if view == "html":  # drawn once: a page per epoch is no use case
        page = html.page(RunRecord.of([BEGIN, *stream]))
        assert len(page.encode()) <= html.MAX_BYTES + 288
    else:
        assert len(VIEWS[view]([BEGIN, *stream])) <= 12_000


def test_html_escapes_what_the_user_named() -> None:
    begin = ev.RunBegin(1.0, "train-3", EVIL, model=EVIL, monitor=EVIL)
    end = ev.EpochEnd(2.0, 1, {"loss": 1.0, EVIL: 0.5}, 1e-3, 1, 1.0)
    page = _html([begin, end, ev.Note(3.0, EVIL), ev.RunEnd(4.0, "failed", EVIL)])
    assert "<script" not in page
    assert "&lt;script&gt;" in page
