"""The contract that every search keeps, tried on a function instead of trainings."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.special import ndtri

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))
from tuning_play import play

from nb_optimizer.core.tuning import events as te
from nb_optimizer.core.tuning.asha import standing
from nb_optimizer.core.tuning.gaussian import GaussianProcess, Noise, _loss
from nb_optimizer.core.tuning.grammar import parse
from nb_optimizer.core.tuning.record import COMPLETED, FAILED, PRUNED, SearchRecord
from nb_optimizer.core.tuning.searches import SEARCHES
from nb_optimizer.core.tuning.space import Space, key_of

NAMES = sorted(SEARCHES)
GRID = Space([parse("a", "1..4"), parse("b", "x|y|z")])
OPEN = Space([parse("a", "lin(0,1)"), parse("b", "log(0.01,1)"), parse("c", "x|y")])


def hill(values, epoch):
    """Best at a = 3 (of 4) or 0.7, b = y; grows with epochs."""
    a = values["a"] / 4 if isinstance(values["a"], int) else values["a"]
    bonus = 0.2 if values["b"] == "y" else 0.0
    return (1 - abs(a - 0.7)) * (1 - 0.5 / epoch) + bonus


def of(name):
    return GRID if name == "grid" else OPEN


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_search_and_another_another(name):
    runs = [
        play(name, of(name), hill, seed=s, epochs=9, budget=150, trials=12)[0] for s in (0, 0, 1)
    ]
    values = [[(t.values, t.status, t.epochs) for t in r.trials] for r in runs]
    assert values[0] == values[1]
    if name != "grid":
        assert values[0] != values[2]


@pytest.mark.parametrize("name", NAMES)
def test_every_trial_is_over_and_the_best_one_was_trained_to_its_end(name):
    record, _, _ = play(name, of(name), hill, seed=3, epochs=9, budget=10_000, trials=10)
    assert len(record.trials) == 10
    assert {t.status for t in record.trials} <= {COMPLETED, PRUNED}
    finished = [t for t in record.trials if t.status == COMPLETED]
    assert finished and all(t.epochs == 9 for t in finished)
    assert record.best in finished


@pytest.mark.parametrize("name", NAMES)
def test_a_finite_space_is_covered_once_and_then_it_ends(name):
    record, _, _ = play(name, GRID, hill, seed=1, epochs=3, budget=10_000, trials=50)
    assert sorted(key_of(t.values) for t in record.trials) == sorted(map(key_of, GRID.grid()))


def test_a_direction_of_min_is_the_mirror_of_max():
    for name in ("asha", "bayesian"):
        up, _, _ = play(name, OPEN, hill, seed=2, epochs=9, budget=200, trials=10)
        down, _, _ = play(
            name, OPEN, lambda v, e: -hill(v, e), seed=2, epochs=9, budget=200, trials=10,
            direction="min",
        )  # fmt: skip
        assert [t.values for t in up.trials] == [t.values for t in down.trials]


def test_asha_promotes_a_third_and_trains_few_to_the_end():
    record, _, _ = play("asha", OPEN, hill, seed=0, epochs=27, budget=10_000, trials=27)
    reached = [sum(t.epochs >= rung for t in record.trials) for rung in (1, 3, 9, 27)]
    assert reached[0] == 27 and 9 <= reached[1] <= 18 and 1 <= reached[3] <= reached[2] < reached[1]


def test_the_last_of_a_rung_does_not_stand_before_the_best_of_those_that_were_paused_earlier():
    record = SearchRecord()
    record.apply(
        te.SearchBegin(
            time=1.0, run="r", on="score", direction="max", search="asha", trials=None, seed=0,
            space=OPEN.to_json(),
        )
    )  # fmt: skip
    reached = [[0.9, 0.91, 0.92], [0.45, 0.46, 0.47], [0.7], [0.6], [0.5], None]
    for number, scores in enumerate(reached, 1):
        record.apply(te.TrialBegin(2.0, number, {"n": number}, "uniform", 0))
        for epoch, score in enumerate(scores or [], 1):
            record.apply(te.TrialEpoch(3.0, number, epoch, {"score": score}))
        record.apply(te.TrialEnd(4.0, number, PRUNED if scores else FAILED))
    known = sorted(standing(record), key=lambda entry: entry[1])
    # After three epochs the places are half of 1/4 and 3/4; after one, the others stand at 3/12,
    # as the second best of six, 5/12 and 7/12, and the failed one at 11/12.
    assert [values["n"] for values, _ in known] == [1, 3, 2, 4, 5, 6]
    places = [1 / 8, 3 / 12, 3 / 8, 5 / 12, 7 / 12, 11 / 12]
    assert [s for _, s in known] == pytest.approx(ndtri(places))


def test_models_learn_what_random_search_does_not():
    def regret(name):
        found = []
        for seed in range(3):
            record, _, _ = play(name, OPEN, hill, seed=seed, epochs=1, budget=20, trials=20)
            found.append(record.best.score)
        return 0.5 - np.mean(found)

    assert regret("bayesian") < 0.3 * regret("random")


@pytest.mark.parametrize("belief", [Noise(), Noise(usual=1.0, spread=0.5, most=4.0)])
def test_the_gradient_of_the_likelihood_is_that_of_the_likelihood(belief):
    rng = np.random.default_rng(0)
    x, z = rng.random((12, 3)), rng.normal(size=12)
    apart = [(x[:, [d]] - x[:, d]) ** 2 for d in range(3)]
    theta = np.array([-0.3, 0.2, 0.5, -3.0])
    _, gradient = _loss(theta, apart, z, belief)
    for i in range(4):
        step = np.zeros(4)
        step[i] = 1e-5
        more, less = (_loss(theta + d, apart, z, belief)[0] for d in (step, -step))
        slope = (more - less) / 2e-5
        assert slope == pytest.approx(gradient[i], rel=1e-4, abs=1e-6)


def test_a_model_that_believes_in_noise_follows_single_values_less():
    rng = np.random.default_rng(0)
    x = rng.random((30, 2))
    y = x[:, 0] + 0.7 * rng.normal(size=30)
    said = [
        GaussianProcess(x, y, noise).predict(x)[0]
        for noise in (Noise(usual=1e-2, spread=0.1), Noise(usual=1.0, spread=0.1, most=4.0))
    ]
    followed, smoothed = (np.abs(mean - y).mean() for mean in said)
    assert smoothed > 2 * followed
    away = [np.abs(mean - x[:, 0]).mean() for mean in said]
    assert away[1] < away[0]  # nearer to the truth, which is a slope
