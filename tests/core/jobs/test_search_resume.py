"""Supervisors and workers killed in the middle, and what goes on from there."""

from __future__ import annotations

import os
import signal
import time

import numpy as np
import psutil
import pytest

from nb_optimizer.core.errors import UserError
from nb_optimizer.core.jobs import folder as places
from nb_optimizer.core.store import read_search
from nb_optimizer.core.tuning.conduct import Cell, begin
from nb_optimizer.core.tuning.grammar import parse
from nb_optimizer.core.tuning.plan import TunePlan
from nb_optimizer.core.tuning.space import key_of

CELL = """
import keras
model = keras.Sequential([
    keras.Input((4,)), keras.layers.Dense(units, activation="relu"), keras.layers.Dropout(0.2),
    keras.layers.Dense(2, activation="softmax"),
])
model.compile(keras.optimizers.Adam(lr), "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x, y, epochs=9, batch_size=16, validation_split=0.25)
"""
RANGES = ("log(1e-3,1e-1)", "4..32:4")


@pytest.fixture(scope="module")
def names():
    rng = np.random.default_rng(0)
    x = rng.random((600, 4), dtype="float32")
    return {"x": x, "y": (x.sum(axis=1) > 2).astype("int32")}


def start(store, names, search, **more):
    cell = Cell(CELL, [parse(n, r) for n, r in zip(("lr", "units"), RANGES, strict=True)])
    plan = TunePlan(on="val_loss", search=search, trials=6, workers="1", seed=5, **more)
    return begin(plan, cell, store, names)


def wait(job, reached, seconds=120):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if (job.folder / "search.jsonl").is_file():
            record = read_search(job.folder)
            if reached(record):
                return record
        time.sleep(0.02)
    pytest.fail("the search did not get that far")


def follow(job):
    from nb_optimizer.views import search

    return search.follow(job, "off")


def results(record):
    return {key_of(t.values): (t.status, t.epochs, t.score) for t in record.trials}


def check_sound(record):
    assert record.status == "completed", record.reason
    assert len({key_of(t.values) for t in record.trials}) == len(record.trials)
    events = [(t.number, t.epochs) for t in record.trials if t.status == "completed"]
    assert events


@pytest.fixture(scope="module")
def whole(names, tmp_path_factory):
    """The results of an unbroken search of each kind, made when first asked for."""
    from nb_optimizer.core.store import Store

    made = {}

    def of(search):
        if search not in made:
            store = Store(tmp_path_factory.mktemp(search))
            made[search] = follow(start(store, names, search)).record
        return made[search]

    return of


def kill_supervisor(job, record):
    os.kill(record.owner[1], signal.SIGKILL)


def kill_worker(job, record):
    for worker in record.workers.values():
        if worker.pid:
            os.kill(worker.pid, signal.SIGKILL)


def test_a_killed_supervisor_leaves_no_workers_and_resumes_to_the_same_results(store, names, whole):
    job = start(store, names, "asha")
    record = wait(job, lambda r: r.epochs_done >= 4)
    workers = [w.pid for w in record.workers.values()]
    kill_supervisor(job, record)
    found = follow(job)
    assert found.status == "interrupted" and "--resume" in repr(found)
    end = time.monotonic() + 20
    while any(psutil.pid_exists(p) for p in workers) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(psutil.pid_exists(p) for p in workers)
    with (job.folder / "search.jsonl").open("a") as journal:
        journal.write('{"event":"TrialEpo')  # what a machine that went off may leave
    again = start(store, names, "asha", resume=True)
    assert again.folder == job.folder
    with pytest.raises(UserError, match="is still searching with this cell"):
        wait(again, lambda r: r.resumed == 1) and start(store, names, "asha")
    found = follow(again)
    assert found.record.resumed == 1 and found.record.damaged_lines == 1
    check_sound(found.record)
    assert results(found.record) == results(whole("asha"))
    with pytest.raises(UserError, match="a search of other ranges"):
        begin(
            TunePlan(resume=True), Cell(CELL, [parse("lr", "1|2"), parse("units", "1|2")]),
            store, names,
        )  # fmt: skip


def test_a_killed_worker_costs_no_trial(store, names, whole):
    job = start(store, names, "asha")
    kill_worker(job, wait(job, lambda r: r.epochs_done >= 2))
    found = follow(job)
    check_sound(found.record)
    assert results(found.record) == results(whole("asha"))
    assert sum(t.crashes for t in found.trials) <= 1
    best = found.best_model
    score = best.evaluate(names["x"][450:], names["y"][450:], verbose=0)[0]
    assert score == pytest.approx(found.best_trial.score, rel=1e-4)
    kept = list((job.folder / places.TRIALS).glob("*/runs/*/best.npz"))
    assert 1 <= len(kept) <= 3 and not list(job.folder.glob("trials/*/runs/*/checkpoint.npz"))


def test_a_worker_killed_while_its_trial_waits_at_a_rung_does_not_let_it_pass(store, names, whole):
    job = start(store, names, "asha")
    wait(job, lambda r: bool(r.trials) and r.trials[0].epochs >= 1)
    record = read_search(job.folder)
    kill_supervisor(job, record)
    assert follow(job).status == "interrupted"
    journal = job.folder / "search.jsonl"
    lines = journal.read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if '"event":"TrialEpoch"' in line)
    journal.write_text("\n".join(lines[: first + 1]) + "\n")  # lost before the verdict
    found = follow(start(store, names, "asha", resume=True))
    assert results(found.record) == results(whole("asha"))


def test_epochs_whose_report_was_lost_with_the_supervisor_are_not_missing(store, names, whole):
    job = start(store, names, "random")
    record = wait(job, lambda r: bool(r.trials) and r.trials[0].epochs >= 4)
    kill_supervisor(job, record)
    assert follow(job).status == "interrupted"
    journal = job.folder / "search.jsonl"
    lines = journal.read_text().splitlines()
    told = [i for i, line in enumerate(lines) if '"event":"TrialEpoch"' in line]
    journal.write_text("\n".join(lines[: told[1]]) + "\n")  # the trial's own state is further on
    found = follow(start(store, names, "random", resume=True))
    check_sound(found.record)
    assert results(found.record) == results(whole("random"))


def test_values_to_try_survive_a_supervisor_that_was_killed_before_it_began_them(store, names):
    job = start(store, names, "random")
    record = wait(job, lambda r: r.epochs_done >= 1)
    asked = {"lr": 0.02, "units": 8}, {"lr": 0.02, "units": 8}, {"units": 12}
    for values in asked:
        places.command(job.folder, "try", values=values)
    kill_supervisor(job, record)
    follow(job)

    again = start(store, names, "random", resume=True)
    record = wait(again, lambda r: sum(t.origin == "given" for t in r.trials) >= 2)
    kill_supervisor(again, record)
    follow(again)
    found = follow(start(store, names, "random", resume=True)).record
    assert found.status == "completed" and found.resumed == 2
    given = [t.values for t in found.trials if t.origin == "given"]
    assert len(given) == 3 and given[0] == given[1] == asked[0] and given[2]["units"] == 12
