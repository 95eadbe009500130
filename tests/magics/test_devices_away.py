"""Cells that leave the process: worker processes, detached training, several machines."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import numpy as np
import pytest

from nb_optimizer.core.errors import UserError

DATA = """
import os, keras, numpy as np, tensorflow as tf
x = np.random.default_rng(0).random((160, 4), dtype="float32")
y = (x.sum(1) > 2).astype("int32")
_ = tf.constant(1)  # from here on the processor cannot be divided in this process

def act(values):
    return keras.ops.relu(values)

def net():
    dense = keras.layers.Dense
    inside = [dense(8, activation=act), dense(2, activation="softmax")]
    made = keras.Sequential([keras.Input((4,)), *inside])
    made.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    return made
"""
# Kills its process in the middle of the third epoch, the first time only.
DIES = """
class Dies(keras.callbacks.Callback):
    def on_train_batch_begin(self, batch, logs=None):
        mine = os.environ.get("TF_CONFIG", {config!r})
        if self.epoch == 2 and batch == 2 and {config!r} in mine and not os.path.exists("died"):
            open("died", "w").close()
            os.kill(os.getpid(), 9)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

model = net()
h = model.fit(x, y, epochs=4, callbacks=[Dies()])
"""


@pytest.fixture(scope="module")
def shell():
    from IPython.core.interactiveshell import InteractiveShell

    made = InteractiveShell.instance()
    made.run_line_magic("load_ext", "nb_optimizer")
    yield made
    made.run_line_magic("unload_ext", "nb_optimizer")
    InteractiveShell.clear_instance()


@pytest.fixture
def cells(shell, tmp_path, monkeypatch):
    """``cells(line, code)`` runs a ``%%train`` cell; without a line, plain code."""
    monkeypatch.chdir(tmp_path)
    shell.run_line_magic("config", "NbOptimizer.checkpoint_seconds = 0")
    shell.run_cell(DATA).raise_error()

    def run(line, code=None):
        if code is None:
            return shell.run_cell(line).raise_error()
        return shell.run_cell_magic("train", line, code)

    run.names = shell.user_ns
    yield run
    shell.run_line_magic("config", "NbOptimizer.checkpoint_seconds = 30")


def weights(model):
    return np.concatenate([w.ravel() for w in model.get_weights()])


def once(cells, code="", **fit):
    """Train the same in this process, on one device."""
    import keras

    keras.utils.set_random_seed(5)
    model = cells.names["net"]()
    model.fit(cells.names["x"], cells.names["y"], epochs=4, verbose=0, **fit)
    return model


def test_a_divided_processor_trains_in_a_worker_and_the_model_comes_back(cells, capsys):
    cells("keras.utils.set_random_seed(5)\nearly = net(); early.fit(x, y, verbose=0)")
    import keras

    keras.utils.set_random_seed(5)
    twin = cells.names["net"]()
    twin.fit(cells.names["x"], cells.names["y"], verbose=0)
    early = cells.names["early"]
    value = cells(
        "--devices cpu:2 -o run",
        "print('said in the worker')\nh = early.fit(x, y, epochs=2, shuffle=False)\nlen(h.epoch)",
    )
    twin.fit(cells.names["x"], cells.names["y"], epochs=2, shuffle=False, verbose=0)
    run = cells.names["run"]
    assert value == 2
    assert cells.names["early"] is early is run.model is cells.names["h"].model
    assert np.allclose(weights(early), weights(twin), atol=1e-6)
    assert int(early.optimizer.iterations.numpy()) == 15
    assert (run.status, run.record.distributed.replicas) == ("completed", 2)
    said = capsys.readouterr().out
    assert "said in the worker" in said and "process of its own" in said
    assert not list((run.path.parent.parent / "jobs").iterdir())


def test_an_error_in_a_worker_is_raised_as_itself_with_its_line(cells):
    with pytest.raises(ZeroDivisionError) as told:
        cells("--devices cpu:2", "kept = 41 + 1\n1 / 0")
    assert "line 2" in told.value.__notes__[0] and "1 / 0" in told.value.__notes__[0]
    assert cells.names["kept"] == 42


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        ("--detach", "net().fit(data)", "data: a tf.data.Dataset lives in its process"),
        ("--detach", "lock\nnet().fit(x, y)", "lock: a lock cannot be copied"),
        ("--detach", "%time\nnet().fit(x, y)", "% or ! commands"),
        ("--machines nope", "net().fit(x, y)", 'no IPython profile "nope"'),
        ("--machines default:1", "net().fit(x, y)", "at least 2 engines"),
        ("--machines default --devices cpu:2", "net().fit(x, y)", "leave out --devices"),
        ("--devices gpu --detach", "net().fit(x, y)", "sees no GPU here"),
    ],
)
def test_what_cannot_leave_is_one_line(cells, line, code, says):
    from IPython.core.error import UsageError

    cells("import threading\nlock = threading.Lock()")
    cells("data = tf.data.Dataset.from_tensor_slices((x, y)).batch(32)")
    with pytest.raises(UsageError) as told:
        cells(line, code)
    assert says in str(told.value) and "\n" not in str(told.value)
    assert not list(Path(".nb_optimizer").glob("jobs/*"))


def until(true, seconds=60.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.1)


def test_detached_training_leaves_the_kernel_free_and_comes_back(cells, capsys):
    names = cells.names
    names["weights_of"] = weights
    names.pop("model", None)
    cells("mine = 1; both = net(); first = both")
    cells(
        "--detach -o run",
        "mine = 2\nboth.fit(x, y)\nmodel = net()\nh = model.fit(x, y, epochs=100000)",
    )
    run = names["run"]
    assert run.wait(0.01) is False
    assert "model" not in names  # it is still training
    until(lambda: len(run.runs) == 2 and run.epochs > 1)
    assert run.status == "running"
    cells(
        "mine = 3; both = net(); second = weights_of(both)"
    )  # the kernel is free; what is changed meanwhile stays
    from nb_optimizer.core.devices import mailbox

    mailbox.send(run.path, "learning_rate", 0.005)
    until(lambda: run.interventions)
    cells("%runs stop " + run.id)
    until(lambda: run.status == "stopped")
    assert run.wait(60)  # all of the cell, not only the run
    assert [i.action for i in run.interventions] == ["learning_rate", "stop"]
    assert names["mine"] == 3
    assert int(names["first"].optimizer.iterations.numpy()) == 5  # the object that was meant
    assert names["both"] is not names["first"]
    assert np.array_equal(weights(names["both"]), names["second"])
    assert run.model is names["model"] is names["h"].model
    assert len(names["h"].epoch) == run.epochs
    assert float(names["model"].optimizer.learning_rate) == pytest.approx(0.005)


def test_a_killed_worker_is_one_line_and_its_run_resumes(cells):
    from IPython.core.error import UsageError

    code = DIES.format(config="")
    with pytest.raises(UsageError, match="killed by SIGKILL") as told:
        cells("--devices cpu:2 --seed 5 -o run", code)
    assert "--resume" in str(told.value)
    assert cells.names["run"].status == "interrupted"
    cells("--devices cpu:2 --seed 5 --resume -o run", code)
    assert cells.names["run"].record.resumed_after == [2]
    assert np.allclose(weights(cells.names["model"]), weights(once(cells)), atol=1e-6)


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """Two engines of the default profile, in a private place."""
    ipyparallel = pytest.importorskip("ipyparallel")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    one = ipyparallel.Cluster(profile="default", n=2, log_level=40)
    (tmp_path / "elsewhere").mkdir()
    with contextlib.chdir(tmp_path / "elsewhere"):  # engines work in folders of their own
        client = one.start_and_connect_sync()
    yield client
    client.close()
    with contextlib.suppress(OSError, RuntimeError):
        one.stop_cluster_sync()


def test_machines_end_equal_to_one_process_though_a_worker_was_killed(cells, cluster):
    from IPython.core.error import UsageError

    code = DIES.format(config='"index": 1')
    with pytest.raises(UsageError, match="worker 1 of 2 .* was lost: it was killed") as told:
        cells("--machines default --seed 5 -o run", code)
    assert "--resume" in str(told.value)
    lost = cells.names["run"]
    assert any("worker 1 of 2" in n.text for n in type(lost).open(lost.path).record.notes)
    cells("--machines default --seed 5 --resume -o run", code)
    run = cells.names["run"]
    assert run.path == lost.path and run.record.resumed_after == [2]
    assert run.record.distributed.strategy == "MultiWorkerMirroredStrategy"
    assert np.allclose(weights(cells.names["model"]), weights(once(cells)), atol=1e-6)


def test_several_machines_are_refused_in_a_block(store):
    from nb_optimizer.core.plan import TrainPlan
    from nb_optimizer.core.training.session import Training

    with (
        pytest.raises(UserError, match="--machines trains a cell"),
        Training(TrainPlan(machines="default"), store=store),
    ):
        pass
