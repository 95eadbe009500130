"""Trials on two engines of a real ipyparallel cluster, one of them killed in the middle."""

from __future__ import annotations

import os
import signal
import time

import numpy as np
import pytest

from nb_optimizer.core.errors import UserError
from nb_optimizer.core.store import read_search
from nb_optimizer.core.tuning.conduct import Cell, begin
from nb_optimizer.core.tuning.grammar import parse
from nb_optimizer.core.tuning.plan import TunePlan

ipyparallel = pytest.importorskip("ipyparallel")
CELL = """
import keras
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units), keras.layers.Dense(1)])
model.compile("adam", "mse")
model.fit(x, y, epochs=40, batch_size=8)
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    before = os.environ.get("IPYTHONDIR")
    os.environ["IPYTHONDIR"] = str(tmp_path_factory.mktemp("ipython"))
    one = ipyparallel.Cluster(n=2, profile="tuning", log_level=40)
    client = one.start_and_connect_sync()
    yield client
    client.close()
    one.stop_cluster_sync()
    os.environ.pop("IPYTHONDIR") if before is None else os.environ.update(IPYTHONDIR=before)


def test_a_lost_engine_costs_no_trial(cluster, store):
    rng = np.random.default_rng(0)
    names = {"x": rng.random((200, 4), dtype="float32"), "y": rng.random((200, 1))}
    plan = TunePlan(search="random", trials=3, engine="cluster:tuning", seed=0)
    engines = cluster[:].apply_sync(os.getpid)
    job = begin(plan, Cell(CELL, [parse("units", "1..9")]), store, names)
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if (job.folder / "search.jsonl").is_file():
            record = read_search(job.folder)
            assert record.status == "running" or not record.begin.run, record.reason
            if sum(t.epochs > 1 for t in record.trials) >= 2:
                break
        time.sleep(0.05)
    assert {w.device.partition(" on ")[0] for w in record.workers.values()} == {
        "engine 0",
        "engine 1",
    }
    os.kill(engines[1], signal.SIGKILL)
    from nb_optimizer.views import search

    found = search.follow(job, "off")
    assert found.status == "completed", found.reason
    assert [(t.status, t.reason) for t in found.trials] == [("completed", "")] * 3
    assert all(t.epochs == 40 for t in found.trials)
    assert sum(t.crashes for t in found.trials) == 1
    assert found.best_model.count_params() > 0


def test_without_a_cluster_the_search_says_how_to_start_one(store):
    plan = TunePlan(search="random", trials=3, engine="cluster:nobody")
    from nb_optimizer.views import search

    job = begin(plan, Cell("units", [parse("units", "1..9")]), store, {})
    with pytest.raises(UserError, match="No ipyparallel cluster runs for the profile nobody"):
        search.follow(job, "off")
