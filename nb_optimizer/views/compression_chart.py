"""Size or latency against loss, as SVG text: one dot for each file, a line for the budget."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from nb_optimizer.core.compression.row import MEASURED, Row
from nb_optimizer.views import html_parts as html

_WIDTH, _HEIGHT = 420, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 30, 34
_TEXT, _MADE, _REFUSED, _LINE = "#777", "#3b82f6", "#8a8a8a", "#d9730d"
_PICKS = ("quality", "balanced", "compact")
_ROOM, _LINE_HEIGHT = 110, 12  # of the names of picks
_TITLES = {
    "size": "size of the file against loss",
    "gzip": "size after gzip against loss",
    "latency": "latency against loss",
}
_TICKS = (1, 2, 3, 5, 10, 20, 30, 50, 100)


def scatter(  # noqa: PLR0913 - what a picture shows, and how
    rows: Sequence[Row],
    picks: Mapping[str, int],
    kind: str,
    budget: float,
    *,
    unit: str = "pt",
    clicks: bool = False,
) -> str:
    """Return the chart of ``rows``: ``kind`` is ``size``, ``gzip`` or ``latency``.

    The horizontal axis says how many times smaller (or faster) than float, on a logarithmic
    scale; the vertical one is the loss in ``unit``, downwards, so that up and right is better.
    For ``clicks``, each dot carries the number of its row as ``data-row``.
    """
    points = [(r, _gain(r, rows[0], kind)) for r in rows]
    x_low = min([1.0, *(g for _, g in points)]) * 0.9
    x_high = max([2.0, *(g for _, g in points)]) * 1.15
    place = _Place(x_low, x_high, _best(rows, budget), _worst(rows, budget))
    body = [_axes(place, kind), _budget(place, budget)]
    draw = _clickable if clicks else _dot
    body += [draw(place, row, gain, picks) for row, gain in points]
    body += _names(place, points, picks)
    head = f'<text x="4" y="16" font-weight="bold">{_TITLES[kind]}, {unit}</text>'
    box = f'width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
    look = f'fill="{_TEXT}" font-family="sans-serif" font-size="11"'
    inner = head + "".join(body)
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box} {look}>{inner}</svg>'


class _Place:
    """Where a gain and a loss are in the picture."""

    def __init__(self, low: float, high: float, best: float, worst: float) -> None:
        self._low, self._high = math.log(low), math.log(high)
        self.low, self.high = low, high
        self.best, self.worst = best, worst

    def x(self, gain: float) -> int:
        """Return the column of a gain."""
        share = (math.log(max(gain, 1e-9)) - self._low) / (self._high - self._low)
        return round(_LEFT + min(1.0, max(0.0, share)) * (_WIDTH - _LEFT - _RIGHT))

    def y(self, loss: float) -> int:
        """Return the line of a loss; what is outside stays at the edge."""
        share = (loss - self.best) / (self.worst - self.best)
        return round(_TOP + min(1.0, max(0.0, share)) * (_HEIGHT - _TOP - _BOTTOM))


def _gain(row: Row, base: Row, kind: str) -> float:
    if kind == "latency":
        return row.speedup or 1.0
    before, after = (base.bytes, row.bytes) if kind == "size" else (base.gzip_bytes, row.gzip_bytes)
    return before / after if after else 1.0


def _worst(rows: Sequence[Row], budget: float) -> float:
    """Return the loss at the bottom: a rejected file far off must not flatten the others."""
    seen = [r.drop for r in rows if math.isfinite(r.drop)]
    return max(2 * budget, min(max([0.0, *seen]), 6 * budget)) * 1.1


def _best(rows: Sequence[Row], budget: float) -> float:
    """Return the loss at the top: a gain, where fine-tuning has brought one."""
    seen = [r.drop for r in rows if math.isfinite(r.drop)]
    return min(-_worst(rows, budget) / 6, 1.2 * max(min([0.0, *seen]), -6 * budget))


def _axes(place: _Place, kind: str) -> str:
    parts = []
    for tick in _TICKS:
        if place.low <= tick <= place.high:
            at = place.x(tick)
            parts.append(f'<text x="{at}" y="{_HEIGHT - 18}" text-anchor="middle">{tick}x</text>')
            parts.append(_path(f"M{at} {_TOP}V{_HEIGHT - _BOTTOM}", _TEXT, 0.2))
    step = _step(place.worst - place.best)
    for i in range(math.ceil(place.best / step), math.floor(place.worst / step) + 1):
        at = place.y(i * step)
        label = f"{100 * i * step:+g}" if i else "0"
        parts.append(f'<text x="{_LEFT - 5}" y="{at + 4}" text-anchor="end">{label}</text>')
        parts.append(_path(f"M{_LEFT} {at}H{_WIDTH - _RIGHT}", _TEXT, 0.2))
    name = "faster than float" if kind == "latency" else "smaller than float"
    parts.append(f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 4}" text-anchor="end">{name}</text>')
    return "".join(parts)


def _budget(place: _Place, budget: float) -> str:
    at = place.y(budget)
    dashed = f'stroke="{_LINE}" stroke-dasharray="5 4"'
    # At the left and below: the smallest files come close to the line from above, at the right.
    label = f'<text x="{_LEFT + 4}" y="{at + 13}" fill="{_LINE}">'
    return f'<path d="M{_LEFT} {at}H{_WIDTH - _RIGHT}" {dashed}/>{label}allowed loss</text>'


def _clickable(place: _Place, row: Row, gain: float, picks: Mapping[str, int]) -> str:
    # A wider circle that nobody sees takes the clicks, and the mark of what is chosen.
    at = f'cx="{place.x(gain)}" cy="{place.y(row.drop)}"'
    reach = f'<circle class="nbopt-mark" {at} r="9" fill="transparent"/>'
    named = f"<title>{html.safe(row.name, 60)}</title>"
    return f'<g data-row="{row.number}">{named}{_dot(place, row, gain, picks)}{reach}</g>'


def _dot(place: _Place, row: Row, gain: float, picks: Mapping[str, int]) -> str:
    x, y = place.x(gain), place.y(row.drop)
    if row.status != MEASURED:
        return _path(f"M{x - 4} {y - 4}l8 8M{x - 4} {y + 4}l8 -8", _REFUSED, 1.0)
    low, high = place.y(row.drop_low), place.y(row.drop_high)
    bar = _path(f"M{x} {low}V{high}", _MADE, 0.5)
    dot = f'<circle cx="{x}" cy="{y}" r="4" fill="{_MADE}"/>'
    ring = ""
    if picks.get("best") == row.number:
        ring = f'<circle cx="{x}" cy="{y}" r="8" fill="none" stroke="#b05cc8" stroke-width="2"/>'
    return bar + dot + ring


def _names(
    place: _Place, points: Sequence[tuple[Row, float]], picks: Mapping[str, int]
) -> list[str]:
    """Return the names of the picks beside their dots, none on another."""
    made: list[str] = []
    above = 0
    picked = [p for p in points if p[0].status == MEASURED and p[0].number in picks.values()]
    for row, gain in sorted(picked, key=lambda point: point[0].drop):
        named = [name for name in _PICKS if picks.get(name) == row.number]
        if not named:
            continue
        x, above = place.x(gain), max(place.y(row.drop) - 6, above + _LINE_HEIGHT)
        ends = x > _WIDTH - _RIGHT - _ROOM  # the names would leave the picture
        side = f'x="{x - 10}" text-anchor="end"' if ends else f'x="{x + 10}"'
        told = "all three picks" if len(named) == len(_PICKS) else ", ".join(named)
        made.append(f'<text {side} y="{above}" font-weight="bold">{told}</text>')
    return made


def _path(path: str, colour: str, opacity: float) -> str:
    return f'<path d="{path}" stroke="{colour}" stroke-opacity="{opacity}" fill="none"/>'


def _step(worst: float) -> float:
    rough = worst / 5
    power = 10 ** math.floor(math.log10(rough))
    return float(next(m * power for m in (1, 2, 5, 10) if m * power >= rough))
