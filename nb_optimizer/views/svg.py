"""Small charts as SVG text, drawn from plain numbers.

The picture is shown through ``<img>``, where no page style reaches it: it is transparent, and
every colour has a contrast of 3:1 or more on white and on JupyterLab's dark background.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from operator import itemgetter

from nb_optimizer.views import words
from nb_optimizer.views.svg_styles import STYLES

Point = tuple[float, float]

MAX_POINTS = 120
_TEXT = "#777"
_MARK = "#b05cc8"
_LIMIT = 1e150  # keeps every difference of two values finite
_HEIGHT, _TOP, _BOTTOM, _RIGHT = 200, 28, 22, 10


@dataclass(frozen=True)
class Curve:
    """One line of a chart; NaN and infinite values leave a gap."""

    label: str
    points: Sequence[Point]
    style: str = "training"


@dataclass(frozen=True)
class _Axis:
    low: float
    high: float
    start: int
    end: int
    log: bool = False
    single: bool = False  # one value, in the middle

    def at(self, value: float) -> int:
        low, high, here = self.low, self.high, value
        if self.log:
            low, high, here = math.log10(low), math.log10(high), math.log10(value)
        share = min(1.0, max(0.0, (here - low) / (high - low)))
        return round(self.start + share * (self.end - self.start))


def chart(  # noqa: PLR0913 - each is one visible part of the picture
    title: str,
    curves: Sequence[Curve],
    *,
    x_label: str = "epoch",
    ring: Point | None = None,
    marks: Iterable[float] = (),
    resumes: Iterable[float] = (),
    points: int = MAX_POINTS,
    width: int = 380,
) -> str:
    """Return a chart of ``curves`` as SVG, each drawn with at most ``points`` points.

    ``ring`` circles the best point; ``marks`` and ``resumes`` are the x positions of thin
    vertical lines, whole and dashed. Curves that are listed first lie behind.
    """
    clean = [Curve(c.label, _clean(c.points), c.style) for c in curves]
    every = [p for c in clean for p in c.points if math.isfinite(p[1])]
    if not every:
        return _wrap(title, width, [_header(title, [], width), _nothing(width)])
    y = _y_axis([p[1] for p in every])
    labels = _y_ticks(y)
    left = 10 + round(6.6 * max(len(text) for _, text in labels))
    x = _x_axis([p[0] for c in clean for p in c.points], left, width - _RIGHT)
    parts = [_header(title, clean, width), _grid(x, labels, x_label)]
    parts += [_lines(x, marks, ""), _lines(x, resumes, ' stroke-dasharray="2 3"')]
    parts += [_draw(c, x, y, points) for c in clean]
    if ring and math.isfinite(ring[1]):
        parts.append(_ring(x.at(ring[0]), y.at(_bounded(ring[1]))))
    return _wrap(title, width, parts)


def batch_chart(
    losses: Sequence[Point], epoch: int, *, points: int = MAX_POINTS, width: int = 380
) -> str:
    """Return a chart of the true loss of each batch of one epoch."""
    curve = Curve("one batch", losses)
    title = f"loss inside epoch {epoch}"
    return chart(title, [curve], x_label="batch", points=points, width=width)


def thin(points: Sequence[Point], limit: int) -> list[Point]:
    """Down-sample to ``limit`` points: both ends, and the lowest and highest of each stretch."""
    if len(points) <= limit:
        return list(points)
    kept: list[Point] = []
    buckets = max(1, limit // 2 - 1)
    for i in range(buckets):
        stretch = points[i * len(points) // buckets : (i + 1) * len(points) // buckets]
        finite = [p for p in stretch if math.isfinite(p[1])]
        by_height = sorted(finite, key=itemgetter(1)) or [stretch[0]]
        kept.extend(sorted({by_height[0], by_height[-1]}))
    return [points[0]] * (kept[0] != points[0]) + kept + [points[-1]] * (kept[-1] != points[-1])


def _bounded(value: float) -> float:
    return max(-_LIMIT, min(_LIMIT, value))


def _clean(points: Sequence[Point]) -> list[Point]:
    return [(x, _bounded(y) if math.isfinite(y) else math.nan) for x, y in points]


# ---- axes


def _x_axis(values: list[float], start: int, end: int) -> _Axis:
    low, high = min(values), max(values)
    if high > low:
        return _Axis(low, high, start, end)
    return _Axis(low - 1, low + 1, start, end, single=True)


def _y_axis(values: list[float]) -> _Axis:
    low, high = min(values), max(values)
    start, end = _HEIGHT - _BOTTOM, _TOP + 4
    if _needs_log(values, low, high):
        return _Axis(low / 1.2, high * 1.2, start, end, log=True)
    span = high - low
    if span <= 1e-9 * max(abs(low), abs(high)) or span < 1e-150:  # noqa: PLR2004
        around = abs(high) / 10 if abs(high) > 1e-150 else 1.0  # noqa: PLR2004
        return _Axis(low - around, high + around, start, end)
    return _Axis(low - span / 20, high + span / 20, start, end)


def _needs_log(values: list[float], low: float, high: float) -> bool:
    if low <= 0 or math.log10(high) - math.log10(low) <= 3:  # noqa: PLR2004 - decades
        return False
    # Only where a linear scale would press the curve flat: not for an accuracy that climbs.
    crowded = sum(v < low + (high - low) / 10 for v in values)
    return 2 * crowded >= len(values)


def _step(span: float, wanted: int) -> float:
    raw = span / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    return next((n * power for n in (1, 2, 5) if n * power >= raw * 0.999), 10 * power)


def _multiples(low: float, high: float, step: float) -> list[float]:
    return [i * step for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _y_ticks(axis: _Axis) -> list[tuple[int, str]]:
    if axis.log:
        low, high = math.ceil(math.log10(axis.low)), math.floor(math.log10(axis.high))
        every = max(1, (high - low + 3) // 4)
        powers = [10.0**n for n in range(low, high + 1, every)]
        return [(axis.at(v), _power(v)) for v in powers]
    step = _step(axis.high - axis.low, 6)
    return [(axis.at(v), _tick(v, step)) for v in _multiples(axis.low, axis.high, step)]


def _power(value: float) -> str:
    if 1e-4 < value < 1e5:  # noqa: PLR2004 - longer does not fit
        return f"{value:g}"
    return f"{value:.0e}".replace("e+0", "e").replace("e-0", "e-").replace("e+", "e")


def _tick(value: float, step: float) -> str:
    if value and (abs(value) >= 1e6 or step < 1e-5):  # noqa: PLR2004 - longer does not fit
        lost = math.floor(math.log10(abs(value))) - math.floor(math.log10(step))
        return f"{value:.{min(6, max(0, lost))}e}".replace("e+0", "e").replace("e-0", "e-")
    return f"{value:.{max(0, -math.floor(math.log10(step) + 1e-9))}f}"


def _x_ticks(axis: _Axis, name: str) -> list[tuple[int, str]]:
    """Return the labels below; the first one carries the name of the axis."""
    first, last = math.ceil(axis.low), math.floor(axis.high)
    if axis.single:
        return [(axis.at(first + 1), f"{name} {words.count(first + 1)}")]
    step = max(1.0, _step(max(1, last - first), 6))
    ticks = [(axis.at(v), words.count(v)) for v in _multiples(first, last, step)]
    free = axis.start + 7 * len(name) + 30
    start = (axis.start + 3 * len(name), f"{name} {words.count(first)}")
    return [start, *(t for t in ticks if t[0] > free)]


# ---- parts of the picture


def _wrap(title: str, width: int, parts: list[str]) -> str:
    box = f'width="{width}" height="{_HEIGHT}" viewBox="0 0 {width} {_HEIGHT}"'
    look = f'fill="{_TEXT}" font-family="sans-serif" font-size="12"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {box} {look}>'
    return f"{head}<title>{_text(title)}</title>{''.join(parts)}</svg>"


def _text(text: str, limit: int = 40) -> str:
    return escape(words.one_line(text, limit))


def _header(title: str, curves: list[Curve], width: int) -> str:
    room = 22 if len(curves) > 1 else 40
    keys = "".join(
        f'<tspan fill="{STYLES[c.style].colour}" dx="8">{STYLES[c.style].sample} '
        f"{_text(c.label, 16)}</tspan>"
        for c in sorted(curves, key=lambda c: c.style == "previous")
        if c.label
    )
    legend = f'<text x="{width - _RIGHT}" y="14" text-anchor="end">{keys}</text>'
    name = _text(title, room)
    bold = f'<text x="4" y="14" font-weight="bold">{name}</text>'
    return bold + (legend if keys else "")


def _nothing(width: int) -> str:
    at = f'x="{width // 2}" y="{_HEIGHT // 2}" text-anchor="middle"'
    return f"<text {at}>no finite values to draw</text>"


def _grid(x: _Axis, labels: list[tuple[int, str]], x_label: str) -> str:
    lines = "".join(f"M{x.start} {at}H{x.end}" for at, _ in labels)
    side = "".join(f'<text x="{x.start - 5}" y="{at + 4}">{text}</text>' for at, text in labels)
    foot = "".join(
        f'<tspan x="{min(at, x.end + _RIGHT - 4 * len(text))}">{text}</tspan>'
        for at, text in _x_ticks(x, _text(x_label, 16))
    )
    return (
        f'<path d="{lines}" stroke="{_TEXT}" stroke-opacity=".3"/>'
        f'<g text-anchor="end">{side}</g>'
        f'<text y="{_HEIGHT - _BOTTOM + 16}" text-anchor="middle">{foot}</text>'
    )


def _lines(axis: _Axis, positions: Iterable[float], dash: str) -> str:
    columns = sorted({axis.at(p) for p in positions if math.isfinite(p)})
    path = "".join(f"M{at} {_TOP}V{_HEIGHT - _BOTTOM}" for at in columns)
    return f'<path d="{path}" stroke="{_MARK}"{dash}/>' if path else ""


def _ring(x: int, y: int) -> str:
    return f'<circle cx="{x}" cy="{y}" r="6" fill="none" stroke="{_MARK}" stroke-width="2"/>'


def _draw(curve: Curve, x: _Axis, y: _Axis, points: int) -> str:
    style = STYLES[curve.style]
    limit = points // 2 if curve.style == "previous" else points
    segments = _segments(thin(curve.points, limit), x, y)
    path = "".join(_path(s) for s in segments if len(s) > 1)
    dots = "".join(f"M{s[0][0]} {s[0][1]}h0" for s in segments if len(s) == 1)
    faint = f' stroke-opacity="{style.opacity}"' if style.opacity < 1 else ""
    colour = f'fill="none" stroke="{style.colour}"{faint}'
    dash = f' stroke-dasharray="{style.dash}"' if style.dash else ""
    line = f'<path d="{path}" {colour} stroke-width="{style.width:g}"{dash}/>' if path else ""
    return line + (
        f'<path d="{dots}" {colour} stroke-width="6" stroke-linecap="round"/>' if dots else ""
    )


def _segments(points: list[Point], x: _Axis, y: _Axis) -> list[list[tuple[int, int]]]:
    segments: list[list[tuple[int, int]]] = [[]]
    for px, py in points:
        if not math.isfinite(py):
            segments.append([])
        else:
            segments[-1].append((x.at(px), y.at(py)))
    return [s for s in segments if s]


def _path(pixels: list[tuple[int, int]]) -> str:
    text = f"M{pixels[0][0]} {pixels[0][1]}l"
    moves = [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(pixels)]
    for dx, dy in moves:
        text += f"{'' if text[-1] == 'l' or dx < 0 else ' '}{dx}{'' if dy < 0 else ' '}{dy}"
    return text
