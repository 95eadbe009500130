"""A kernel killed with SIGKILL at a random moment, and the same cell with --resume in another."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest

pytestmark = [pytest.mark.kernel, pytest.mark.drill]
DRILLS = int(os.environ.get("NBO_DRILLS", "2"))

PREPARE = """
%load_ext nb_optimizer
%config NbOptimizer.checkpoint_seconds = 0.3
import keras, numpy as np
from hashlib import sha256
rng = np.random.default_rng(0)
x = rng.random((1200, 6), dtype="float32")
y = (x.sum(axis=1) > 3).astype("int32")
"""

CELL = """%%train --seed 11 --live text --name {name} {more}
model = keras.Sequential([
    keras.Input((6,)),
    keras.layers.Dense(32, activation="relu"),
    keras.layers.BatchNormalization(),
    keras.layers.Dropout(0.3),
    keras.layers.Dense(2, activation="softmax"),
])
schedule = keras.optimizers.schedules.CosineDecay(0.01, 2000)
adam = keras.optimizers.Adam(schedule)
model.compile(adam, "sparse_categorical_crossentropy", metrics=["accuracy"])
stop = keras.callbacks.EarlyStopping("val_loss", patience=50)
history = model.fit(x, y, validation_split=0.25, epochs=30, batch_size=16, callbacks=[stop])
"""

RESULT = """
everything = model.variables + model.optimizer.variables
digest = sha256(b"".join(np.ascontiguousarray(v.numpy()).tobytes() for v in everything)).hexdigest()
print(digest, len(history.history["val_loss"]), repr(history.history["loss"][-1]), stop.best)
"""

SHOW = "print(repr(get_ipython().run_line_magic('runs', '{}')))"


class Kernel:
    """One kernel; ``run`` returns what a cell prints."""

    def __init__(self, folder):
        from jupyter_client.manager import start_new_kernel

        self.manager, self.client = start_new_kernel(
            kernel_name="python3", cwd=str(folder), startup_timeout=60
        )
        self.run(PREPARE)

    def run(self, code, timeout=120):
        out = []

        def keep(message):
            if message["msg_type"] == "stream":
                out.append(message["content"]["text"])
            elif message["msg_type"] == "error":
                out.append(message["content"]["evalue"])

        reply = self.client.execute_interactive(code, timeout=timeout, output_hook=keep)
        text = "".join(out)
        assert reply["content"]["status"] == "ok", text
        return text

    def kill(self):
        os.kill(self.manager.provisioner.pid, signal.SIGKILL)
        self.close()

    def close(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


def wait_for_epoch(path, epoch):
    """Wait until the journal tells of an epoch; the moment of the kill is counted from there."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if path.is_file() and path.read_text().count('"EpochEnd"') >= epoch:
            return
        time.sleep(0.01)
    pytest.fail("training did not get that far")


def test_killed_kernel_resumes_to_the_same_weights(tmp_path):
    rng = random.Random(time.time_ns())  # noqa: S311 - the moments of the kills, shown on failure
    kernel = Kernel(tmp_path)
    kernel.run(CELL.format(name="whole", more=""))
    expected = kernel.run(RESULT)
    for number in range(DRILLS):
        name, epoch, more = f"drill-{number}", rng.randrange(1, 24), rng.random() * 0.2
        kernel.client.execute(CELL.format(name=name, more=""))
        wait_for_epoch(tmp_path / f".nb_optimizer/runs/train-{number + 2}/events.jsonl", epoch)
        time.sleep(more)
        kernel.kill()
        kernel = Kernel(tmp_path)
        assert "interrupted" in kernel.run(SHOW.format(f"show {name}"))
        said = kernel.run(CELL.format(name=name, more="--resume"))
        assert "resumed" in said
        assert kernel.run(RESULT) == expected, (number, epoch, more)
    table = kernel.run(SHOW.format(""))
    assert table.count("completed") == DRILLS + 1
    kernel.close()
