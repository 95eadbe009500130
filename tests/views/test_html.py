"""The static page: complete, small, script-free."""

from __future__ import annotations

import base64
import math
import re
from html.parser import HTMLParser

import pytest

from nb_optimizer.core import events as ev
from nb_optimizer.core.record import RunRecord
from nb_optimizer.views import html

EVIL = '<script>alert("x")</script><img src=x onerror=y>'
TAGS = {"div", "span", "table", "tr", "th", "td", "img", "b", "details"}
ATTRIBUTES = {"style", "src", "alt", "width", "title", "nowrap", "cellpadding"}


def record_of(
    epochs: int, metrics: tuple[str, ...] = ("loss", "accuracy"), *, name: str = "dense"
) -> RunRecord:
    begin = ev.RunBegin(
        1000.0, "train-3", name, model=name, parameters=12345, epochs=epochs, steps=100,
        validates=True, monitor="val_loss",
    )  # fmt: skip
    stream: list[ev.Event] = [begin]
    for n in range(1, epochs + 1):
        wave = math.sin(n * 12.9898) / 10
        values = dict.fromkeys(metrics, 1 / n + wave)
        values |= {f"val_{m}": 1.2 / n - wave for m in metrics}
        stream.append(ev.EpochEnd(1000.0 + n, n, values, 1e-3, 100, 1.0))
    return RunRecord.of(stream)


def finish(record: RunRecord, status: str = "completed") -> RunRecord:
    record.apply(ev.RunEnd(record.last_time + 1, status))
    return record


def pictures(page: str) -> str:
    return "".join(
        base64.b64decode(x).decode() for x in re.findall(r"svg\+xml;base64,([\w+/=]+)", page)
    )


class Strict(HTMLParser):
    """Refuses what a sanitizer would take away; checks that tags are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS
        assert {k for k, _ in attrs} <= ATTRIBUTES
        assert all((v or "").startswith("data:image/svg") for k, v in attrs if k == "src")
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def check(page: str) -> str:
    strict = Strict()
    strict.feed(page)
    assert strict.open == []
    return page


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("epochs", [1, 50, 10_000])
def test_a_page_stays_under_twelve_kilobytes(epochs: int, count: int) -> None:
    names = ("loss", "accuracy", "precision_at_recall", "top_5_accuracy")[:count]
    record = finish(record_of(epochs, names))
    record.ghost = record_of(epochs, names)
    assert len(check(html.page(record)).encode()) <= 12_288


def test_many_metrics_are_counted_not_drawn() -> None:
    page = check(html.page(finish(record_of(20, tuple(f"metric_{i}" for i in range(15))))))
    assert page.count("<img") == 4
    assert "11 more metrics not drawn" in page
    assert "3 more metrics in run.history" in page
    assert len(page.encode()) <= 14_000


def test_a_finished_page_tells_what_matters() -> None:
    record = record_of(20)
    record.ghost = RunRecord.of([ev.RunBegin(1.0, "train-2"), *record.epochs])
    record.apply(ev.Intervention(1021.0, "learning_rate", 4, 12, 3e-4))
    page = check(html.page(finish(record)))
    for part in (
        "train-3",
        "12,345 parameters",
        "\u2714 completed",
        "best: val_loss",
        "learning rate 0.0003",
        "batches/s",
        "learning rate set to 0.0003 at epoch 4, batch 12",
        "%runs show train-3",
        "the previous run, train-2",
    ):
        assert part in page
    assert "train-2" in pictures(page)


def test_a_running_page_shows_how_far_it_is() -> None:
    record = record_of(3)
    record.planned_epochs = 12
    points = [[float(s), 0.5] for s in range(50)]
    record.apply(ev.Progress(1004.0, 4, 50, points=points, batches_per_second=100.0))
    page = check(html.page(record))
    assert "\u25b6 running" in page
    assert "epoch 4 of 12, batch 50 of 100, about " in page
    assert 'title="29% done"' in page
    assert "loss inside epoch 4" in pictures(page)


def test_trouble_is_told() -> None:
    record = record_of(3)
    record.apply(ev.NonFinite(1003.5, 4, 12, 12, math.nan, ["the rate is too high"]))
    record.apply(ev.Note(1003.6, "data holds NaN", "warning"))
    page = check(html.page(finish(record, "failed")))
    assert "\u2716 failed" in page
    assert "epoch 4, batch 12" in page
    assert "likely cause: the rate is too high" in page
    assert "\u26a0</b> warning: data holds NaN" in page


def test_nothing_from_outside_becomes_markup() -> None:
    record = record_of(3, ("loss", EVIL), name=EVIL)
    record.ghost = RunRecord.of([ev.RunBegin(1.0, EVIL), *record.epochs])
    record.apply(ev.Note(1.0, EVIL))
    record.apply(ev.Intervention(1.0, EVIL, 1, 1))
    record.apply(ev.NonFinite(1.0, 1, 1, 1, math.inf, [EVIL]))
    record.apply(ev.RunEnd(1.0, EVIL, EVIL))
    for page in (html.page(record), html.comparison([record]), html.runs_table([(EVIL, record)])):
        assert "<script" not in check(page) + pictures(page)
        assert "&lt;script&gt;" in page


def test_floods_of_notes_and_marks_stay_small() -> None:
    record = record_of(100)
    for n in range(500):
        record.apply(ev.Note(1.0, "x" * 1000))
        record.apply(ev.Intervention(1.0, "pause", n % 100, 3))
    page = check(html.page(finish(record)))
    assert len(page.encode()) <= 12_288
    assert "492 earlier notes" in page
    assert "and 492 earlier" in page


def test_the_fullest_page_gives_up_charts_rather_than_size() -> None:
    record = record_of(3000, ("loss", "sparse_categorical_accuracy", "auc", "top_5"))
    record.ghost = record_of(3000, ("loss", "sparse_categorical_accuracy", "auc", "top_5"))
    points = [[float(s), s % 7.0] for s in range(500)]
    record.apply(ev.Progress(9e9, 3001, 50, points=points, batches_per_second=1.0))
    for n in range(30):
        record.apply(ev.Note(9e9, "&" * 240))
        record.apply(ev.Intervention(9e9, "learning_rate", n * 100 + 1, 3, 1e-3))
    page = check(html.page(record))
    assert len(page.encode()) <= 12_288
    assert "<img" in page
    record.notes = [ev.Note(9e9, "The validation data looks unlike the training data. " * 4)] * 8
    assert len(check(html.page(record)).encode()) <= 12_288


def test_pages_without_numbers() -> None:
    assert "running" in check(html.page(RunRecord()))
    begun = RunRecord.of([ev.RunBegin(1.0, "train-9", epochs=5)])
    assert "5 epochs planned" in check(html.page(begun))
    assert "no runs yet" in html.runs_table([])
    assert "no runs to compare" in html.comparison([])


def test_validation_every_second_epoch_is_one_line() -> None:
    record = record_of(10)
    for epoch in record.epochs[::2]:
        del epoch.values["val_loss"], epoch.values["val_accuracy"]
    dashed = re.findall(r'<path d="([^"]*)"[^>]*dasharray="6 4"', pictures(html.page(record)))
    assert [path.count("M") for path in dashed] == [1, 1]


def test_a_comparison_shows_six_runs_and_counts_the_rest() -> None:
    page = check(html.comparison([finish(record_of(500)) for _ in range(8)]))
    assert page.count("<tr>") == 7
    assert "2 more runs not shown" in page
    assert len(page.encode()) <= 12_288


def test_runs_table() -> None:
    page = check(html.runs_table([("train-3", finish(record_of(3)))]))
    assert "\u2714 completed" in page
    assert "3/3" in page
