"""The kernel's stop button during a real ``%%train``, on every ipykernel."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.kernels.conftest import Talk

pytestmark = pytest.mark.kernel

PREPARE = """
%load_ext nb_optimizer
import signal, keras, numpy as np
from pathlib import Path
x = np.random.default_rng(0).random((4000, 4), dtype="float32")
y = x.sum(axis=1, keepdims=True)
net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
net.compile(keras.optimizers.SGD(0.01), "mse")
before = signal.getsignal(signal.SIGINT)

class Tell(keras.callbacks.Callback):
    batches = 0

    def on_train_batch_end(self, batch, logs=None):
        self.batches += 1
        if self.batches == 1000:  # in the middle of the third epoch
            print("@@" + json.dumps({"batch": batch}), flush=True)

class Stubborn(Tell):
    def on_epoch_end(self, epoch, logs=None):
        if self.model.stop_training:  # asked once: goes on until the second press
            time.sleep(30)
"""
CELL = """%%train --live text -o run
history = net.fit(x, y, epochs=100000, validation_split=0.1, batch_size=8, callbacks=[{0}()])
"""
OUTCOME = """[run.status, run.epochs == len(history.history['val_loss']),
    bool(np.isclose(net.evaluate(x[3600:], y[3600:], verbose=0), run.best.value, rtol=1e-4)),
    signal.getsignal(signal.SIGINT) == before]"""


def test_interrupts(talk: Talk) -> None:
    """One press stops gracefully and the next cell runs; two presses abort the queue."""
    assert talk.run(PREPARE)["status"] == "ok"
    cell = talk.client.execute(CELL.format("Tell"))
    queued = talk.client.execute("order.append('after interrupt')")
    talk.printed(60)
    pressed = time.monotonic()
    talk.manager.interrupt_kernel()
    assert talk.reply(cell, 60)["content"]["status"] == "ok"
    assert time.monotonic() - pressed < 10
    assert talk.reply(queued, 60)["content"]["status"] == "ok"
    assert talk.value(OUTCOME.replace("\n", "")) == ["stopped", True, True, True]

    cell = talk.client.execute(CELL.format("Stubborn"))
    queued = talk.client.execute("order.append('never')")
    talk.printed(60)
    talk.manager.interrupt_kernel()
    time.sleep(0.5)
    talk.manager.interrupt_kernel()
    reply = talk.reply(cell, 60)["content"]
    assert (reply["status"], reply["ename"]) == ("error", "KeyboardInterrupt")
    assert talk.reply(queued, 60)["content"]["status"] == "aborted"
    assert talk.value("[run.status, order[-1]]") == ["stopped", "after interrupt"]
