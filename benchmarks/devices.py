"""A simulation on paper: how data-parallel training would scale to 8 devices and to 8 machines.

    python benchmarks/devices.py

Measured here, in rounds: a training step on one device, for the whole batch and for its parts; and
the sum of the gradients of a tiny and of the whole network over two logical devices of one process
(``MirroredStrategy``) and over two processes (``MultiWorkerMirroredStrategy`` on the loopback
interface), less what a call costs that sums nothing. A network in between checks that time grows
with the bytes as a line. From these a step on k devices is

    compute(rows of each) + 2 (k - 1) latency + 2 (k - 1) / k * bytes / bandwidth

with the cost of a ring for the sum. Every round gives a simulation of its own; the table shows
their median and, in brackets, the lowest and the highest. ``--latency`` and ``--bandwidth`` take
a network's figures instead of the loopback's.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import socket
import statistics
import subprocess
import sys
import time

WIDTHS = {"tiny": 32, "middle": 512, "whole": 1024}
INPUTS, CLASSES, BATCH = 64, 10, 1024
COUNTS = (1, 2, 4, 8)
ROUNDS, TIMES = 7, 15
NETWORK = (50e-6, 1.25e9)  # seconds for all tensors, bytes per second: assumed for 10 Gbit/s
ASSUMED = (
    "each device or machine has processors of its own, as fast as all of this machine together",
    "all take equally long: nobody waits for a slow one",
    "gradients are summed by rings after the step, not beside it; packing them is in the bandwidth",
    "reading and dividing the data costs nothing",
    "between more than two the connection is as fast as between two",
    "strong: the batch stays {batch} rows in all; weak: each device gets {batch} rows",
)


def main():
    """Measure in processes of their own, and print the simulation."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=("steps", "devices", "machines"))
    parser.add_argument("--latency", type=float, help="seconds of a message between machines")
    parser.add_argument("--bandwidth", type=float, help="bytes per second between machines")
    arguments = parser.parse_args()
    if arguments.part:
        print(json.dumps({"steps": steps, "devices": devices, "machines": sums}[arguments.part]()))
        return
    print("assumed:", *(f"  - {text.format(batch=BATCH)}" for text in ASSUMED), sep="\n")
    measured = json.loads(process("steps"))
    compute = {int(size): rounds for size, rounds in measured["seconds"].items()}
    weights = size_of("whole")
    print(f"\nMLP of {weights // 4:,} parameters; {ROUNDS} rounds of {TIMES}, medians in ms")
    for size, rounds in compute.items():
        print(f"  step of {size:>5} rows  {told(rounds, 1e3)}")
    found = json.loads(process("devices"))
    tell_sums("2 logical devices", found)
    table("devices", compute, weights, lines(found))
    found = json.loads(two_processes())
    tell_sums("2 processes", found)
    asked = (arguments.latency, arguments.bandwidth)
    own = [tuple(a or m for a, m in zip(asked, pair, strict=True)) for pair in lines(found)]
    table("machines, as given" if any(asked) else "machines on the loopback", compute, weights, own)
    if not any(asked):
        name = "machines on Ethernet of 10 Gbit/s (50 us and 1.25 GB/s, assumed)"
        table(name, compute, weights, [NETWORK] * ROUNDS)


def table(name, compute, weights, pairs):
    """Print the simulation: each round by itself, then the median and the range of all."""
    print(f"{name}: latency {told([p[0] for p in pairs], 1e6)} us, "
          f"bandwidth {told([p[1] for p in pairs], 1e-9)} GB/s")  # fmt: skip
    print(f"  {'count':>5} {'strong: speed-up':>26} {'efficiency':>11} {'weak: efficiency':>26}")
    for count in COUNTS:
        strong, weak = [], []
        for at, (latency, bandwidth) in enumerate(pairs):
            ring = 2 * (count - 1) * latency + 2 * (count - 1) / count * weights / bandwidth
            whole, part = compute[BATCH][at], compute[BATCH // count][at]
            strong.append(whole / (part + ring))
            weak.append(whole / (whole + ring))
        part = statistics.median(strong) / count
        print(f"  {count:>5} {told(strong):>26} {part:>11.0%} {told(weak):>26}")
    print()


def told(values, scale=1.0):
    low, middle, high = (scale * f(values) for f in (min, statistics.median, max))
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def tell_sums(name, found):
    """Print the measured sums, and the line held against the network in between."""
    print(f"sums of gradients over {name}, in ms")
    for kind, rounds in found.items():
        print(f"  {kind:<14} {told(rounds, 1e3)}")
    said = [2 * latency + size_of("middle") / bandwidth for latency, bandwidth in lines(found)]
    real = [max(m - n, 0) for m, n in zip(found["middle"], found["nothing"], strict=True)]
    print(f"  check: the middle takes {told(real, 1e3)}, the line says {told(said, 1e3)}")


def lines(found):
    """Return latency and bandwidth of each round: two messages, and all bytes once."""
    pairs = []
    for nothing, tiny, whole in zip(found["nothing"], found["tiny"], found["whole"], strict=True):
        per_byte = max(whole - tiny, 1e-9) / (size_of("whole") - size_of("tiny"))
        latency = max(tiny - nothing - size_of("tiny") * per_byte, 0.0) / 2
        pairs.append((latency, 1 / per_byte))
    return pairs


def size_of(name):
    """Return the bytes of a network's gradients."""
    return 4 * sum(math.prod(shape) for shape in shapes_of(name))


def shapes_of(name):
    """Return the shapes of a network's gradients: two hidden layers and one for the classes."""
    width = WIDTHS[name]
    return (INPUTS, width), (width,), (width, width), (width,), (width, CLASSES), (CLASSES,)


def process(part, environment=None):
    command = [sys.executable, __file__, "--part", part]
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **(environment or {})}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"the part {part} failed:\n{done.stderr[-2000:]}")
    return done.stdout.strip().splitlines()[-1]


def two_processes():
    """Run the sums in two processes that meet; return what the first prints."""
    ports = []
    for _ in range(2):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            ports.append(f"127.0.0.1:{probe.getsockname()[1]}")
    command = [sys.executable, __file__, "--part", "machines"]
    workers = []
    for index in range(2):
        config = {"cluster": {"worker": ports}, "task": {"type": "worker", "index": index}}
        env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "TF_CONFIG": json.dumps(config)}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        workers.append(subprocess.Popen(command, env=env, **pipes))
    outputs = [worker.communicate() for worker in workers]
    if workers[0].returncode:
        sys.exit(f"the part machines failed:\n{outputs[0][1][-2000:]}")
    return outputs[0][0].strip().splitlines()[-1]


def steps():
    """Time training steps of the whole batch and of its parts, on one device."""
    import keras
    import numpy as np
    import tensorflow as tf

    hidden = [keras.layers.Dense(WIDTHS["whole"], activation="relu") for _ in range(2)]
    model = keras.Sequential([keras.Input((INPUTS,)), *hidden, keras.layers.Dense(CLASSES)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    rng = np.random.default_rng(0)
    x = rng.random((BATCH, INPUTS), dtype="float32")
    y = rng.integers(0, CLASSES, BATCH)

    def step(rows):
        data = tf.constant(x[:rows]), tf.constant(y[:rows])
        return lambda: model.train_on_batch(*data)

    return {"seconds": by_turns({BATCH // count: step(BATCH // count) for count in COUNTS})}


def devices():
    """Time sums over two logical devices."""
    from nb_optimizer.core.devices.strategy import chosen, needs_fresh_process, opened

    needs_fresh_process("cpu:2")  # divides the processor
    choice = chosen("cpu:2")
    return sums(opened(choice.strategy, choice.devices))


def sums(strategy=None):
    """Time the sums over all replicas of what has the shapes of gradients, and of nothing."""
    import tensorflow as tf

    strategy = strategy or tf.distribute.MultiWorkerMirroredStrategy()

    def summing(name, *, sums=True):
        with strategy.scope():
            # Variables, as constants would be summed while compiling.
            values = [tf.Variable(tf.ones(shape)) for shape in shapes_of(name)]

        @tf.function
        def work():
            def each():
                read = [v.read_value() for v in values]
                context = tf.distribute.get_replica_context()
                done = context.all_reduce(tf.distribute.ReduceOp.SUM, read) if sums else read
                return [tf.reshape(v, [-1])[0] for v in done]

            return strategy.run(each)

        return work

    works = {"nothing": summing("tiny", sums=False)}
    return by_turns(works | {name: summing(name) for name in WIDTHS})


def by_turns(works, warm_up=5):
    """Return the median seconds of each work in each round, measured by turns."""
    for work in works.values():
        for _ in range(warm_up):
            work()
    found = {name: [] for name in works}
    for _ in range(ROUNDS):
        for name, work in works.items():
            taken = []
            for _ in range(TIMES):
                start = time.perf_counter()
                work()
                taken.append(time.perf_counter() - start)
            found[name].append(statistics.median(taken))
    return found


if __name__ == "__main__":
    main()
