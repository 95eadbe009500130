"""A Gaussian process over encoded values, and the point where improvement is most likely large.

Matern 5/2 kernel with a length for each dimension, fitted by maximum likelihood; expected
improvement over random and neighbouring candidates. Rasmussen and Williams, "Gaussian processes
for machine learning" (2006), chapters 2 and 5; Snoek and others, "Practical Bayesian
optimization" (2012). Sized to answer within a tenth of a second at 200 points in 10 dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
_FITTED, _STEPS = 64, 20  # points that lengths are fitted on, and steps of that fit
_AROUND = 16  # neighbours of each of the best points so far, at each of two distances
_JITTER = 1e-8
_ROOT5 = math.sqrt(5.0)
_FAR = -6.0  # standard deviations


@dataclass(frozen=True)
class Noise:
    """What is believed of the noise's variance before a value is seen, in variances of ``y``."""

    usual: float = 1e-2
    spread: float = 2.0  # of its logarithm
    most: float = 0.5


class GaussianProcess:
    """Fitted to rows ``x`` in [0, 1] and values ``y``, of which smaller is better."""

    def __init__(self, x: Array, y: Array, noise: Noise) -> None:
        self._mean, self._scale = float(y.mean()), float(y.std()) or 1.0
        self._x = x
        z = (y - self._mean) / self._scale
        chosen = _subset(z)
        self._lengths, self._noise = _fit(x[chosen], z[chosen], noise)
        kernel = _kernel(x, x, self._lengths)
        kernel[np.diag_indices_from(kernel)] += self._noise + _JITTER
        factor = np.linalg.cholesky(kernel)
        self._inverse = np.linalg.inv(factor)
        self._weights = self._inverse.T @ (self._inverse @ z)
        self._best = float(z.min())

    def predict(self, x: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation at the rows of ``x``, in units of ``y``."""
        mean, spread = self._predict(x)
        return mean * self._scale + self._mean, spread * self._scale

    def improvement(self, x: Array) -> Array:
        """Return the logarithm of the expected improvement at the rows of ``x``."""
        mean, spread = self._predict(x)
        u = (self._best - mean) / spread
        density = np.exp(-0.5 * u * u) / math.sqrt(2 * math.pi)
        gain = u * _normal(u) + density
        # Far out the difference of two tiny numbers is noise; there its asymptote takes over.
        tail = -0.5 * u * u - 2 * np.log(np.maximum(-u, 1.0)) - 0.92
        return np.where(u > _FAR, np.log(np.maximum(gain, 1e-300)), tail) + np.log(spread)  # type: ignore[no-any-return]

    def _predict(self, x: Array) -> tuple[Array, Array]:
        cross = _kernel(x, self._x, self._lengths)
        mean = cross @ self._weights
        half = cross @ self._inverse.T
        return mean, np.sqrt(np.maximum(1.0 - (half * half).sum(axis=1), 1e-10))


@dataclass(frozen=True)
class Effort:
    """How thoroughly the best place is looked for, in a model that believes in what noise."""

    noise: Noise = Noise()
    drawn: int = 256  # rows at random to begin with
    neighbours: int = 5  # of each of the best rows, in each round
    distances: tuple[float, ...] = (0.2, 0.1, 0.04, 0.015)  # of the neighbours, by round
    tops: int = 0  # best points so far that are looked around as well


def most_promising(
    model: GaussianProcess,
    draw: Callable[[int], Array],
    near: Callable[[Array, float], Array],
    tops: Array,
    effort: Effort,
) -> Array:
    """Return the row with the largest expected improvement.

    ``draw`` makes rows at random; ``near`` makes one neighbour of each row, at a given distance.
    In many dimensions no random row comes near ``tops``, the best points so far, where the
    improvement often is largest.
    """
    pool = draw(effort.drawn)
    if len(tops):
        around = np.repeat(tops, _AROUND, axis=0)
        pool = np.concatenate([pool, near(around, 0.15), near(around, 0.04)])
    value = model.improvement(pool)
    for distance in effort.distances:
        top = np.argsort(-value)[:16]
        fresh = near(np.repeat(pool[top], effort.neighbours, axis=0), distance)
        pool = np.concatenate([pool[top], fresh])
        value = np.concatenate([value[top], model.improvement(fresh)])
    best: Array = pool[int(np.argmax(value))]
    return best


def _subset(z: Array) -> Array:
    """Return the best half and others at even distances, few enough to fit lengths quickly."""
    if len(z) <= _FITTED:
        return np.arange(len(z))
    order = np.argsort(z)
    half = _FITTED // 2
    rest = order[half:]
    return np.concatenate([order[:half], rest[:: max(1, len(rest) // half)][:half]])


def _fit(x: Array, z: Array, belief: Noise) -> tuple[Array, float]:
    from scipy.optimize import minimize  # noqa: PLC0415 - a moment, only where a model is fitted

    dimensions = x.shape[1]
    apart = [(x[:, [d]] - x[:, d]) ** 2 for d in range(dimensions)]
    start = np.append(
        np.full(dimensions, math.log(0.5 * math.sqrt(dimensions) / 2)), math.log(1e-2)
    )
    bounds = [(math.log(0.05), math.log(20.0))] * dimensions
    bounds.append((math.log(1e-6), math.log(belief.most)))
    found = minimize(
        _loss, start, args=(apart, z, belief), jac=True, method="L-BFGS-B", bounds=bounds,
        options={"maxiter": _STEPS},
    )  # fmt: skip
    return np.exp(found.x[:-1]), float(np.exp(found.x[-1]))


def _loss(theta: Array, apart: list[Array], z: Array, belief: Noise) -> tuple[float, Array]:
    """Return the negative log posterior of lengths and noise, and its gradient."""
    squares, noise = np.exp(2 * theta[:-1]), math.exp(theta[-1])
    distance2 = sum(a / s for a, s in zip(apart, squares, strict=True))
    r = np.sqrt(distance2)
    decay = np.exp(-_ROOT5 * r)
    kernel = (1 + _ROOT5 * r + 5 / 3 * distance2) * decay
    kernel[np.diag_indices_from(kernel)] += noise + _JITTER
    factor = np.linalg.cholesky(kernel)
    inverse = np.linalg.inv(factor)
    weights = inverse.T @ (inverse @ z)
    full = inverse.T @ inverse
    inner = np.outer(weights, weights) - full
    slope = 5 / 3 * (1 + _ROOT5 * r) * decay  # of the kernel by minus half the squared distance
    gradient = [
        -0.5 * float((inner * slope * a).sum()) / s for a, s in zip(apart, squares, strict=True)
    ]
    gradient.append(-0.5 * float(np.trace(inner)) * noise)
    value = 0.5 * float(z @ weights) + float(np.log(np.diag(factor)).sum())
    # Weak priors keep a handful of points from being explained by one tiny or huge length.
    prior = np.append(np.full(len(squares), math.log(0.7)), math.log(belief.usual))
    width = np.append(np.full(len(squares), 1.2), belief.spread)
    off = (theta - prior) / width
    return value + 0.5 * float(off @ off), np.array(gradient) + off / width


def _kernel(a: Array, b: Array, lengths: Array) -> Array:
    a, b = a / lengths, b / lengths
    squares = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1) - 2 * a @ b.T
    distance2 = np.maximum(squares, 0.0)
    r = np.sqrt(distance2)
    found: Array = (1 + _ROOT5 * r + 5 / 3 * distance2) * np.exp(-_ROOT5 * r)
    return found


def _normal(u: Array) -> Array:
    from scipy.special import ndtr  # noqa: PLC0415 - as above

    found: Array = ndtr(u)
    return found
