"""``nbo.tune`` in plain Python, and the line of ``%%tune`` without running it."""

from __future__ import annotations

import numpy as np
import pytest

import nb_optimizer as nbo
from nb_optimizer.core.errors import UserError
from nb_optimizer.magics.completion import complete
from nb_optimizer.magics.tune import HELP, OPTIONS, read


def build(lr, units):
    import keras

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(lr), "mse")
    return model


def test_a_build_function_is_searched_and_found_again(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.random((4000, 4), dtype="float32")
    ranges = {"lr": "log(1e-3,1e-1)", "units": "2..8:2"}
    found = nbo.tune(
        build, x, x.sum(axis=1), ranges=ranges, directory=tmp_path, epochs=1,
        validation_split=0.2, trials=3, search="random", workers=1, seed=0, live="off",
        try_="lr=0.1,units=8",
    )  # fmt: skip
    assert (found.status, len(found.trials), found.record.on) == ("completed", 3, "val_loss")
    assert found.trials[0].values == {"lr": 0.1, "units": 8} and found.trials[0].origin == "given"
    assert found.best_model.predict(x[:2], verbose=0).shape == (2, 1)
    assert {t.status for t in found.trials} == {"completed"}
    (path,) = (tmp_path / "runs").iterdir()
    assert path.stat().st_mode & 0o077 == 0
    again = nbo.open_run("tune-1", tmp_path)
    assert again.best_values == found.best_values and "<img" in again._repr_html_()
    assert again.plot().axes and "model = build(" in again.to_code()
    (row,) = nbo.runs(tmp_path)
    assert row.id == "tune-1" and "in trial" in repr(nbo.runs(tmp_path))


def test_a_number_that_the_cell_leaves_is_a_score_and_time_counts_from_the_first_trial(store):
    from nb_optimizer.core.tuning.conduct import Cell, begin
    from nb_optimizer.core.tuning.grammar import parse
    from nb_optimizer.core.tuning.plan import TunePlan
    from nb_optimizer.views import search

    cell = Cell("import time\ntime.sleep(0.4)\nmiss = (a - 3) ** 2", [parse("a", "1..5")])
    plan = TunePlan(on="miss", direction="min", workers="1", seed=0, time="1s")
    found = search.follow(begin(plan, cell, store, {}), "off")
    assert (found.status, found.reason) == ("completed", "the time is up")
    assert 1 <= len(found.trials) <= 4 and not found.can_replay
    again = TunePlan(on="miss", direction="min", workers="1", seed=0, resume=True)
    found = search.follow(begin(again, cell, store, {}), "off")
    assert found.status == "completed" and found.best_values == {"a": 3}
    assert found.best_trial.score == 0.0 and found.record.resumed == 1
    assert sorted(t.values["a"] for t in found.trials) == [1, 2, 3, 4, 5]


def test_wrong_calls_are_refused(tmp_path):
    for options, told in (
        ({"ranges": {"rate": "1..2"}}, "cannot be called with the ranges rate"),
        ({"ranges": {"lr": "1..2", "units": "1..2"}, "epocs": 3}, 'Did you mean "epochs"'),
        ({"ranges": {"lr": "2..1", "units": "1..2"}}, "is empty"),
    ):
        with pytest.raises(UserError, match=told):
            nbo.tune(build, [1], directory=tmp_path, **options)
    with pytest.raises(UserError, match="a function that builds the model, got int"):
        nbo.tune(3, [1], directory=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_line_is_read():
    line = 'lr=log(1e-4, 1e-1) act=relu|tanh --trials n --try "lr=0.1; lr=0.01" -o found'
    request = read(line, {"n": 7})
    assert [r.name for r in request.ranges] == ["lr", "act"]
    assert (request.plan.trials, request.plan.try_, request.out) == (7, "lr=0.1; lr=0.01", "found")
    assert read("build", {"build": build}).build == "build"


def test_help_and_completion_know_every_option():
    assert all(flag in HELP for flag in OPTIONS)
    assert "--trials" in complete("%%tune lr=1..2 --tr", {})
    assert complete("%%tune lr=1..2 --search ba", {}) == ["bayesian"]
