"""What watching costs: CPU time of the same training, plain, watched, and with livelossplot.

    make bench

A model with steps of about 5 ms, 2,000 batches an epoch, is trained in a real Jupyter kernel, three
epochs per run, in all variants by turns, each round there and back again, so that a machine that
grows slower favours none. A client plays the front end: it says "ready", so that the live panel
stays, and counts the bytes it is sent. CPU time is the kernel process's own, all its threads
together; the ratio is against plain ``fit(verbose=0)`` of the same round. Shown are the median over
the rounds, what half of the rounds lie between, and the ratio of the smallest times, which
disturbances from outside touch least. A second plain variant shows the noise. The CPU time spent in
the hooks themselves and in the threads that write and send is added up too (``own``). TensorFlow
computes with one thread here: idle threads that spin are noise.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile

from jupyter_client.manager import start_new_kernel

PREPARE = """
import os
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
%load_ext nb_optimizer
import json, time, tensorflow as tf
tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)
import keras, psutil, threading, numpy as np
from nb_optimizer.core.background import Background
from nb_optimizer.core.training.watch import Watch
from livelossplot import PlotLossesKeras
rng = np.random.default_rng(0)
x = rng.random(({rows}, 64), dtype="float32")
y = rng.integers(0, 10, {rows}).astype("int32")
model = keras.Sequential([keras.Input((64,))]
    + [keras.layers.Dense({width}, activation="relu") for _ in range(4)]
    + [keras.layers.Dense(10, activation="softmax")])
model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
state = model.get_weights()
model.fit(x[:640], y[:640], batch_size=32, verbose=0)

own = [0.0]
def timed(method):
    def run(*args):
        start = time.thread_time()
        try:
            return method(*args)
        finally:
            own[0] += time.thread_time() - start
    return run
for name in ("train_begin", "epoch_begin", "batch_begin", "epoch_end"):
    setattr(Watch, name, timed(getattr(Watch, name)))

Background._work = timed(Background._work)  # journal and checkpoints: threads of their own

def published():
    # CPU seconds of the thread that sends to the front end
    ids = {{t.native_id for t in threading.enumerate() if t.name == "IOPub"}}
    return sum(t.user_time + t.system_time for t in psutil.Process().threads() if t.id in ids)

class Clock:
    def __enter__(self):
        own[0] = -published()
        self.cpu, self.wall = time.process_time(), time.perf_counter()
    def __exit__(self, *_):
        cpu, wall = time.process_time() - self.cpu, time.perf_counter() - self.wall
        print("CLOCK", json.dumps([cpu, wall, own[0] + published()]))
"""
FIT = "model.fit(x, y, batch_size=32, epochs={epochs}{more})"
VARIANTS = {
    "plain": "with Clock(): " + FIT.replace("{more}", ", verbose=0"),
    "plain again": "with Clock(): " + FIT.replace("{more}", ", verbose=0"),
    "%%train, live panel": "%%train --live widget --accelerate off\nwith Clock(): "
    + FIT.replace("{more}", ""),
    "Keras verbose=1": "with Clock(): " + FIT.replace("{more}", ", verbose=1"),
    "livelossplot": "with Clock(): "
    + FIT.replace("{more}", ", verbose=0, callbacks=[PlotLossesKeras()]"),
}


class FrontEnd:
    """A client that runs cells, answers the panel's first message, and counts bytes."""

    def __init__(self, folder):
        self.manager, self.client = start_new_kernel(cwd=folder)

    def run(self, code):
        """Run a cell; return the clock's figures and the bytes of its messages."""
        sent, clock = 0, None

        def keep(message):
            nonlocal sent, clock
            content = message["content"]
            sent += len(json.dumps(content, default=str)) + sum(map(len, message["buffers"]))
            if message["msg_type"] == "comm_open" and "_esm" in content["data"].get("state", {}):
                self._ready(content["comm_id"])
            elif message["msg_type"] == "stream":
                for line in content["text"].splitlines():
                    if line.startswith("CLOCK "):
                        clock = json.loads(line[6:])
            elif message["msg_type"] == "error":
                sys.exit("\n".join(content["traceback"]))

        self.client.execute_interactive(code, timeout=900, output_hook=keep)
        return clock, sent

    def _ready(self, comm_id):
        data = {"method": "custom", "content": {"type": "ready"}}
        message = self.client.session.msg("comm_msg", {"comm_id": comm_id, "data": data})
        self.client.shell_channel.send(message)

    def close(self):
        """End the kernel."""
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


def measure(names, rounds, epochs, rows, width):
    """Return for each variant a list of its rounds: CPU, wall and own seconds, bytes."""
    with tempfile.TemporaryDirectory() as folder:
        front = FrontEnd(folder)
        front.run(PREPARE.format(rows=rows, width=width))
        front.run("%%train --live widget\nh = model.fit(x[:640], y[:640])")  # imports the panel
        figures = {name: [] for name in names}
        for number in range(rounds):
            order = names[number % len(names) :] + names[: number % len(names)]
            for name in [*order, *reversed(order)]:
                clock, sent = front.run(VARIANTS[name].replace("{epochs}", str(epochs)))
                figures[name].append((*clock, sent))
                print(f"# {number + 1}/{rounds} {name}: {clock[0]:.3f} s", file=sys.stderr)
        front.close()
    return figures


def pairs(runs, base, column):
    """Return a ratio for each round: both runs of a variant against both of the plain one."""
    both = [[r[i][column] + r[i + 1][column] for i in range(0, len(r), 2)] for r in (runs, base)]
    return [a / b for a, b in zip(*both, strict=True)]


def summary(name, runs, plain):
    """Return the figures of one variant."""
    cpu, middle = pairs(runs, plain, 0), statistics.median
    lower, _, upper = statistics.quantiles(cpu, method="inclusive") if cpu[1:] else cpu * 3
    return {
        "variant": name,
        "runs": len(runs),
        "cpu_seconds": round(middle(run[0] for run in runs), 3),
        "cpu_ratio": round(middle(cpu), 4),
        "cpu_ratio_quartiles": [round(lower, 4), round(upper, 4)],
        "cpu_ratio_of_smallest": round(min(r[0] for r in runs) / min(r[0] for r in plain), 4),
        "wall_ratio": round(middle(pairs(runs, plain, 1)), 4),
        "own_percent": round(100 * middle(run[2] / run[0] for run in runs), 2),
        "kb_sent": round(middle(run[3] for run in runs) / 1024, 1),
    }


def report(figures):
    """Print a table, then one JSON line for each variant."""
    rows = [summary(name, runs, figures["plain"]) for name, runs in figures.items()]
    ratio, least = "CPU ratio (half of all)", "of smallest"
    print(f"{'variant':22} {'CPU s':>7} {ratio:>24} {least:>11} {'wall':>6} {'own %':>6} {'KB':>7}")
    for row in rows:
        low, high = row["cpu_ratio_quartiles"]
        spread = f"{row['cpu_ratio']:.3f} ({low:.3f}..{high:.3f})"
        print(
            f"{row['variant']:22} {row['cpu_seconds']:7.2f} {spread:>24} "
            f"{row['cpu_ratio_of_smallest']:11.3f} {row['wall_ratio']:6.3f} "
            f"{row['own_percent']:6.2f} {row['kb_sent']:7.1f}"
        )
    print()
    for row in rows:
        print(json.dumps(row))


def main():
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rows", type=int, default=64_000)
    parser.add_argument(
        "--width", type=int, default=720, help="units per layer: sets the step time"
    )
    parser.add_argument(
        "--only", nargs="*", choices=VARIANTS, default=list(VARIANTS)[1:], metavar="VARIANT"
    )
    arguments = parser.parse_args()
    names = list(dict.fromkeys(["plain", *arguments.only]))
    report(measure(names, arguments.rounds, arguments.epochs, arguments.rows, arguments.width))


if __name__ == "__main__":
    main()
