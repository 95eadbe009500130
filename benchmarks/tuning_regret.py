"""How near to the optimum a search comes: Hartmann's function of six variables.

    python benchmarks/tuning_regret.py 10     # seeds; against Keras Tuner and Optuna

Keras Tuner takes minutes for a search; what each seed came to is kept in ``.cache``.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from tuning_play import play

from nb_optimizer.core.tuning.space import Range, Space

TRIALS, BEST = 40, -3.32237
_KEPT = Path(__file__).parents[1] / ".cache" / "keras_tuner_hartmann.json"
_SPACE = Space([Range(f"x{i}", "float", 0.0, 1.0) for i in range(6)])


def hartmann(x: np.ndarray) -> float:
    """Return Hartmann's function of six variables; its smallest value is -3.32237."""
    a = [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14]]
    a += [[3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
    p = [[1312, 1696, 5569, 124, 8283, 5886], [2329, 4135, 8307, 3736, 1004, 9991]]
    p += [[2348, 1451, 3522, 2883, 3047, 6650], [4047, 8828, 8732, 5743, 1091, 381]]
    inner = (np.array(a) * (x - 1e-4 * np.array(p)) ** 2).sum(axis=1)
    return -float(np.array([1, 1.2, 3, 3.2]) @ np.exp(-inner))


def score(values: dict, epoch: int = 1) -> float:  # noqa: ARG001 - one signature
    """Return the function's value at named values."""
    return hartmann(np.array([values[f"x{i}"] for i in range(6)]))


def ours(name: str) -> Callable[[int], tuple[float, float]]:
    """Return a player for one of our searches: best value and seconds for a seed."""

    def run(seed: int) -> tuple[float, float]:
        began = time.perf_counter()
        record, _, _ = play(
            name, _SPACE, score, seed=seed, epochs=1, budget=TRIALS, direction="min", trials=TRIALS
        )
        return float(record.best.score), time.perf_counter() - began

    return run


def optuna_tpe(seed: int) -> tuple[float, float]:
    """Return the best of Optuna's TPE."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    began = time.perf_counter()
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    study.optimize(
        lambda t: score({f"x{i}": t.suggest_float(f"x{i}", 0, 1) for i in range(6)}),
        n_trials=TRIALS,
    )
    return float(study.best_value), time.perf_counter() - began


def keras_bayesian(seed: int) -> tuple[float, float]:
    """Return the best of Keras Tuner's BayesianOptimizationOracle, remembered from before."""
    import keras_tuner

    known = json.loads(_KEPT.read_text()) if _KEPT.is_file() else {}
    name = f"{keras_tuner.__version__} {TRIALS} {seed}"
    if name not in known:
        began = time.perf_counter()
        best = _keras_bayesian(seed)
        known = json.loads(_KEPT.read_text()) if _KEPT.is_file() else {}
        known[name] = best, time.perf_counter() - began
        _KEPT.parent.mkdir(exist_ok=True)
        _KEPT.write_text(json.dumps(known))
    value, seconds = known[name]
    return value, seconds


def _keras_bayesian(seed: int) -> float:
    import keras_tuner as kt
    from keras_tuner.src.tuners.bayesian import BayesianOptimizationOracle

    space = kt.HyperParameters()
    for i in range(6):
        space.Float(f"x{i}", 0.0, 1.0)
    with tempfile.TemporaryDirectory() as folder:
        oracle = BayesianOptimizationOracle(
            kt.Objective("score", "min"),
            max_trials=TRIALS,
            hyperparameters=space,
            seed=int(np.random.default_rng(seed).integers(2**31)),
        )
        oracle._set_project_dir(folder, "o")  # noqa: SLF001 - the only way
        oracle.verbose, best = 0, np.inf
        while (trial := oracle.create_trial("t")).status == "RUNNING":
            value = score(dict(trial.hyperparameters.values), 1)
            best = min(best, value)
            oracle.update_trial(trial.trial_id, {"score": value})
            trial.status = "COMPLETED"
            oracle.end_trial(trial)
    return float(best)


def regret(seeds: int) -> None:
    """Print the regret after 40 trials for everybody."""
    players = {
        "random": ours("random"),
        "Optuna TPE": optuna_tpe,
        "Keras Tuner Bayesian": keras_bayesian,
        "bayesian": ours("bayesian"),
    }
    for name, player in players.items():
        found, seconds = np.array([player(seed) for seed in range(seeds)]).T
        off = found - BEST
        print(
            f"{name:22} regret after {TRIALS} trials: median {np.median(off):.3f}, mean "
            f"{off.mean():.3f} ({off.min():.3f} to {off.max():.3f}), "
            f"{seconds.mean():.1f} s for one search",
            flush=True,
        )


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    regret(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
