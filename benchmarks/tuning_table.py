"""A real table of training runs: 160 configurations x 27 epochs, to compare searches cheaply.

scikit-learn's ``MLPClassifier`` on its digits, 15 % of the training labels flipped, 40 % held
out; solver, learning rate, width, batch size and penalty varied, every combination trained.
Building it takes a few minutes on one core; it is kept in ``.cache``.
"""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path

import numpy as np

EPOCHS = 27
AXES = {
    "solver": ("adam", "sgd"),
    "lr": (0.0003, 0.001, 0.003, 0.01, 0.1),
    "width": (8, 16, 32, 64),
    "batch": (16, 128),
    "alpha": (0.0001, 1.0),
}
_FILE = Path(__file__).parents[1] / ".cache" / "tuning_table.npy"


def table() -> np.ndarray:
    """Return the running best of the held-out accuracy, configurations x epochs."""
    if not _FILE.is_file():
        _FILE.parent.mkdir(exist_ok=True)
        np.save(_FILE, _build())
    return np.load(_FILE)


def configurations() -> list[dict]:
    """Return the configurations in the order of the table's rows."""
    return [dict(zip(AXES, point, strict=True)) for point in itertools.product(*AXES.values())]


def _build() -> np.ndarray:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    split = train_test_split(x / 16, y, test_size=0.4, random_state=0, stratify=y)
    rng = np.random.default_rng(0)
    flipped = rng.random(len(split[2])) < 0.15
    split[2][flipped] = rng.integers(0, 10, flipped.sum())
    rows = [_train(number, one, split) for number, one in enumerate(configurations())]
    return np.maximum.accumulate(np.array(rows), axis=1)


def _train(number: int, one: dict, split: list) -> list[float]:
    from sklearn.neural_network import MLPClassifier

    warnings.filterwarnings("ignore")
    net = MLPClassifier(
        (one["width"],), solver=one["solver"], learning_rate_init=one["lr"], alpha=one["alpha"],
        batch_size=one["batch"], random_state=number,
    )  # fmt: skip
    rng, (x, x_test, y, y_test) = np.random.default_rng(number), split
    scores = []
    for _ in range(EPOCHS):
        for rows in np.array_split(rng.permutation(len(x)), len(x) // one["batch"]):
            net.partial_fit(x[rows], y[rows], classes=np.arange(10))
        scores.append(float(net.score(x_test, y_test)))
    return scores
