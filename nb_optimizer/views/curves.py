"""Curves of any length in a bounded number of points, packed for the front end."""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Iterable

Point = tuple[float, float]

LIMIT = 300
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


def _join(one: tuple[Point, Point], two: tuple[Point, Point]) -> tuple[Point, Point]:
    low = two[0] if math.isnan(one[0][1]) or two[0][1] < one[0][1] else one[0]
    high = two[1] if math.isnan(one[1][1]) or two[1][1] > one[1][1] else one[1]
    return low, high
