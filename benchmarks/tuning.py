"""How many epochs until a good configuration is found, and how long a suggestion takes.

    python benchmarks/tuning.py epochs 30     # on the table of tuning_table.py, 30 seeds
    python benchmarks/tuning.py suggestions   # 200 trials in 10 dimensions

Everybody gets the same table and the same epochs. Keras Tuner's Hyperband and Optuna continue
promoted trials for free here, which the first of them does not really do.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tuning_table
from tuning_play import play
from tuning_regret import hartmann

from nb_optimizer.core.tuning.space import Range, Space, key_of

EPOCHS = tuning_table.EPOCHS
BUDGET = 160 * EPOCHS
Step = Callable[[dict, int], float]


class Reached(Exception):  # noqa: N818 - a signal
    """The target was seen."""


class Meter:
    """Answers with the table, counts epochs, stops at the target."""

    def __init__(self, target: float) -> None:
        self.rows = tuning_table.table()
        self.place = {key_of(c): i for i, c in enumerate(tuning_table.configurations())}
        self.target, self.spent, self.done = target, 0, {}

    def __call__(self, values: dict, epoch: int, trial: object = None) -> float:
        """Return the score after ``epoch``; the same epoch of a trial is paid once."""
        score = float(self.rows[self.place[key_of(values)], epoch - 1])
        if trial is not None and epoch > self.done.get(trial, 0):
            self.done[trial] = epoch
            self.spent += 1
            if score >= self.target or self.spent >= BUDGET:
                raise Reached
        return score


def ours(name: str) -> Callable[[float, int], int]:
    """Return a player for one of our searches."""
    axes = tuning_table.AXES.items()
    space = Space([Range(k, "choice", choices=v) for k, v in axes])

    def run(target: float, seed: int) -> int:
        meter = Meter(target)
        found = play(
            name, space, meter, seed=seed, epochs=EPOCHS, budget=BUDGET, target=target
        )[1]  # fmt: skip
        return found or BUDGET

    return run


def random_twice(target: float, seed: int) -> int:
    """Random search with twice the budget: half its epochs."""
    return ours("random")(target, seed) // 2


def one_epoch(target: float, seed: int) -> int:
    """Train 60 configurations for one epoch, and the best five of them to the end."""
    rng, meter = np.random.default_rng(seed), Meter(target)
    known = tuning_table.configurations()
    try:
        picked = [known[i] for i in rng.choice(len(known), 60, replace=False)]
        scores = [meter(c, 1, i) for i, c in enumerate(picked)]
        for i in np.argsort(scores)[::-1][:5]:
            for epoch in range(2, EPOCHS + 1):
                meter(picked[i], epoch, i)
    except Reached:
        return meter.spent
    return BUDGET


def keras_hyperband(target: float, seed: int) -> int:
    """Keras Tuner's HyperbandOracle, promoted trials continued."""
    import keras_tuner as kt
    from keras_tuner.src.tuners.hyperband import HyperbandOracle

    space = kt.HyperParameters()
    for name, choices in tuning_table.AXES.items():
        space.Choice(name, list(choices))
    meter = Meter(target)
    # Keras Tuner counts its seed up with every draw, so neighbouring seeds repeat each other.
    seeds = np.random.default_rng(seed)
    try:
        while True:  # it is started again when it is through, as one would
            seed = int(seeds.integers(2**31))
            with tempfile.TemporaryDirectory() as folder:
                oracle = HyperbandOracle(
                    kt.Objective("score", "max"), max_epochs=EPOCHS, factor=3,
                    hyperparameters=space, seed=seed,
                )  # fmt: skip
                oracle._set_project_dir(folder, "o")  # noqa: SLF001 - the only way
                oracle.verbose = 0
                _drive(oracle, meter, seed)
    except Reached:
        return meter.spent


def _drive(oracle: object, meter: Meter, seed: int) -> None:
    origin: dict[str, str] = {}
    while (trial := oracle.create_trial("t")).status == "RUNNING":
        values = dict(trial.hyperparameters.values)
        last = values.get("tuner/epochs", EPOCHS)
        parent = values.get("tuner/trial_id")
        origin[trial.trial_id] = origin.get(parent, trial.trial_id)
        wanted = {k: values[k] for k in tuning_table.AXES}
        score = 0.0
        for epoch in range(int(values.get("tuner/initial_epoch", 0)) + 1, int(last) + 1):
            score = meter(wanted, epoch, (seed, origin[trial.trial_id]))
        oracle.update_trial(trial.trial_id, {"score": score})
        trial.status = "COMPLETED"
        oracle.end_trial(trial)


def optuna_with(pruner: str) -> Callable[[float, int], int]:
    """Return a player for Optuna's TPE with one of its pruners."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    pruners = {
        "asha": lambda: optuna.pruners.SuccessiveHalvingPruner(1, 3),
        "hyperband": lambda: optuna.pruners.HyperbandPruner(1, EPOCHS, 3),
    }

    def run(target: float, seed: int) -> int:
        meter = Meter(target)
        study = optuna.create_study(
            direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed),
            pruner=pruners[pruner](),
        )  # fmt: skip

        def objective(trial: optuna.Trial) -> float:
            values = {k: trial.suggest_categorical(k, v) for k, v in tuning_table.AXES.items()}
            score = 0.0
            for epoch in range(1, EPOCHS + 1):
                score = meter(values, epoch, trial.number)
                trial.report(score, epoch)
                if trial.should_prune():
                    raise optuna.TrialPruned
            return score

        try:
            study.optimize(objective, n_trials=BUDGET)
        except Reached:
            return meter.spent
        return BUDGET

    return run


def epochs(seeds: int) -> None:
    """Print the epochs until the target, for three targets."""
    final = tuning_table.table()[:, -1]
    players = {
        "random": ours("random"),
        "random, twice the budget": random_twice,
        "one epoch, then the best 5 of 60": one_epoch,
        "Keras Tuner Hyperband": keras_hyperband,
        "Optuna TPE + ASHA": optuna_with("asha"),
        "Optuna TPE + Hyperband": optuna_with("hyperband"),
        "bayesian": ours("bayesian"),
        "hyperband": ours("hyperband"),
        "asha": ours("asha"),
    }
    for share in (0.9, 0.95, 0.98):
        target = float(np.quantile(final, share))
        base = 0.0
        print(f"target: the {share:.0%} quantile of the final accuracy, {target:.4f}")
        for name, player in players.items():
            found = np.array([player(target, seed) for seed in range(seeds)])
            base = base or float(np.median(found))
            low, high = np.quantile(found, [0.25, 0.75])
            never = np.mean(found >= BUDGET)
            print(
                f"  {name:34} median {np.median(found):6.0f} epochs ({low:.0f} to {high:.0f}), "
                f"{base / np.median(found):4.1f}x random, never {never:.0%}",
                flush=True,
            )


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
