"""Trials in two actors of a real Ray, one of them killed in the middle."""

from __future__ import annotations

import os
import signal
import time

import numpy as np
import psutil
import pytest

from nb_optimizer.core.errors import UserError
from nb_optimizer.core.store import read_search
from nb_optimizer.core.tuning.conduct import Cell, begin
from nb_optimizer.core.tuning.grammar import parse
from nb_optimizer.core.tuning.plan import TunePlan
from nb_optimizer.views import search

CELL = """
import keras
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units), keras.layers.Dense(1)])
model.compile("adam", "mse")
model.fit(x, y, epochs=40, batch_size=8)
"""


def start(store, engine, **more):
    rng = np.random.default_rng(0)
    names = {"x": rng.random((200, 4), dtype="float32"), "y": rng.random((200, 1))}
    plan = TunePlan(search="random", trials=3, engine=engine, seed=0, **more)
    return begin(plan, Cell(CELL, [parse("units", "1..9")]), store, names)


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="Ray gives one actor to one core")
def test_a_lost_actor_costs_no_trial(store):
    pytest.importorskip("ray")
    job = start(store, "ray", workers="2")
    end = time.monotonic() + 180
    while time.monotonic() < end:
        if (job.folder / "search.jsonl").is_file():
            record = read_search(job.folder)
            assert record.status == "running" or not record.begin.run, record.reason
            if sum(t.epochs > 1 for t in record.trials) >= 2:
                break
        time.sleep(0.05)
    assert {w.device.partition(" on ")[0] for w in record.workers.values()} == {"a Ray actor"}
    worker = psutil.Process(record.workers[record.of_status("running")[0].worker].pid)
    actor = worker.parent()
    assert "ray::" in " ".join(actor.cmdline())
    os.kill(actor.pid, signal.SIGKILL)
    found = search.follow(job, "off")
    assert found.status == "completed", found.reason
    assert [(t.status, t.reason) for t in found.trials] == [("completed", "")] * 3
    assert all(t.epochs == 40 for t in found.trials)
    assert sum(t.crashes for t in found.trials) == 1
    assert "lost with its Ray actor" in (job.folder / "search.jsonl").read_text()
    assert not worker.is_running()
    assert found.best_model.count_params() > 0


def test_where_no_ray_answers_the_search_says_so(store):
    pytest.importorskip("ray")
    with pytest.raises(UserError, match="No Ray cluster answers at 127.0.0.1:1 "):
        search.follow(start(store, "ray:127.0.0.1:1"), "off")


@pytest.mark.parametrize("address", ["ray://head:10001", "head", ""])
def test_other_addresses_are_refused(address):
    with pytest.raises(UserError, match="takes ray:HOST:PORT of a cluster"):
        TunePlan(engine="ray:" + address)


def test_without_ray_the_search_says_how_to_install_it(store):
    try:
        import ray  # noqa: F401
    except ImportError:
        with pytest.raises(UserError, match=r"pip install 'nb_optimizer\[ray\]'"):
            search.follow(start(store, "ray"), "off")
    else:
        pytest.skip("Ray is installed")
