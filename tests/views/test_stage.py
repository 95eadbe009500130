"""What a cell's output holds: the panel while a page draws it, a picture while none does."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from nb_optimizer.views.stage import Stage

WIDGET = "application/vnd.jupyter.widget-view+json"
RECORD = SimpleNamespace()


class Shown(list):
    """What was put into the output, in order."""

    def put(self, bundle, run):
        assert run == "train-1" and "text/html" in bundle
        self.append("panel" if bundle.get(WIDGET, {}).get("model_id") == "abc" else "picture")


@pytest.fixture
def time():
    return SimpleNamespace(now=1.0)


@pytest.fixture
def stage(time):
    made = Stage(lambda _: {"text/html": "<p>", "text/plain": ""}, lambda: time.now)
    made._output = Shown()
    return made


@pytest.fixture
def panel():
    return SimpleNamespace(ready=False, buttons_work=True, widget=SimpleNamespace(model_id="abc"))


def looks(stage, time, seconds, times=21):
    for _ in range(times):
        time.now += seconds / times
        stage.look(RECORD)


def test_a_page_that_draws_the_panel_keeps_it(stage, time, panel):
    stage.open("train-1", RECORD, panel)
    panel.ready = True
    looks(stage, time, 60)
    assert not stage.refresh(RECORD)
    stage.close(RECORD)
    assert stage._output == ["panel", "picture"]


def test_a_page_that_never_draws_it_gets_pictures(stage, time, panel):
    stage.open("train-1", RECORD, panel)
    looks(stage, time, 9)
    assert stage._output == ["panel"]
    looks(stage, time, 1.5)
    assert not stage.refresh(RECORD)  # it has just been drawn
    time.now += 1
    assert stage.refresh(RECORD)
    assert stage._output == ["panel", "picture", "picture"]


def test_a_page_that_draws_it_late_gets_it_back(stage, time, panel):
    stage.open("train-1", RECORD, panel)
    looks(stage, time, 12)
    panel.ready = True
    looks(stage, time, 1)
    time.now += 5
    assert not stage.refresh(RECORD)
    assert stage._output == ["panel", "picture", "panel"]


def test_long_waiting_without_a_look_is_no_silence(stage, time, panel):
    stage.open("train-1", RECORD, panel)
    looks(stage, time, 60, times=5)
    assert stage._output == ["panel"]


def test_where_clicks_cannot_come_the_panel_stays(stage, time, panel):
    panel.buttons_work = False
    stage.open("train-1", RECORD, panel)
    looks(stage, time, 60)
    assert stage._output == ["panel"]
