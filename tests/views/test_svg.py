"""Charts: well-formed, small, legible on both backgrounds, and honest about odd numbers."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET

import pytest

from nb_optimizer.views import svg
from nb_optimizer.views.svg import Curve

NAN, INF = math.nan, math.inf


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(c * 2 for c in colour[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def draw(*values: float, **more: object) -> str:
    return svg.chart("loss", [Curve("training", list(enumerate(values, 1)))], **more)  # type: ignore[arg-type]


def texts(picture: str) -> list[str]:
    return [e.text or "" for e in ET.fromstring(picture).iter() if e.text]  # noqa: S314


@pytest.mark.parametrize("background", ["#ffffff", "#111111"])
def test_every_colour_is_legible_on_light_and_dark(background: str) -> None:
    busy = draw(1, 2, 3, ring=(3, 3), marks=[2], resumes=[1.5])
    used = set(re.findall(r'(?:fill|stroke)="(#\w+)"', busy))
    colours = used | {s.colour for s in svg.STYLES.values()}
    assert {c for c in colours if contrast(c, background) < 3} == set()


@pytest.mark.parametrize(
    "values",
    [
        (1.0,),
        (0.0, 0.0),
        (5.0, 5.0, 5.0),
        (NAN, 1.0, NAN, 2.0, INF, 3.0),
        (1e-320, 2e-320),
        (1e308, -1e308),
        (1e300, 1e-300, 1e-300),
        (123456.0, 123456.001),
        (1e-9, 3e-9),
        (-5.0, 5.0),
    ],
)
def test_odd_numbers_give_a_well_formed_chart(values: tuple[float, ...]) -> None:
    picture = draw(*values)
    root = ET.fromstring(picture)  # noqa: S314
    assert root.find("{http://www.w3.org/2000/svg}title") is not None
    assert "nan" not in picture
    assert "inf" not in picture


def test_nothing_finite_says_so() -> None:
    assert "no finite values to draw" in draw(NAN, INF, -INF)
    assert "no finite values to draw" in svg.chart("loss", [])


def test_a_gap_splits_the_line_and_a_lone_point_is_a_dot() -> None:
    picture = draw(1, 2, NAN, 3, 2, NAN, 1)
    lines = re.findall(r'<path d="([^"]*)" fill="none"', picture)
    assert [path.count("M") for path in lines] == [2, 1]
    assert lines[1].endswith("h0")


def test_a_loss_over_many_decades_gets_a_log_scale() -> None:
    labels = texts(draw(1000, 100, 10, 1, 0.1, 0.1, 0.1, 0.1, 0.01))
    assert {"0.01", "1", "100"} <= set(labels)


def test_an_accuracy_that_climbs_keeps_a_linear_scale() -> None:
    climbing = [0.0005, *(i / 20 for i in range(1, 20))]
    assert "0.4" in texts(draw(*climbing))


def test_labels_below_are_whole_and_start_with_the_axis_name() -> None:
    labels = texts(draw(3, 2, 1))
    assert "epoch 1" in labels
    assert "3" in labels
    assert not any("." in t for t in labels if t.startswith("epoch"))


def test_long_runs_are_thinned_but_extremes_and_ends_stay() -> None:
    points = [(float(i), math.sin(i / 300)) for i in range(10_000)]
    points[4321] = (4321.0, 9.0)
    few = svg.thin(points, 120)
    assert len(few) <= 120
    assert (4321.0, 9.0) in few
    assert (few[0], few[-1]) == (points[0], points[-1])
    assert len(svg.chart("loss", [Curve("t", points)])) < 2500


def test_names_are_escaped() -> None:
    evil = '<script>alert("x")</script>'
    picture = svg.chart(evil, [Curve(evil, [(1, 1), (2, 2)])], x_label=evil)
    ET.fromstring(picture)  # noqa: S314
    assert "<script" not in picture


def test_marks_resumes_and_ring_are_drawn_once_per_place() -> None:
    picture = draw(3, 2, 1, ring=(3, 1), marks=[2.0] * 50, resumes=[1.5])
    assert picture.count("<circle") == 1
    assert len(re.findall(r"M\d+ \d+V\d+", picture)) == 2


def test_batch_chart_names_its_epoch() -> None:
    labels = texts(svg.batch_chart([(1, 0.5), (2, 0.4)], 7))
    assert "loss inside epoch 7" in labels
    assert "batch 1" in labels
