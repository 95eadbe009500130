"""Suggests values from a model of the trials so far."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nb_optimizer.core.tuning.gaussian import Array, Effort, GaussianProcess, most_promising
from nb_optimizer.core.tuning.record import SearchRecord
from nb_optimizer.core.tuning.space import Range, Space, Values, key_of

Known = tuple[Values, float]  # values, and what is to be made small


def suggested(
    record: SearchRecord, known: Sequence[Known], pending: Sequence[Values],
    rng: np.random.Generator, effort: Effort,
) -> Values | None:  # fmt: skip
    """Return values with the largest expected improvement that were not tried; else ``None``.

    ``pending`` are values of trials that still run: they count as being what the model expects,
    so that two workers do not get the same.
    """
    space, tried = record.space, {key_of(t.values) for t in record.trials}
    sampler = _Sampler(space, rng)
    x = np.array([space.encode(v) for v, _ in known])
    y = np.array([s for _, s in known])
    best = [known[i][0] for i in np.argsort(y, kind="stable")[: effort.tops]]
    tops = sampler.rows([values for values in best if values])
    if pending:
        waiting = np.array([space.encode(v) for v in pending])
        expected, _ = GaussianProcess(x, y, effort.noise).predict(waiting)
        x, y = np.concatenate([x, waiting]), np.concatenate([y, expected])
    model = GaussianProcess(x, y, effort.noise)
    found = most_promising(model, sampler.draw, sampler.near, tops, effort)
    for row in (found, *(sampler.near(found[None], 0.1)[0] for _ in range(30))):
        values = sampler.values_of(row)
        if key_of(values) not in tried:
            return values
    return None


class _Sampler:
    """Rows of encoded values and the values they came from."""

    def __init__(self, space: Space, rng: np.random.Generator) -> None:
        self._space, self._rng = space, rng
        self._values: dict[bytes, Values] = {}
        self._spans: list[tuple[Range, int, int]] = []
        at = 0
        for one in space.ranges:
            width = len(Space([one]).encode({one.name: one.at(0.0)}))
            self._spans.append((one, at, width))
            at += width

    def draw(self, count: int) -> Array:
        """Return rows drawn at random."""
        return self.rows([self._space.sample(self._rng) for _ in range(count)])

    def near(self, rows: Array, distance: float) -> Array:
        """Return a neighbour of each row: one or two of its values moved."""
        return self.rows([self._moved(self.values_of(row), distance) for row in rows])

    def values_of(self, row: Array) -> Values:
        """Return the values that a row stands for."""
        return self._values[row.tobytes()]

    def _moved(self, values: Values, distance: float) -> Values:
        names = list(values)
        picked = {names[int(self._rng.integers(len(names)))] for _ in range(2)}
        moved: Values = {}
        for one in self._space.ranges:
            if not one.is_open(moved):
                continue
            if one.name not in values:
                moved[one.name] = one.sample(self._rng)
            elif one.name in picked:
                moved[one.name] = self._step(one, values[one.name], distance)
            else:
                moved[one.name] = values[one.name]
        return moved

    def _step(self, one: Range, value: object, distance: float) -> object:
        if one.kind == "choice":
            return one.sample(self._rng)
        points = one.points() if one.step or one.kind == "int" else None
        least = 1.0 / len(points) if points else 0.0
        return one.at(one.share(value) + float(self._rng.normal()) * max(distance, least))

    def rows(self, many: list[Values]) -> Array:
        """Return values as rows, whose values can be asked for later."""
        rows = np.array([self._space.encode(v) for v in many])
        for row, values in zip(rows, many, strict=True):
            self._values[row.tobytes()] = values
        return rows
