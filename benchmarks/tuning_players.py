"""Searches that play for epochs: ours, Keras Tuner's Hyperband, Optuna's TPE, by the same rules.

One trial at a time, the same budget, and promoted trials go on for free, which Keras Tuner's
Hyperband does not really do. A game is a space and a way to score values after an epoch.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from tuning_play import play

from nb_optimizer.core.tuning.space import Space

Score = Callable[[dict, int], float]


@dataclass(frozen=True)
class Game:
    """What is searched; ``scorer`` takes a search's seed and returns the score, large is good."""

    space: Space
    scorer: Callable[[int], Score]
    epochs: int
    budget: int  # epochs of all trials, after which nobody goes on


Player = Callable[[Game, float, int], int]  # with a target and a seed: the epochs it took


class Reached(Exception):  # noqa: N818 - a signal
    """The target was seen, or the budget is spent."""


class Meter:
    """Counts epochs, each of a trial once, and stops at the target."""

    def __init__(self, game: Game, target: float, seed: int) -> None:
        self._game, self._score, self._target = game, game.scorer(seed), target
        self._done: dict = {}
        self.spent = 0

    def __call__(self, values: dict, epoch: int, trial: object) -> float:
        """Return the score of a trial after ``epoch``."""
        score = self._score(values, epoch)
        if epoch > self._done.get(trial, 0):
            self._done[trial] = epoch
            self.spent += 1
            if score >= self._target or self.spent >= self._game.budget:
                raise Reached
        return score


def ours(name: str) -> Player:
    """Return a player for one of our searches."""

    def run(game: Game, target: float, seed: int) -> int:
        found = play(
            name, game.space, game.scorer(seed), seed=seed, epochs=game.epochs,
            budget=game.budget, target=target,
        )[1]  # fmt: skip
        return found or game.budget

    return run


def random_twice(game: Game, target: float, seed: int) -> int:
    """Random search with twice the budget: half its epochs."""
    return ours("random")(game, target, seed) // 2


def keras_hyperband(game: Game, target: float, seed: int) -> int:
    """Keras Tuner's HyperbandOracle, promoted trials continued."""
    import keras_tuner as kt
    from keras_tuner.src.tuners.hyperband import HyperbandOracle

    meter = Meter(game, target, seed)
    # Keras Tuner counts its seed up with every draw, so neighbouring seeds repeat each other.
    seeds = np.random.default_rng(seed)
    try:
        while True:  # it is started again when it is through, as one would
            seed = int(seeds.integers(2**31))
            with tempfile.TemporaryDirectory() as folder:
                oracle = HyperbandOracle(
                    kt.Objective("score", "max"), max_epochs=game.epochs, factor=3,
                    hyperparameters=_keras_space(game.space), seed=seed,
                )  # fmt: skip
                oracle._set_project_dir(folder, "o")  # noqa: SLF001 - the only way
                oracle.verbose = 0
                _drive(oracle, game, meter, seed)
    except Reached:
        return meter.spent


def _keras_space(space: Space) -> object:
    import keras_tuner as kt

    made = kt.HyperParameters()
    for one in space.ranges:
        if one.kind == "choice":
            made.Choice(one.name, list(one.choices))
        else:
            made.Float(one.name, one.low, one.high, sampling="log" if one.log else "linear")
    return made


def _drive(oracle: object, game: Game, meter: Meter, seed: int) -> None:
    origin: dict[str, str] = {}
    while (trial := oracle.create_trial("t")).status == "RUNNING":
        values = dict(trial.hyperparameters.values)
        last = values.get("tuner/epochs", game.epochs)
        parent = values.get("tuner/trial_id")
        origin[trial.trial_id] = origin.get(parent, trial.trial_id)
        wanted = {one.name: values[one.name] for one in game.space.ranges}
        score = 0.0
        for epoch in range(int(values.get("tuner/initial_epoch", 0)) + 1, int(last) + 1):
            score = meter(wanted, epoch, (seed, origin[trial.trial_id]))
        oracle.update_trial(trial.trial_id, {"score": score})
        trial.status = "COMPLETED"
        oracle.end_trial(trial)


def optuna_with(pruner: str) -> Player:
    """Return a player for Optuna's TPE with one of its pruners."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    pruners = {
        "asha": lambda _: optuna.pruners.SuccessiveHalvingPruner(1, 3),
        "hyperband": lambda epochs: optuna.pruners.HyperbandPruner(1, epochs, 3),
    }

    def run(game: Game, target: float, seed: int) -> int:
        meter = Meter(game, target, seed)
        study = optuna.create_study(  # its Hyperband draws brackets from the name
            direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed),
            pruner=pruners[pruner](game.epochs), study_name=str(seed),
        )  # fmt: skip

        def objective(trial: optuna.Trial) -> float:
            values = {one.name: _drawn(trial, one) for one in game.space.ranges}
            score = 0.0
            for epoch in range(1, game.epochs + 1):
                score = meter(values, epoch, trial.number)
                trial.report(score, epoch)
                if trial.should_prune():
                    raise optuna.TrialPruned
            return score

        try:
            study.optimize(objective, n_trials=game.budget)
        except Reached:
            return meter.spent
        return game.budget

    return run


def _drawn(trial: object, one: object) -> object:
    if one.kind == "choice":
        return trial.suggest_categorical(one.name, one.choices)
    return trial.suggest_float(one.name, one.low, one.high, log=one.log)


def everyone() -> dict[str, Player]:
    """Return a player for each search of ours and each peer, random search first."""
    return {
        "random": ours("random"),
        "Keras Tuner Hyperband": keras_hyperband,
        "Optuna TPE + ASHA": optuna_with("asha"),
        "Optuna TPE + Hyperband": optuna_with("hyperband"),
        "bayesian": ours("bayesian"),
        "hyperband": ours("hyperband"),
        "asha": ours("asha"),
    }


def compare(players: dict[str, Player], game: Game, target: float, seeds: int) -> dict:
    """Print the epochs that each player takes until the target; return them."""
    found, base = {}, 0.0
    for name, player in players.items():
        took = np.array([player(game, target, seed) for seed in range(seeds)])
        found[name], base = took, base or float(np.median(took))
        low, high = np.quantile(took, [0.25, 0.75])
        print(
            f"  {name:34} median {np.median(took):6.0f} epochs ({low:.0f} to {high:.0f}), mean "
            f"{took.mean():.0f}, {base / np.median(took):4.1f}x random, "
            f"never {np.mean(took >= game.budget):.0%}",
            flush=True,
        )
    return found
