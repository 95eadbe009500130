"""How much each hyperparameter matters, and how sure that is.

A forest of random trees learns scores from values; the share of a range is how much worse the
trees get on trials they have not seen when that range's values are shuffled (permutation
importance, Breiman 2001). The spread over the trees is the uncertainty that is shown with it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nb_optimizer.core.tuning.space import Space, Values

LEAST_TRIALS = 20
_TREES = 100


def importance(
    space: Space, known: list[tuple[Values, float]]
) -> tuple[dict[str, float], dict[str, float]]:
    """Return each range's share of what the values explain (summing to 1), and its error.

    ``known`` are values with their scores, at least ``LEAST_TRIALS`` of them.
    """
    from sklearn.tree import ExtraTreeRegressor  # noqa: PLC0415 - a second, only where it is needed

    columns = _columns(space)
    x = np.array([space.encode(values) for values, _ in known])
    # Ranks: one trial that diverged must not drown what matters among the good ones.
    y = np.argsort(np.argsort([score for _, score in known])).astype(float)
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(_TREES):
        inside = rng.integers(0, len(x), len(x))
        outside = np.setdiff1d(np.arange(len(x)), inside)
        if not len(outside):
            continue
        tree = ExtraTreeRegressor(max_features=1.0, random_state=int(rng.integers(2**31)))
        tree.fit(x[inside], y[inside])
        rows.append(_losses(tree, x[outside], y[outside], columns, rng))
    return _shares(np.array(rows), [r.name for r in space.ranges])


def _columns(space: Space) -> list[list[int]]:
    at, found = 0, []
    for one in space.ranges:
        width = len(Space([one]).encode({one.name: (one.points() or [one.low])[0]}))
        found.append(list(range(at, at + width)))
        at += width
    return found


def _losses(
    tree: Any, x: Any, y: Any, columns: list[list[int]], rng: np.random.Generator
) -> list[float]:
    base = float(np.mean((tree.predict(x) - y) ** 2))
    losses = []
    for group in columns:
        mixed = x.copy()
        mixed[:, group] = x[rng.permutation(len(x))][:, group]
        losses.append(float(np.mean((tree.predict(mixed) - y) ** 2)) - base)
    return losses


def _shares(rows: Any, names: list[str]) -> tuple[dict[str, float], dict[str, float]]:
    mean = np.maximum(rows.mean(axis=0), 0.0)
    total = float(mean.sum()) or 1.0
    error = rows.std(axis=0) / np.sqrt(len(rows)) / total
    shares: dict[str, float] = {}
    errors: dict[str, float] = {}
    for name, share, spread in zip(names, mean / total, error, strict=True):
        # A name may stand for several ranges, under different conditions.
        shares[name] = round(shares.get(name, 0.0) + float(share), 4)
        errors[name] = round(float(np.hypot(errors.get(name, 0.0), spread)), 4)
    return shares, errors
