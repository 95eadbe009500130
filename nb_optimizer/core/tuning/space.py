"""What may vary: ranges by name, with the conditions under which a range counts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

Values = dict[str, Any]
Condition = tuple[str, tuple[Any, ...]]  # a parent's name, and the values that open this range

_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Range:
    """One hyperparameter: ``kind`` is ``int``, ``float`` or ``choice``.

    ``step`` is added from point to point; with ``log`` it multiplies. ``when`` lists the
    conditions that must all hold for the range to count.
    """

    name: str
    kind: str
    low: float = 0.0
    high: float = 0.0
    step: float | None = None
    log: bool = False
    choices: tuple[Any, ...] = ()
    when: tuple[Condition, ...] = ()

    def points(self) -> list[Any] | None:
        """Return all values in order, or ``None`` for a continuous range."""
        if self.kind == "choice":
            return list(self.choices)
        step = self.step or (1.0 if self.kind == "int" and not self.log else None)
        if step is None:
            return self._all_integers() if self.kind == "int" else None
        if self.log:
            count = math.floor(math.log(self.high / self.low) / math.log(step) + _TOLERANCE)
            raw = [self.low * step**i for i in range(count + 1)]
        else:
            count = math.floor((self.high - self.low) / step + _TOLERANCE)
            raw = [self.low + i * step for i in range(count + 1)]
        return list(dict.fromkeys(self._typed(v) for v in raw))

    def sample(self, rng: np.random.Generator) -> Any:
        """Draw one value, every point or every length of the scale equally likely."""
        return self.at(float(rng.random()))

    def at(self, share: float) -> Any:
        """Return the value at ``share`` of the scale, from 0 up to 1."""
        share = min(max(share, 0.0), 1.0)
        points = self.points() if self.step or self.kind != "float" else None
        if points is not None:
            return points[min(int(share * len(points)), len(points) - 1)]
        if self.log:
            return self._typed(self.low * (self.high / self.low) ** share)
        return self._typed(self.low + share * (self.high - self.low))

    def share(self, value: Any) -> float:
        """Return where on the scale a value is, from 0 to 1; for points, their middle."""
        points = self.points() if self.step or self.kind != "float" else None
        if points is not None:
            nearest = min(range(len(points)), key=lambda i: _distance(points[i], value))
            return (nearest + 0.5) / len(points)
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return float((value - self.low) / (self.high - self.low))

    def contains(self, value: Any) -> bool:
        """Whether the value is one of this range's."""
        if self.kind == "choice":
            return any(value == c and type(value) is type(c) for c in self.choices)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if self.kind == "int" and value != int(value):
            return False
        slack = _TOLERANCE * max(abs(self.low), abs(self.high))
        if not self.low - slack <= value <= self.high + slack:
            return False
        points = self.points() if self.step else None
        return points is None or any(math.isclose(p, value, rel_tol=1e-6) for p in points)

    def is_open(self, values: Mapping[str, Any]) -> bool:
        """Whether the conditions of this range hold."""
        return all(parent in values and values[parent] in allowed for parent, allowed in self.when)

    def __str__(self) -> str:
        if self.kind == "choice":
            return "|".join(_word(c) for c in self.choices)
        low, high = (_word(self._typed(v)) for v in (self.low, self.high))
        step = f":{self.step:g}" if self.step else ""
        if self.log:
            return f"log({low},{high}){step}"
        return f"{low}..{high}{step}" if self.kind == "int" else f"lin({low},{high}){step}"

    def _all_integers(self) -> list[int] | None:
        return list(range(int(self.low), int(self.high) + 1)) if self.high < 1e5 else None  # noqa: PLR2004 - a list of that many is still cheap

    def _typed(self, value: float) -> float | int:
        if self.kind == "int":
            return min(max(round(value), int(self.low)), int(self.high))
        return float(f"{min(max(value, self.low), self.high):.10g}")


@dataclass
class Space:
    """All ranges, parents before what depends on them."""

    ranges: list[Range] = field(default_factory=list)

    def active(self, values: Mapping[str, Any]) -> list[Range]:
        """Return the ranges that count with these values."""
        return [r for r in self.ranges if r.is_open(values)]

    def sample(self, rng: np.random.Generator, given: Mapping[str, Any] | None = None) -> Values:
        """Draw values for all ranges that count; ``given`` ones are kept."""
        values: Values = {}
        for one in self.ranges:
            if one.is_open(values):
                drawn = one.sample(rng)  # drawn in any case, so that others do not shift
                values[one.name] = given[one.name] if given and one.name in given else drawn
        return values

    def grid(self) -> Iterator[Values]:
        """Yield every point once, the last range varying fastest."""
        yield from self._points({}, 0)

    def size(self) -> float:
        """Return how many points there are; infinite where a range is continuous."""
        if any(r.points() is None for r in self.ranges):
            return math.inf
        if not any(r.when for r in self.ranges):
            return math.prod(len(r.points() or ()) for r in self.ranges)
        return sum(1 for _ in itertools.islice(self.grid(), 1_000_000))

    def encode(self, values: Mapping[str, Any]) -> list[float]:
        """Return values as numbers from 0 to 1; a choice takes one for each of its values."""
        return [x for r in self.ranges for x in _encoded(r, values)]

    def known(self, values: Mapping[str, Any]) -> bool:
        """Whether every value lies in its range, and none is missing."""
        open_ones = self.active(values)
        names = {r.name for r in open_ones}
        inside = all(r.name in values and r.contains(values[r.name]) for r in open_ones)
        return inside and set(values) <= names

    def add(self, new: list[Range]) -> list[Range]:
        """Take in ranges that are not known yet, and return those."""
        fresh = [r for r in new if all(r.name != k.name or r.when != k.when for k in self.ranges)]
        self.ranges.extend(fresh)
        return fresh

    def to_json(self) -> list[dict[str, Any]]:
        """Return the space as plain values."""
        return [asdict(r) for r in self.ranges]

    @classmethod
    def from_json(cls, items: list[dict[str, Any]]) -> Space:
        """Read what :meth:`to_json` wrote."""
        return cls([range_from_json(i) for i in items])

    def _points(self, values: Values, at: int) -> Iterator[Values]:
        if at == len(self.ranges):
            yield dict(values)
            return
        one = self.ranges[at]
        if not one.is_open(values):
            yield from self._points(values, at + 1)
            return
        for value in one.points() or ():
            yield from self._points({**values, one.name: value}, at + 1)


def range_from_json(item: Mapping[str, Any]) -> Range:
    """Read one range."""
    when = tuple((parent, tuple(allowed)) for parent, allowed in item.get("when", ()))
    return Range(**{**item, "choices": tuple(item.get("choices", ())), "when": when})


def key_of(values: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return what tells two sets of values apart."""
    return tuple(sorted((k, repr(v)) for k, v in values.items()))


def rng_of(seed: int, *more: int | str) -> np.random.Generator:
    """Return a stream of its own for a seed and what it is for; neighbours have nothing in common.

    NumPy mixes the words of a seed sequence, so that 0, 1 and 2 are as far apart as any others.
    """
    words = [n if isinstance(n, int) else int.from_bytes(n.encode()[:8], "little") for n in more]
    return np.random.default_rng([seed, *words])


def _encoded(one: Range, values: Mapping[str, Any]) -> list[float]:
    is_there = one.name in values
    if one.kind == "choice" and not _is_ordered(one):
        return [float(is_there and values[one.name] == c) for c in one.choices]
    return [one.share(values[one.name]) if is_there else 0.5]


def _is_ordered(one: Range) -> bool:
    numbers = all(isinstance(c, int | float) and not isinstance(c, bool) for c in one.choices)
    return (numbers and list(one.choices) == sorted(one.choices)) or len(one.choices) == 2  # noqa: PLR2004 - two values have one direction


def _distance(point: Any, value: Any) -> float:
    if isinstance(point, int | float) and isinstance(value, int | float):
        return abs(point - value) + (type(point) is not type(value)) * 1e-12
    return 0.0 if point == value else math.inf


def _word(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    return f"{value:.10g}" if isinstance(value, float) else str(value)
