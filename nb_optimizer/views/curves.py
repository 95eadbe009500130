"""Curves of any length in a bounded number of points, packed for the front end."""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Iterable
from typing import Any

from nb_optimizer.core import events as ev
from nb_optimizer.core.record import RunRecord
from nb_optimizer.views import words

Point = tuple[float, float]

LIMIT = 300
CHARTS = 4  # further metrics are only named
_BUCKETS = LIMIT // 2 - 1  # each shows two points; one more place is for the newest point


class Curve:
    """At most ``LIMIT`` points of a curve that grows; its peaks and its newest point are kept."""

    def __init__(self, points: Iterable[Point] = ()) -> None:
        self._buckets: list[tuple[Point, Point]] = []  # the lowest and the highest point of each
        self._width = 1  # points per bucket
        self._filled = 0  # points in the last bucket
        self.last: Point | None = None
        for x, y in points:
            self.add(x, y)

    def add(self, x: float, y: float) -> None:
        """Append a point; ``x`` grows."""
        self.last = point = (x, y)
        if not self._buckets or self._filled == self._width:
            self._buckets.append((point, point))
            self._filled = 1
        else:
            self._buckets[-1] = _join(self._buckets[-1], (point, point))
            self._filled += 1
        if len(self._buckets) > _BUCKETS:
            self._halve()

    def points(self) -> list[Point]:
        """Return the kept points from left to right."""
        kept: list[Point] = []
        for low, high in self._buckets:
            kept.extend((low,) if low == high else sorted((low, high)))
        if self.last is not None and kept[-1][0] != self.last[0]:
            kept.append(self.last)
        return kept

    def _halve(self) -> None:
        pairs = zip(self._buckets[::2], self._buckets[1::2], strict=False)
        joined = [_join(one, two) for one, two in pairs]
        odd = len(self._buckets) % 2
        if odd:
            joined.append(self._buckets[-1])
        else:
            self._filled += self._width
        self._buckets = joined
        self._width *= 2


def pack(curves: Iterable[list[Point]]) -> bytes:
    """Return ``x, y, x, y, ...`` of one curve after the other as little-endian float32."""
    flat = array("f", [number for curve in curves for point in curve for number in point])
    if sys.byteorder == "big":
        flat.byteswap()
    return flat.tobytes()


class RunCurves:
    """All metrics of one record; an epoch costs the same at epoch 10 and at epoch 10,000."""

    def __init__(self, record: RunRecord) -> None:
        self._record = record
        self._curves: dict[str, Curve] = {}
        self._at_best: dict[str, float] = {}
        self._ghost: tuple[RunRecord | None, dict[str, Curve]] = (None, {})
        self._drawn: tuple[bytes, list[dict[str, Any]]] | None = None
        self._start_over()

    def fold(self, event: ev.Event) -> None:
        """Take an event in that the record has just taken in."""
        if isinstance(event, ev.EpochEnd) and not event.partial:
            self._epoch(event)
        elif isinstance(event, ev.Resumed):
            self._start_over()

    def names(self) -> list[str]:
        """Return the metrics without their validation twins, the most important first."""
        first = {"loss": 0, self._record.begin.monitor.removeprefix("val_"): 1}
        names = dict.fromkeys(name.removeprefix("val_") for name in self._curves)
        return sorted(names, key=lambda name: first.get(name, 2))

    def newest(self) -> dict[str, float]:
        """Return the last value of every metric."""
        return {name: curve.last[1] for name, curve in self._curves.items() if curve.last}

    def drawn(self) -> tuple[bytes, list[dict[str, Any]]]:
        """Return the packed curves and, in the same order, what is drawn where."""
        if self._drawn is None or self._ghost[0] is not self._record.ghost:
            self._drawn = self._draw()
        return self._drawn

    def batches(self) -> bytes:
        """Return the true batch losses of this epoch, packed."""
        return pack([Curve(self._record.batch_losses).points()])

    def _start_over(self) -> None:
        self._curves, self._at_best, self._drawn = {}, {}, None
        for epoch in self._record.epochs:
            self._epoch(epoch)

    def _epoch(self, event: ev.EpochEnd) -> None:
        for name, value in event.values.items():
            self._curves.setdefault(name, Curve()).add(event.epoch, value)
        best = self._record.best
        if best and best.epoch == event.epoch:
            self._at_best = event.values
        self._drawn = None

    def _draw(self) -> tuple[bytes, list[dict[str, Any]]]:
        packed: list[list[Point]] = []
        charts = []
        for name in self.names()[:CHARTS]:
            curves = self._of(name)
            packed.extend(curves.values())
            charts.append(self._chart(name, {kind: len(c) for kind, c in curves.items()}))
        return pack(packed), charts

    def _of(self, name: str) -> dict[str, list[Point]]:
        ghosts = self._ghosts()
        found = {
            "training": self._curves.get(name),
            "validation": self._curves.get(f"val_{name}"),
            "previous": ghosts.get(f"val_{name}", ghosts.get(name)),
        }
        return {kind: curve.points() for kind, curve in found.items() if curve}

    def _ghosts(self) -> dict[str, Curve]:
        ghost = self._record.ghost
        if self._ghost[0] is not ghost:
            self._ghost = (ghost, RunCurves(ghost)._curves if ghost else {})  # noqa: SLF001
        return self._ghost[1]

    def _chart(self, name: str, lengths: dict[str, int]) -> dict[str, Any]:
        drawn = f"val_{name}" if f"val_{name}" in self._at_best else name
        ring = self._at_best.get(drawn)
        best = self._record.best
        return {
            "name": words.one_line(name, 40),
            "curves": list(lengths.items()),
            "now": _values(name, self.newest()),
            "best": _values(name, self._at_best),
            "ring": [best.epoch, ring] if best and ring is not None and math.isfinite(ring) else [],
        }


def _values(name: str, values: dict[str, float]) -> str:
    pairs = {"": values.get(name), "validation ": values.get(f"val_{name}")}
    return ", ".join(f"{k}{words.number(v)}" for k, v in pairs.items() if v is not None)


def _join(one: tuple[Point, Point], two: tuple[Point, Point]) -> tuple[Point, Point]:
    low = two[0] if math.isnan(one[0][1]) or two[0][1] < one[0][1] else one[0]
    high = two[1] if math.isnan(one[1][1]) or two[1][1] > one[1][1] else one[1]
    return low, high
