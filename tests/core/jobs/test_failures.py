"""Trials that fail in every way there is: what becomes of them, and of the search."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest

from nb_optimizer.core.errors import UserError
from nb_optimizer.core.jobs import folder as places
from nb_optimizer.core.tuning.conduct import Cell, begin
from nb_optimizer.core.tuning.grammar import parse
from nb_optimizer.core.tuning.plan import TunePlan

TRAIN = """
import keras
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, activation="softmax")])
model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x, y, epochs=2, batch_size=40, verbose=0)
"""

FAULTS = """
import ctypes, os, time
import numpy as np
if what == "raise":
    raise ValueError("this value is bad")
if what == "nan":
    x = x * np.nan
if what == "exit":
    os._exit(3)
if what == "segfault":
    ctypes.string_at(0)
if what == "memory":
    hog = np.ones(100_000_000)
    time.sleep(60)
if what == "hang":
    while True:
        pass
"""


@pytest.fixture(scope="module")
def names():
    rng = np.random.default_rng(0)
    x = rng.random((400, 4), dtype="float32")
    return {"x": x, "y": (x.sum(axis=1) > 2).astype("int32"), "np": np}


def searched(plan, cell, store, names, live="off"):
    from nb_optimizer.views import search

    return search.follow(begin(plan, cell, store, names), live)


def test_every_fault_ends_its_trial_with_the_reason_and_the_search_goes_on(store, names):
    what = parse("what", "raise|nan|exit|segfault|memory|hang|good")
    plan = TunePlan(on="accuracy", search="grid", workers="2", memory=1300, silence="20s", seed=0)
    found = searched(plan, Cell(FAULTS + TRAIN, [what]), store, names)
    assert found.status == "completed", found.reason
    told = {t.values["what"]: (t.status, t.reason, t.crashes) for t in found.trials}
    assert told["raise"] == ("failed", "ValueError: this value is bad", 0)
    assert told["nan"] == ("failed", "the loss became NaN or infinite", 0)
    assert told["exit"] == ("failed", "its worker ended with exit code 3", 2)
    assert told["segfault"] == ("failed", "its worker crashed (segmentation fault)", 2)
    assert told["memory"][0] == "failed" and "more than the 1,300 MB" in told["memory"][1]
    assert told["hang"][0] == "failed" and "no progress" in told["hang"][1]
    assert told["good"][0] == "completed"
    assert found.best_values == {"what": "good"}
    assert "segmentation fault" in repr(found) and "exit code 3" in found._repr_html_()


def test_a_fault_of_the_cell_itself_ends_the_search_with_its_line(store, names):
    cell = Cell(f"{TRAIN}\nmodel.no_such_thing(a)\n", [parse("a", "1..9")])
    cell = Cell("a\nb = 1\nunknown_function()\n" + TRAIN, cell.ranges)
    with pytest.raises(UserError, match='"unknown_function", which does not exist'):
        searched(TunePlan(workers="1"), cell, store, names)
    cell = Cell("a\nb = np.no_such_thing\n" + TRAIN, cell.ranges)
    found = searched(TunePlan(workers="1", seed=0), cell, store, names)
    assert found.status == "failed" and len(found.trials) == 2
    assert (found.record.fault["kind"], found.record.fault["line"]) == ("AttributeError", 2)


def test_an_unknown_metric_is_told_with_the_known_ones_before_anything_trains(store, names):
    plan = TunePlan(on="acuracy", workers="1", seed=0)
    cell = Cell("a\n" + TRAIN, [parse("a", "1..9")])
    found = searched(plan, cell, store, names)
    assert found.status == "failed" and found.record.epochs_done == 0
    assert found.record.fault["kind"] == "UserError"
    assert found.reason == (
        'There is no metric "acuracy"; this training has loss and accuracy.'
        ' Did you mean "accuracy"?'
    )


def test_what_cannot_be_handed_over_is_refused_by_name(store, names):
    cell = Cell("a\nlock.acquire()\n" + TRAIN, [parse("a", "1..9")])
    with pytest.raises(UserError, match=r"lock \(lock\) cannot be handed to workers"):
        begin(TunePlan(), cell, store, {**names, "lock": threading.Lock()})
    assert list(store.root.iterdir()) == []


def test_a_disk_that_cannot_be_written(store, names):
    cell = Cell("a\n" + TRAIN, [parse("a", "1..9")])
    store.root.parent.mkdir(parents=True, exist_ok=True)
    store.root.touch()  # a file where the folder should be
    with pytest.raises(UserError, match="cannot be written"):
        begin(TunePlan(), cell, store, names)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")  # noqa: PTH110
def test_a_full_disk_ends_the_search_with_a_word(store, names):
    from nb_optimizer.core.jobs.supervisor import main

    cell = Cell("a\n" + TRAIN, [parse("a", "1..9")])
    job = begin(TunePlan(workers="1"), cell, store, names)
    job.end()
    (job.folder / "search.jsonl").unlink(missing_ok=True)
    (job.folder / "search.jsonl").symlink_to("/dev/full")
    assert main([str(job.folder)]) == 1
    assert "No space left on device" in (job.folder / places.FAILURE).read_text()


FULL = """
import resource
if lr > 0.05:
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
"""


def test_a_trial_whose_weights_cannot_be_written_is_told_and_keeps_its_score(store, names):
    pytest.importorskip("resource")
    back = "\nresource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)\n"
    source = FULL + TRAIN.replace("0.1", "lr") + back  # what a full disk does, to one trial
    cell = Cell(source, [parse("lr", "0.0001|0.5")])
    plan = TunePlan(on="loss", search="grid", workers="1", seed=0)
    found = searched(plan, cell, store, names)
    assert [t.status for t in found.trials] == ["completed"] * 2
    assert "warning: trial 2: This run can no longer be written" in repr(found)
    assert found.best_trial.number == 2 and not found.can_replay
    with pytest.raises(UserError, match="has no weights of its best trial, 2"):
        _ = found.best_model


def test_damaged_lines_cost_what_they_held(store, names):
    cell = Cell("import keras\nscore = float(a)\n", [parse("a", "1..4")])
    plan = TunePlan(on="score", direction="max", search="grid", workers="1", seed=0)
    job = begin(plan, cell, store, names)
    from nb_optimizer.views import search

    assert search.follow(job, "off").best_values == {"a": 4}
    job.end()
    journal = job.folder / "search.jsonl"
    lines = journal.read_text().splitlines()
    begins = [i for i, line in enumerate(lines) if '"event":"TrialBegin"' in line]
    end = next(i for i, line in enumerate(lines) if '"event":"SearchEnd"' in line)
    lines[begins[1]] = "\x00" * 40  # as a machine that went off may leave it
    lines[begins[3] :] = ["{", *lines[begins[3] + 1 : end]]  # trial 4 is lost, and the end
    journal.write_text("\n".join(lines) + "\n")
    again = begin(TunePlan(**{**plan.changed(), "resume": True}), cell, store, names)
    found = search.follow(again, "off")
    assert found.status == "completed" and found.record.damaged_lines == 2
    told = [(t.values, t.status, t.reason) for t in found.trials]
    assert told[0] == ({"a": 1}, "completed", "") and told[2][:2] == ({"a": 3}, "completed")
    assert told[1] == ({}, "failed", "its lines in the journal are damaged")
    assert {t.values["a"] for t in found.trials if t.status == "completed"} == {1, 2, 3, 4}
    assert found.best_values == {"a": 4}


@pytest.mark.parametrize(
    ("plan", "source", "ranges", "told"),
    [
        ({}, "fit(a)", {}, "needs something to vary"),
        ({}, "", {"a": "1..2"}, "needs code below"),
        ({"search": "grid"}, "a", {"a": "lin(0,1)"}, "write for example a=lin(0,1):0.25"),
        ({}, "get_ipython().run_line_magic('time', ''); a", {"a": "1..2"}, "magics or !"),
        ({"try_": "a=9"}, "a", {"a": "1..2"}, "lies outside"),
    ],
)
def test_what_cannot_be_searched_is_refused_before_anything_starts(
    store, plan, source, ranges, told
):
    cell = Cell(source, [parse(n, t) for n, t in ranges.items()])
    with pytest.raises(UserError, match=told.replace("(", r"\(").replace(")", r"\)")):
        begin(TunePlan(**plan), cell, store, {})
    assert not store.root.exists() or list(store.root.iterdir()) == []
