"""Nothing that a user named becomes markup in a search's or a compression's picture."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

from nb_optimizer.core import events as ev
from nb_optimizer.core.compression.row import Row
from nb_optimizer.core.record import RunRecord
from nb_optimizer.core.tuning import events as sev
from nb_optimizer.core.tuning.record import SearchRecord
from nb_optimizer.views import search_html, search_svg
from nb_optimizer.views.compression import Compression, as_html

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


class Tags(HTMLParser):
    """Collects tags and the names of attributes."""

    def __init__(self, page):
        super().__init__()
        self.seen = set()
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.seen |= {tag, *(name for name, _ in attrs)}


def check(page):
    assert "script" not in Tags(page).seen
    assert not {name for name in Tags(page).seen if name.startswith("on")}
    assert "&lt;script&gt;" in page


def test_a_search_escapes_everything():
    begin = sev.SearchBegin(1.0, "tune-1", EVIL, on=EVIL, direction="max", trials=2, line=EVIL)
    stream = [
        begin,
        sev.Worker(1.0, 1, "ready", device=EVIL),
        sev.TrialBegin(2.0, 1, {EVIL: EVIL}),
        sev.TrialFit(2.0, 1, 1, 3),
        sev.TrialEpoch(2.5, 1, 1, {EVIL: 0.5}),
        sev.TrialEnd(3.0, 1, "completed"),
        sev.TrialBegin(3.0, 2, {EVIL: "b"}),
        sev.TrialEnd(4.0, 2, "failed", EVIL),
        ev.Note(4.0, EVIL),
        sev.Importance(5.0, 2, {EVIL: 0.9}, {EVIL: 0.1}),
        sev.SearchEnd(5.0, "failed", EVIL),
    ]
    record = SearchRecord()
    for event in stream:
        record.apply(event)
        search_html.page(record)
    check(search_html.page(record))
    for picture in (search_svg.progress, search_svg.curves, search_svg.parallel):
        assert "<script" not in picture(record)


def test_a_compression_escapes_everything():
    record = RunRecord()
    rows = [
        Row(0, name=EVIL, engine=EVIL, bytes=9000, gzip_bytes=8000, score=0.9, runtime=EVIL),
        Row(1, name=EVIL, bytes=900, gzip_bytes=800, score=0.8, host=EVIL, latency_ms=1.0,
            reference_ms=2.0, float_operations={EVIL: 2}),
        Row(2, name=EVIL, status="failed", reason=EVIL),
    ]  # fmt: skip
    record.apply(ev.RunBegin(1.0, "compress-1", EVIL, model=EVIL, options={"metric": "accuracy"}))
    layer = {"layer": EVIL, "kind": EVIL, "weights": 9, "share": 0.5, "left_alone": EVIL}
    record.apply(ev.Layers(1.5, [layer]))
    for row in rows:
        record.apply(ev.Measured(2.0, row.to_dict()))
    record.apply(ev.Picked(3.0, {"best": 1, "quality": 1}))
    record.apply(ev.Note(3.0, EVIL))
    record.apply(ev.RunEnd(4.0, "failed", EVIL))
    result = Compression(Path("compress-1"), record)
    check(result._repr_html_())
    check(as_html(result, in_panel=True))
