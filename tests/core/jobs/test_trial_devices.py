"""``--devices-per-trial``: trials on two logical devices end as on one."""

from __future__ import annotations

import re

import numpy as np
import pytest

from nb_optimizer.core.errors import UserError
from nb_optimizer.core.jobs import devices
from nb_optimizer.core.store import Store, read_record
from nb_optimizer.core.tuning.conduct import Cell, begin
from nb_optimizer.core.tuning.grammar import parse
from nb_optimizer.core.tuning.plan import TunePlan

NEAR = 1e-5
CELL = """
import keras

def net():
    rule = keras.optimizers.SGD if how == "sgd" else keras.optimizers.Adam
    more = {"gradient_accumulation_steps": 2} if how == "accumulates" else {}
    dense = keras.layers.Dense
    layers = [dense(8, activation="relu"), dense(2, activation="softmax")]
    model = keras.Sequential([keras.Input((4,)), *layers])
    model.compile(rule(0.05, **more), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model

model = made if how == "outside" else net()
size = 33 if how == "uneven" else 40
model.fit(x, y, epochs=3, batch_size=size, validation_split=0.25)
"""
LADDER = """
import keras
model = keras.Sequential([
    keras.Input((4,)), keras.layers.Dense(units, activation="relu"),
    keras.layers.Dense(2, activation="softmax"),
])
model.compile(keras.optimizers.Adam(lr), "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x, y, epochs=9, batch_size=20, validation_split=0.25)
"""


@pytest.fixture(scope="module")
def names():
    import keras

    rng = np.random.default_rng(0)
    x = rng.random((400, 4), dtype="float32")
    keras.utils.set_random_seed(3)
    made = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, activation="softmax")])
    made.compile("adam", "sparse_categorical_crossentropy")
    return {"x": x, "y": (x.sum(axis=1) > 2).astype("int32"), "made": made}


def searched(folder, names, source, ranges, **more):
    """Return the searches with two devices and with one for each trial, run at the same time."""
    from nb_optimizer.views import search

    cell = Cell(source, [parse(n, r) for n, r in ranges.items()])
    begun = {
        each: begin(
            TunePlan(on="val_loss", workers="1", seed=4, devices_per_trial=each, **more),
            cell, Store(folder / f"on{each}"), names,
        )
        for each in (2, 1)
    }  # fmt: skip
    return {each: search.follow(one, "off") for each, one in begun.items()}


@pytest.fixture(scope="module")
def kinds(names, tmp_path_factory):
    ranges = {"how": "sgd|adam|uneven|accumulates|outside"}
    return searched(tmp_path_factory.mktemp("kinds"), names, CELL, ranges, search="grid")


def trained(found):
    """Return the record of every trial's training."""
    return [read_record(p) for p in found.path.glob("trials/*/runs/*")]


def of(found, how):
    return next(t for t in found.trials if t.values["how"] == how)


@pytest.mark.parametrize("how", ["sgd", "adam", "outside"])
def test_a_trial_on_two_devices_ends_as_on_one(kinds, how):
    several, one = of(kinds[2], how), of(kinds[1], how)
    assert several.status == one.status == "completed", several.reason
    for name, values in one.history.items():
        assert np.allclose(several.history[name], values, rtol=NEAR), name


def test_what_is_repaired_is_told_and_what_cannot_be_is_the_trials_reason(kinds):
    told = [n.text for n in kinds[2].record.notes]
    assert "batch size 33 is now 34, which 2 devices divide evenly" in " ".join(told)
    assert of(kinds[2], "uneven").status == "completed"
    refused = of(kinds[2], "accumulates")
    assert refused.status == "failed" and "\n" not in refused.reason
    assert refused.reason.startswith("gradient_accumulation_steps=2 does not work under a strategy")
    assert of(kinds[1], "accumulates").status == "completed"
    assert kinds[1].record.notes == []


def test_trials_are_paused_and_revived_on_two_devices_as_on_one(tmp_path, names):
    ranges = {"lr": "log(1e-3,1e-1)", "units": "4..32:4"}
    found = searched(tmp_path, names, LADDER, ranges, trials=6)
    several, one = found[2], found[1]
    assert several.status == "completed", several.reason
    assert re.search('"after":[1-9]', (several.path / "search.jsonl").read_text())
    assert {r.distributed.replicas for r in trained(several)} == {2}
    assert {r.distributed for r in trained(one)} == {None}
    for mine, theirs in zip(several.trials, one.trials, strict=True):
        assert (mine.values, mine.status, mine.epochs) == (
            theirs.values,
            theirs.status,
            theirs.epochs,
        )
        assert mine.score == pytest.approx(theirs.score, rel=1e-4)
    score = several.best_model.evaluate(names["x"][300:], names["y"][300:], verbose=0)[0]
    assert score == pytest.approx(several.best_trial.score, rel=1e-4)


@pytest.mark.parametrize(
    ("visible", "each", "says"),
    [
        ("0,1", 3, "--devices-per-trial 3: this machine has 2 GPUs."),
        ("", 65, "divided into at most 64 logical devices"),
    ],
)
def test_more_devices_than_there_are_is_one_line(monkeypatch, visible, each, says):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(UserError) as told:
        devices.shares("auto", each, None)
    assert says in str(told.value) and "\n" not in str(told.value)


def test_shares_of_gpus_name_what_each_worker_sees(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    parts = devices.shares("auto", 2, None)
    assert [p.gpus for p in parts] == [("0", "1"), ("2", "3")]
    assert {p.wish for p in parts} == {"gpu"}
    assert devices.shares("auto", 1, None)[0].wish is None
