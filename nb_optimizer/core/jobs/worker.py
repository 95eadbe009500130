"""A worker: imports TensorFlow once, then runs one trial after another for the supervisor.

It reads messages as lines of JSON from its input and writes them to its output; what the cell
prints goes to the worker's log. When the supervisor is gone, so is the worker.
"""

from __future__ import annotations

import builtins
import contextlib
import json
import os
import queue
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from nb_optimizer.core.jobs import folder as places
from nb_optimizer.core.jobs.devices import Share
from nb_optimizer.core.jobs.tensorflow_inside import forget_gradients

Message = dict[str, Any]
_BEAT = 0.2  # seconds between two looks at what the supervisor wants


class Link:
    """The pipes to the supervisor."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "wb", buffering=0)
        os.dup2(2, 1)  # prints of the cell, and of libraries, go to the log
        self._inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._input = os.fdopen(os.dup(0), "rb")
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)  # a cell that calls input() must not read our messages
        threading.Thread(target=self._read, daemon=True).start()

    def send(self, message: Message) -> None:
        """Send one message."""
        self._out.write(json.dumps(message).encode() + b"\n")

    def take(self) -> Message:
        """Wait for the next message, other than a wish to stop."""
        return self._inbox.get()

    def begin(self) -> None:
        """Forget wishes to stop the trial before."""
        self._stop.clear()

    def stopped(self) -> bool:
        """Whether the running trial shall pause."""
        return self._stop.is_set()

    def verdict(self) -> Message:
        """Tell that the trial waits, and return what the supervisor says."""
        self.send({"is": "wait"})
        while True:
            with contextlib.suppress(queue.Empty):
                return self._inbox.get(timeout=_BEAT)
            if self.stopped():
                return {"go": False}

    def _read(self) -> None:
        for line in self._input:
            message = json.loads(line)
            if message["do"] == "stop":
                self._stop.set()
            elif message["do"] == "quit":
                os._exit(0)
            else:
                self._inbox.put(message)
        os._exit(0)  # the supervisor is gone: what runs here is nobody's


def main(arguments: list[str]) -> int:
    """Work until told to quit."""
    folder, share = Path(arguments[0]), Share.from_json(json.loads(arguments[2]))
    link = Link()
    job = places.read_json(folder / places.JOB)
    try:
        _prepare(job, share)
        bench = Bench(folder, job, link, share)
    except Exception as error:  # noqa: BLE001 - a guarded place: the supervisor tells why it cannot work
        traceback.print_exc()
        link.send({"is": "broken", "reason": f"{type(error).__name__}: {error}"[:500]})
        return 1
    link.send({"is": "ready", "pid": os.getpid()})
    while True:
        message = link.take()
        if message["do"] == "trial":  # a verdict may come after its trial was told to stop
            bench.run(message)


def _prepare(job: dict[str, Any], share: Share) -> None:
    os.chdir(job["cwd"])
    sys.path[:] = [*job["path"], *(p for p in sys.path if p not in job["path"])]
    import tensorflow as tf  # noqa: PLC0415 - only in workers

    from nb_optimizer.core.devices.strategy import needs_fresh_process  # noqa: PLC0415 - loads it

    tf.config.threading.set_intra_op_parallelism_threads(share.threads)
    needs_fresh_process(share.wish)  # divides the processor before it is used


class Bench:
    """Runs trials in this process."""

    def __init__(self, folder: Path, job: dict[str, Any], link: Link, share: Share) -> None:
        import keras  # noqa: PLC0415 - only in workers
        import psutil  # noqa: PLC0415 - as above

        from nb_optimizer.core.jobs import trial  # noqa: PLC0415 - loads Keras

        self._keras, self._trial = keras, trial
        self._process = psutil.Process()
        self._folder, self._job, self._link, self._share = folder, job, link, share
        self._memory_due, self._memory_mb = 0.0, 0.0

    def run(self, message: Message) -> None:
        """Run one trial and report its end."""
        task = self._trial.Task(
            number=message["trial"],
            values=message["values"],
            seed=message["seed"],
            folder=self._folder / places.TRIALS / str(message["trial"]),
            resume=message["resume"],
            until=message["until"],
            on=message["on"],
            checks_metrics=message["checks"],
            direction=message["direction"],
            line_names=tuple(message["line"]),
            devices=self._share.wish,
        )
        self._link.begin()
        began = time.process_time()
        desk = self._trial.Desk(
            send=lambda m: self._link.send({**m, "trial": task.number}),
            verdict=self._link.verdict,
            stopped=self._link.stopped,
            memory=self._memory,
        )
        end = self._trial.run(task, self._job, self._names, desk)
        self._keras.backend.clear_session()
        forget_gradients()
        cpu = round(time.process_time() - began, 3)
        self._link.send({**end, "trial": task.number, "memory": self._memory(), "cpu": cpu})

    def _names(self) -> dict[str, Any]:
        from nb_optimizer.core.jobs.capture import restore  # noqa: PLC0415 - needs NumPy

        captured = restore(self._job["captured"], self._folder)
        return {"__name__": "__main__", "__builtins__": builtins, **captured}

    def _memory(self) -> float:
        if time.monotonic() >= self._memory_due:
            self._memory_due = time.monotonic() + 1.0
            self._memory_mb = self._process.memory_info().rss / 1e6
        return round(self._memory_mb, 1)
