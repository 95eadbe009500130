"""What the weights of trials may take on disk."""

from __future__ import annotations

import time

import numpy as np
import pytest

from nb_optimizer.core.jobs import folder as places
from nb_optimizer.core.jobs.disk import KEPT, Shelf
from nb_optimizer.core.store import read_search
from nb_optimizer.core.tuning.conduct import Cell, begin
from nb_optimizer.core.tuning.grammar import parse
from nb_optimizer.core.tuning.plan import TunePlan
from nb_optimizer.views import search

CELL = """
import keras
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(20_000), keras.layers.Dense(1)])
model.compile(keras.optimizers.SGD(lr), "mse")
model.fit(x, y, epochs=4, batch_size=50, verbose=0)
"""
STATE = 480_000  # bytes of its weights


@pytest.fixture
def start(store):
    rng = np.random.default_rng(0)
    names = {"x": rng.random((100, 4), dtype="float32"), "y": rng.random((100, 1))}

    def make(**more):
        plan = TunePlan(search="asha", trials=8, workers="1", seed=0, **more)
        return begin(plan, Cell(CELL, [parse("lr", "log(1e-6,1e-3)")]), store, names)

    return make


def weights(job):
    return sorted(int(f.parts[-4]) for f in job.folder.glob("trials/*/runs/*/best.npz"))


def followed(job):
    """Follow a search to its end; its supervisor tidies after it has written that."""
    found = search.follow(job, "off")
    end = time.monotonic() + 30
    while job.lives(found.record) and time.monotonic() < end:
        time.sleep(0.05)
    return found


def test_the_best_three_stay_and_the_budget_holds(start):
    job = start()
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if (job.folder / "search.jsonl").is_file():
            record = read_search(job.folder)
            if len([t for t in record.trials if t.is_over]) >= 5:
                break
        time.sleep(0.05)
    job.end()  # the supervisor is killed; the states of paused trials lie there
    record = read_search(job.folder)
    root, running = job.folder / places.TRIALS, [t for t in record.trials if not t.is_over]
    paused = record.of_status("pruned")
    assert len(paused) >= 3 and Shelf(root, 1e9).size() > STATE * len(paused)
    Shelf(root, budget := 2.5 * STATE).tidy(record)
    mine = sum(f.stat().st_size for t in running for f in root.glob(f"{t.number}/runs/*/*.npz"))
    assert Shelf(root, 0).size() <= budget + mine
    assert record.best.number in weights(job)
    found = followed(start(resume=True))  # what has lost its state trains it again
    assert found.status == "completed", found.reason
    top = [t.number for t in found.record.ranked()[:KEPT]]
    assert set(weights(job)) <= set(top) and found.best_trial.number in weights(job)
    x = np.ones((1, 4), dtype="float32")
    assert np.isfinite(found.best_model.predict(x, verbose=0)).all()


def test_a_budget_for_one_keeps_the_best_one(start):
    found = followed(job := start(disk=1))
    assert found.status == "completed" and len(found.trials) == 8
    kept = weights(job)
    assert found.best_trial.number in kept and len(kept) <= 1_000_000 // STATE
    assert Shelf(job.folder / places.TRIALS, 0).size() <= 1e6
    assert not list(job.folder.glob("trials/*/runs/*/checkpoint.npz"))
