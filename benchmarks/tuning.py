"""How many epochs until a good configuration is found, and how long a suggestion takes.

    python benchmarks/tuning.py epochs 30     # on the table of tuning_table.py, 30 seeds
    python benchmarks/tuning.py suggestions   # 200 trials in 10 dimensions

Everybody gets the same table and the same epochs, by the rules of tuning_players.py.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tuning_table
from tuning_play import play
from tuning_players import (
    Game,
    Meter,
    Reached,
    compare,
    everyone,
    random_twice,
)
from tuning_regret import hartmann

from nb_optimizer.core.tuning.space import Range, Space, key_of

EPOCHS = tuning_table.EPOCHS
SPACE = Space([Range(k, "choice", choices=v) for k, v in tuning_table.AXES.items()])


def scorer(seed: int) -> Callable[[dict, int], float]:  # noqa: ARG001 - the table has one seed
    """Return what the table says."""
    rows = tuning_table.table()
    place = {key_of(c): i for i, c in enumerate(tuning_table.configurations())}
    return lambda values, epoch: float(rows[place[key_of(values)], epoch - 1])


GAME = Game(SPACE, scorer, EPOCHS, budget=160 * EPOCHS)


def one_epoch(game: Game, target: float, seed: int) -> int:
    """Train 60 configurations for one epoch, and the best five of them to the end."""
    rng, meter = np.random.default_rng(seed), Meter(game, target, seed)
    known = tuning_table.configurations()
    try:
        picked = [known[i] for i in rng.choice(len(known), 60, replace=False)]
        scores = [meter(c, 1, i) for i, c in enumerate(picked)]
        for i in np.argsort(scores)[::-1][:5]:
            for epoch in range(2, EPOCHS + 1):
                meter(picked[i], epoch, i)
    except Reached:
        return meter.spent
    return game.budget


def epochs(seeds: int) -> None:
    """Print the epochs until the target, for three targets."""
    final = tuning_table.table()[:, -1]
    unlike = {
        "random, twice the budget": random_twice,
        "one epoch, then the best 5 of 60": one_epoch,
    }
    players = {**everyone(), **unlike}
    for share in (0.9, 0.95, 0.98):
        target = float(np.quantile(final, share))
        print(f"target: the {share:.0%} quantile of the final accuracy, {target:.4f}")
        compare(players, GAME, target, seeds)


def suggestions() -> None:
    """Print the CPU time of suggestions, up to 200 trials in 10 dimensions, on one thread."""
    space = Space([Range(f"x{i}", "float", 0.0, 1.0) for i in range(10)])
    for name in ("random", "bayesian", "asha", "hyperband"):
        score = lambda v, e: hartmann(np.array([v[f"x{i}"] for i in range(6)])) / e  # noqa: E731
        record, _, seconds = play(
            name, space, score, seed=0, epochs=1, budget=200, direction="min", trials=200
        )
        p50, p95 = np.quantile(seconds, [0.5, 0.95]) * 1000
        print(
            f"{name:10} {len(record.trials)} trials, 10 dimensions: CPU median {p50:.1f} ms, "
            f"p95 {p95:.1f} ms, longest {max(seconds) * 1000:.0f} ms"
        )


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    what = sys.argv[1] if len(sys.argv) > 1 else "epochs"
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 30
    sys.path.insert(0, str(Path(__file__).parent))
    if what == "suggestions":
        suggestions()
    else:
        epochs(count)
