"""What clicks on the panel of a compression do, and what they answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nb_optimizer.core import events as ev
from nb_optimizer.core.compression.row import FAILED, Row
from nb_optimizer.core.compression.watcher import StoppedError
from nb_optimizer.core.record import RunRecord
from nb_optimizer.views import frontend
from nb_optimizer.views.compression import Compression
from nb_optimizer.views.compression_panel import CompressionPanel, table

ROWS = [
    Row(0, name="float32", bytes=4000, gzip_bytes=3000, score=0.9, latency_ms=0.5),
    Row(1, name="int8", file="1-int8.tflite", bytes=1000, gzip_bytes=900, score=0.89, drop=0.01,
        latency_ms=0.25),
    Row(2, name="int4", status=FAILED, reason="it died"),
    Row(3, name="prune 0.5", file="1-int8.tflite", weights="weights-1.keras", bytes=4000,
        drop=float("inf"), latency_ms=0.5),
]  # fmt: skip


def result_of(folder, *, over=True):
    record = RunRecord()
    record.apply(ev.RunBegin(1.0, "compress-1", monitor="accuracy", direction="max"))
    for row in ROWS:
        record.apply(ev.Measured(2.0, row.to_dict()))
    if over:
        record.apply(ev.Picked(3.0, {"best": 1, "quality": 1}))
        record.apply(ev.RunEnd(4.0, "completed"))
    (folder / "1-int8.tflite").write_bytes(b"a file")
    return Compression(folder, record)


@pytest.fixture
def panel(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    made = CompressionPanel(result_of(tmp_path / "run"), live=False)
    yield made
    made.close()


def choose(panel, key):
    panel._board._said(None, {"type": "choose", "key": key}, [])
    return panel._board.said


def press(panel, button):
    getattr(panel, f"_{button}").click()
    return panel._board.said


def test_the_recommended_file_is_chosen_until_another_one_is(panel):
    assert panel._board._chosen == 1
    assert choose(panel, 3).startswith("Chosen: prune 0.5, 4.0 KB")
    assert panel._board._chosen == 3
    assert "no file that runs (it died)" in choose(panel, 2)


@pytest.mark.parametrize("key", [99, -1, "1", None, {}])
def test_what_is_no_row_is_not_chosen(panel, key):
    choose(panel, key)
    assert panel._board._chosen == 1


@pytest.mark.parametrize(
    ("typed", "written"),
    [("", "1-int8.tflite"), ("mine.tflite", "mine.tflite"), ("new/deep", "new/deep/1-int8.tflite")],
)
def test_a_file_is_exported_where_one_says(panel, typed, written):
    panel._path.value = typed
    assert press(panel, "export").startswith("Written: /")
    assert Path(written).read_bytes() == b"a file"


def test_nothing_that_is_there_is_overwritten(panel):
    Path("mine.tflite").write_text("precious")
    panel._path.value = "mine.tflite"
    assert "is there already; give another name" in press(panel, "export")
    assert Path("mine.tflite").read_text() == "precious"


def test_what_has_no_file_or_no_place_is_one_line(panel):
    choose(panel, 2)
    assert press(panel, "export").startswith("Not done: int4 has no file that runs: it died")
    choose(panel, 1)
    Path("plain").write_text("")
    panel._path.value = "plain/inside.tflite"
    assert press(panel, "export").startswith("Not done: plain/inside.tflite cannot be written")


@pytest.mark.parametrize("name", ["", "two words", "class", "9lives"])
def test_what_is_no_name_is_refused(panel, name):
    panel._name.value = name
    assert "a name of a variable is needed" in press(panel, "load")


def test_a_model_is_loaded_into_a_variable_and_spares_those_of_the_user(panel, monkeypatch):
    import keras

    names = {"mine": 1}
    monkeypatch.setattr(frontend, "variables", lambda: names)
    net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    net.save(panel._result.path / "weights-1.keras")
    assert "changes number formats only" in press(panel, "load")  # int8 is chosen
    choose(panel, 3)
    panel._name.value = "mine"
    assert "mine holds something of yours" in press(panel, "load")
    panel._name.value = "small_model"
    for _ in range(2):  # its own it may replace
        assert "small_model is the Keras model of prune 0.5" in press(panel, "load")
    assert names["mine"] == 1
    assert names["small_model"].count_params() == net.count_params()


def test_stop_raises_once_in_the_thread_that_works(tmp_path):
    now = [1.0]
    panel = CompressionPanel(result_of(tmp_path, over=False), live=True, clock=lambda: now[0])
    assert panel._load.disabled and not panel._export.disabled
    press(panel, "stop")
    with pytest.raises(StoppedError):
        panel.pulse()
    now[0] += 1
    panel.pulse()
    panel.close()


def test_what_goes_on_is_told_with_its_time(tmp_path):
    now = [1.0]
    panel = CompressionPanel(result_of(tmp_path, over=False), live=True, clock=lambda: now[0])
    panel.begin("prune 0.9")
    now[0] += 12
    panel.pulse()
    assert panel._board._now == "now: prune 0.9, 12 s"
    panel.close()


def test_the_table_is_json_that_browsers_read(tmp_path):
    made = table(result_of(tmp_path))
    assert "Infinity" not in json.dumps(made) and "NaN" not in json.dumps(made)
    assert made["head"][5] == "latency, µs"
    assert [r["kind"] for r in made["rows"]] == ["measured", "best", FAILED, "measured"]
    assert made["rows"][2]["cells"][1:6] == [None] * 5


def test_where_no_page_draws_widgets_the_picture_is_shown(panel):
    bundle = panel.widget._repr_mimebundle_()
    assert {"text/html", "text/plain"} < set(bundle)
    assert "widget-view" in str(bundle) and "<script" not in bundle["text/html"]


def test_closing_leaves_no_widget_behind(tmp_path):
    panel = CompressionPanel(result_of(tmp_path), live=False)
    mine = panel._widgets()
    looks = [w.layout for w in mine if hasattr(w, "layout")]
    panel.close()
    assert all(w.comm is None for w in (*mine, *looks))


def test_where_no_page_draws_the_panel_the_picture_follows(tmp_path, monkeypatch):
    from nb_optimizer.views import compression_live

    shown = []
    view = compression_live._InNotebook(with_panel=True)
    now = [1.0]
    view._stage._clock = lambda: now[0]
    monkeypatch.setattr(view._stage._output, "put", lambda bundle, _: shown.append(set(bundle)))
    result = result_of(tmp_path, over=False)
    view.show(result)
    now[0] += 60
    monkeypatch.setattr(type(view._panel), "buttons_work", True)
    for _ in range(30):
        view.pulse()
    now[0] += 5
    view.show(result)
    assert len(shown) == 3 and len(shown[0]) == 3
    assert shown[1:] == [{"text/html", "text/plain"}] * 2
    view._panel.close()
