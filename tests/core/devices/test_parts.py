"""The small parts: wishes for another process, what devices gained, what a cell reads."""

from __future__ import annotations

import os

import numpy as np
import pytest

from nb_optimizer.core import events as ev
from nb_optimizer.core.code import to_code
from nb_optimizer.core.devices import baggage, mailbox, throughput, warmup
from nb_optimizer.core.devices.job import Job, Request
from nb_optimizer.core.errors import UserError
from nb_optimizer.core.journal import FILE
from nb_optimizer.core.plan import TrainPlan
from nb_optimizer.core.record import RunRecord
from nb_optimizer.core.store import read_record
from nb_optimizer.core.training.control import Control
from nb_optimizer.core.training.session import Training


def test_wishes_reach_another_process_once_and_damaged_ones_are_dropped(tmp_path):
    mailbox.send(tmp_path, "pause")  # of an earlier process: not repeated
    now = iter(range(100))
    box, control = mailbox.Mailbox(tmp_path, clock=lambda: next(now)), Control()
    mailbox.send(tmp_path, "learning_rate", 0.5)
    with (tmp_path / mailbox.FILE).open("a") as file:
        file.write('not json\n[1]\n{"action": "launch"}\n{"action": "stop", "origin": "inte')
    box.look(control)
    box.look(control)
    assert [(c.action, c.value) for c in control.take()] == [("learning_rate", 0.5)]
    assert not control.pause.is_set() and not control.stop.is_set()
    with (tmp_path / mailbox.FILE).open("a") as file:
        file.write('rrupt"}\n')
    box.look(control)
    assert control.stop_origin == "interrupt"
    box.empty()
    assert list(tmp_path.iterdir()) == []


def run(store, key, rows_per_second, replicas=0):
    """Write a run of 3 epochs of 10 batches of 32 rows on disk."""
    path = store.create()
    stream = [ev.RunBegin(1.0, path.name, key=key, batch_size=32, epochs=3)]
    if replicas:
        stream.append(ev.Distributed(1.0, "MirroredStrategy", ["A"] * replicas, replicas, 32))
    seconds = 320 / rows_per_second
    for epoch in (1, 2, 3):
        slow = 10.0 if epoch == 1 else seconds + 1.0  # the first compiles; 1 s of validation
        stream.append(
            ev.EpochEnd(2.0, epoch, {"loss": 1.0}, steps=10, seconds=slow, validation_seconds=1.0)
        )
    stream.append(ev.RunEnd(3.0, "completed"))
    (path / FILE).write_text("".join(ev.to_line(e) + "\n" for e in stream))
    return path


def test_the_efficiency_is_against_the_newest_run_of_the_cell_on_one_device(store):
    run(store, "cell:1", 500.0)
    run(store, "cell:1", 1000.0)
    run(store, "cell:1", 1800.0, replicas=2)
    run(store, "another:1", 4000.0)
    path = run(store, "cell:1", 3000.0, replicas=4)
    found = throughput.scaling(read_record(path), store, path)
    assert found.rows_per_second == pytest.approx(3000.0)
    assert found.per_replica == pytest.approx(750.0)
    assert found.efficiency == pytest.approx(0.75)
    assert found.against == "train-2"
    assert "750 on each of 4 devices: 75% of 1,000 on one device (train-2)" in found.text


def test_without_a_run_on_one_device_the_efficiency_is_not_made_up(store):
    path = run(store, "cell:1", 3000.0, replicas=4)
    found = throughput.scaling(read_record(path), store, path)
    assert found.efficiency is None and "run the cell once on one device" in found.text
    assert throughput.scaling(RunRecord(), store, path) is None


def test_what_the_devices_gained_is_in_the_record_and_read_back(store):
    record = RunRecord.of(
        ev.from_line(ev.to_line(e))
        for e in (
            ev.Distributed(1.0, "MirroredStrategy", ["GPU:0", "GPU:1"], 2, 64, "on two"),
            ev.Scaling(2.0, 100.0, 50.0, 0.9, "train-1", "gained"),
        )
    )
    assert (record.distributed.replicas, record.scaling.efficiency) == (2, 0.9)
    assert [n.text for n in record.notes] == ["on two", "gained"]


@pytest.mark.parametrize(("epochs", "warm"), [(1, 1), (8, 2), (20, 5), (1000, 5)])
def test_the_warm_up_is_at_most_five_epochs_and_a_quarter(epochs, warm):
    assert warmup.length(epochs) == warm


def test_a_cell_takes_what_it_reads_and_not_what_it_binds():
    names = {"x": 1, "y": 2, "total": 3, "unused": 4, "In": [], "print": print}
    code = "y = x + 1\ntotal += y\nf = lambda x: x\nprint([z for z in (1, 2)])"
    assert baggage.needed(code, names) == {"total": 3, "x": 1, "y": 2}


def test_variables_travel_and_what_stays_is_named(tmp_path):
    array = np.arange(6.0).reshape(2, 3)
    baggage.pack({"a": array, "b": {"deep": (1, "two")}}, tmp_path / "sent")
    names = baggage.unpack(tmp_path / "sent")
    assert np.array_equal(names["a"], array) and names["b"] == {"deep": (1, "two")}
    after = {**names, "c": 5, "_hidden": 6, "stream": (n for n in "ab")}
    baggage.bring(names, after, tmp_path / "returned")
    values, told = baggage.receive(tmp_path / "returned", {})
    assert values == {"c": 5}
    assert len(told) == 1 and "stream stays in the worker process: a generator" in told[0]


def test_what_cannot_travel_leaves_no_job_behind(tmp_path):
    from nb_optimizer.core.devices.launch import prepare

    with pytest.raises(UserError, match="it reads g: a generator cannot be copied"):
        prepare(tmp_path / "runs", Request({}, "", 0.0, ""), "next(g)", {"g": (n for n in "a")})
    assert list((tmp_path / "jobs").iterdir()) == []


def test_results_that_nobody_took_are_deleted_after_a_week(tmp_path):
    old, new = Job.create(tmp_path / "runs"), Job.create(tmp_path / "runs")
    for job in (old, new):
        job.end(None)
    week = 8 * 86_400
    now = (old.path / "result.json").stat().st_mtime
    os.utime(old.path / "result.json", (now - week, now - week))
    running = Job.create(tmp_path / "runs")
    assert not old.path.exists() and new.path.exists() and running.path.name == "3"


def test_code_of_a_run_on_devices_names_them_and_is_valid():
    record = RunRecord.of(
        [
            ev.RunBegin(1.0, "train-1", batch_size=64, options={"batch_size": "32/device"}),
            ev.Distributed(
                1.0, "MirroredStrategy", ["A", "B"], 2, 64, "trained on 2 devices (A, B)"
            ),
        ]
    )
    code = to_code(record)
    assert "# It was trained on 2 devices (A, B):" in code and "batch_size=64" in code
    compile(code, "code", "exec")


def test_a_block_is_not_detached(store):
    with (
        pytest.raises(UserError, match="--detach trains a cell"),
        Training(TrainPlan(detach=True), store=store),
    ):
        pass
    assert TrainPlan.of({"devices": 2}).devices == "2"


def test_a_jobs_folder_is_private(tmp_path):
    job = Job.create(tmp_path / "runs")
    assert job.path.stat().st_mode & 0o777 == 0o700
    job.end(ValueError("no"))
    assert job.result["kind"] == "ValueError" and isinstance(job.error, ValueError)
