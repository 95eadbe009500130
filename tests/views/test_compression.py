"""A compression as text and as HTML: rows, picks, reasons, bounds, no markup let through."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from nb_optimizer.core import events as ev
from nb_optimizer.core.compression.row import FAILED, REJECTED, Row
from nb_optimizer.core.record import RunRecord
from nb_optimizer.views.compression import Compression
from nb_optimizer.views.compression_chart import scatter

EVIL = "<script>alert(1)</script>"
BASE = Row(
    0, name="float32", engine="litert", bytes=400_000, gzip_bytes=360_000, score=0.93,
    latency_ms=0.04, latency_p90_ms=0.05, reference_ms=0.04, samples=5000, host="a CPU",
    runtime="ai-edge-litert 2.3.0", float_operations={"CONV_2D": 2},
)  # fmt: skip


def row(number, name, size, drop, **more):
    return Row(
        number, name=name, engine="litert", bytes=size, gzip_bytes=size // 2, score=0.93 - drop,
        drop=drop, drop_low=drop - 0.002, drop_high=drop + 0.002, agreement=0.98, samples=5000,
        latency_ms=0.02, latency_p90_ms=0.03, reference_ms=0.04, host="a CPU", **more,
    )  # fmt: skip


def shown(rows, picks=None, **begin):
    record = RunRecord()
    about = {"run": "compress-4", "monitor": "accuracy", "direction": "max", **begin}
    record.apply(ev.RunBegin(time=1.0, **about))
    for one in rows:
        record.apply(ev.Measured(2.0, one.to_dict()))
    record.apply(ev.Picked(3.0, picks or {}))
    record.apply(ev.RunEnd(4.0, "completed"))
    return Compression(Path("compress-4"), record)


ROWS = [
    BASE,
    row(1, "int8", 100_000, 0.004),
    row(2, "int4", 50_000, 0.04, status=REJECTED, reason="loses 4.00%, allowed 1.00%"),
    Row(3, name="int16x8", status=FAILED, reason="its process was ended by signal 11"),
]
PICKS = {"best": 1, "quality": 1}


@pytest.mark.parametrize("render", [repr, Compression._repr_html_])
def test_what_matters_is_told(render):
    page = render(shown(ROWS, PICKS))
    for words in (
        "400.0 KB", "4.0x", "+0.40 pt", "+0.20 .. +0.60", "98.0%", "20 µs", "2.00x",
        "best, quality",
        "loses 4.00%", "signal 11", "5,000 held-out rows", "a CPU", "recommended: int8",
        "%runs show compress-4",
    ):  # fmt: skip
        assert words in page, words


def test_one_file_that_is_every_pick_is_named_once():
    every = {"best": 1, "quality": 1, "balanced": 1, "compact": 1}
    text = repr(shown(ROWS, every))
    assert "also the quality, balanced, compact pick" in text and "compact: int8" not in text
    assert "balanced: int8" in repr(shown(ROWS, {**every, "compact": 0}))


def test_names_of_picks_are_apart_from_each_other():
    near = [BASE, *(row(n, f"m{n}", 50_000 - n, 0.001 + n / 1e5) for n in (1, 2, 3))]
    picks = {"best": 3, "quality": 1, "balanced": 2, "compact": 3}
    page = scatter(near, picks, "gzip", 0.01)
    lines = re.findall(r'y="(\d+)" font-weight="bold">(quality|balanced|compact)<', page)
    places = {name: int(y) for y, name in lines}
    assert places["balanced"] - places["quality"] >= 12
    assert places["compact"] - places["balanced"] >= 12


def test_the_charts_are_sound_pictures():
    page = shown(ROWS, PICKS)._repr_html_()
    pictures = re.findall(r"base64,([^\"]+)", page)
    assert len(pictures) == 2
    for picture in pictures:
        root = ET.fromstring(base64.b64decode(picture))  # noqa: S314 - our own
        texts = [t.text for t in root.iter("{http://www.w3.org/2000/svg}text")]
        assert "allowed loss" in texts and "quality" in texts
        rings = [c for c in root.iter("{http://www.w3.org/2000/svg}circle") if c.get("r") == "8"]
        assert len(rings) == 1


def test_nothing_of_the_user_is_markup():
    rows = [BASE, row(1, EVIL, 9, 0.1, status=REJECTED, reason=EVIL)]
    page = shown(rows, name=EVIL, monitor=EVIL)._repr_html_()
    assert "<script" not in page and "&lt;script&gt;" in page


def test_a_long_search_stays_small():
    rows = [BASE, *(row(n, f"prune 0.{n}", 100_000 - n, 0.001) for n in range(1, 200))]
    result = shown(rows, {"best": 5})
    assert len(result._repr_html_().encode()) < 60_000
    assert len(repr(result).splitlines()) < 50
    assert "prune 0.5 " in repr(result)


def test_one_that_measured_nothing_yet_is_shown():
    assert "0 candidates" in repr(shown([]))
    assert "compress-4" in shown([])._repr_html_()


def test_one_recipe_that_loses_much_is_told_as_such():
    told = repr(shown([BASE, row(1, "prune 0.9", 100_000, 0.05)], {"best": 1}))
    assert "careful: it loses +5.00 pt" in told


def test_the_list_of_runs_names_what_is_recommended():
    from nb_optimizer.views.text import run_row

    cells = run_row("compress-4", shown(ROWS, PICKS).record)
    assert cells[3:5] == ["-", "int8"]
