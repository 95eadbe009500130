"""A simulation on paper: how data-parallel training would scale to 8 devices and to 8 machines.

    python benchmarks/devices.py

Measured here: the time of a training step on one device for the whole batch and for its parts,
and the time to sum a small and a large tensor over two logical devices of one process
(``MirroredStrategy``) and over two processes (``MultiWorkerMirroredStrategy`` on the loopback
interface). From these a step on k devices is

    compute(batch / k) + 2 (k - 1) latency + 2 (k - 1) / k * bytes / bandwidth

with the ring's cost for the sum. Latency and bandwidth are those of the two measured sums. It is
assumed that every device or machine has processors of its own, as fast as those measured here;
that the sum and the computation do not overlap; that reading the data costs nothing; and that the
batch stays the same (strong scaling). ``--latency`` and ``--bandwidth`` take a network's instead.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time

WIDTH, INPUTS, BATCH = 1024, 64, 1024
SIZES = (1 << 10, 1 << 20)  # elements of four bytes
COUNTS = (1, 2, 4, 8)


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
    measured = json.loads(process("steps"))
    compute = {int(size): seconds for size, seconds in measured["seconds"].items()}
    weights = measured["parameters"] * 4
    print(f"MLP of {weights / 4:,.0f} parameters, batch {BATCH}; medians, in ms")
    for size, seconds in compute.items():
        print(f"  step of {size:>5} rows  {seconds * 1e3:8.2f}")
    for name, output in (("devices", process("devices")), ("machines", two_processes())):
        latency, bandwidth = line(json.loads(output))
        if name == "machines":
            latency = arguments.latency or latency
            bandwidth = arguments.bandwidth or bandwidth
        table(name, compute, weights, latency, bandwidth)


def table(name, compute, weights, latency, bandwidth):
    print(f"{name}: latency {latency * 1e6:,.0f} us, bandwidth {bandwidth / 1e9:.2f} GB/s")
    print(f"  {'count':>5} {'step ms':>9} {'speed-up':>9} {'efficiency':>11}")
    for count in COUNTS:
        ring = 2 * (count - 1) * latency + 2 * (count - 1) / count * weights / bandwidth
        seconds = compute[BATCH // count] + ring
        gain = compute[BATCH] / seconds
        print(f"  {count:>5} {seconds * 1e3:>9.2f} {gain:>9.2f} {gain / count:>11.0%}")


def line(sums):
    """Return latency and bandwidth from the sums of two devices: two messages, all bytes once."""
    small, large = sums
    per_byte = max(large - small, 1e-9) / (4 * (SIZES[1] - SIZES[0]))
    return max(small - 4 * SIZES[0] * per_byte, 0.0) / 2, 1 / per_byte


def process(part, environment=None):
    command = [sys.executable, __file__, "--part", part]
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **(environment or {})}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
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
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
        workers.append(subprocess.Popen(command, env=env, **pipes))
    outputs = [worker.communicate()[0] for worker in workers]
    return outputs[0].strip().splitlines()[-1]


def steps():
    """Time training steps of the whole batch and of its parts, on one device."""
    import keras
    import numpy as np

    hidden = [keras.layers.Dense(WIDTH, activation="relu") for _ in range(2)]
    model = keras.Sequential([keras.Input((INPUTS,)), *hidden, keras.layers.Dense(10)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    rng = np.random.default_rng(0)
    x = rng.random((BATCH, INPUTS), dtype="float32")
    y = rng.integers(0, 10, BATCH)
    found = {}
    for count in COUNTS:
        rows = BATCH // count
        found[rows] = median(lambda n=rows: model.train_on_batch(x[:n], y[:n]))
    return {"seconds": found, "parameters": model.count_params()}


def devices():
    """Time sums over two logical devices."""
    from nb_optimizer.core.devices.strategy import chosen, needs_fresh_process, opened

    needs_fresh_process("cpu:2")  # divides the processor
    choice = chosen("cpu:2")
    return sums(opened(choice.strategy, choice.devices))


def sums(strategy=None):
    """Time the sums of a small and of a large tensor over all replicas."""
    import tensorflow as tf

    strategy = strategy or tf.distribute.MultiWorkerMirroredStrategy()
    found = []
    for size in SIZES:
        with strategy.scope():
            values = tf.Variable(tf.ones(size))  # a constant would be summed while compiling

        @tf.function
        def work(values=values):
            def each():
                context = tf.distribute.get_replica_context()
                return context.all_reduce(tf.distribute.ReduceOp.SUM, values.read_value())

            return strategy.run(each)

        found.append(median(work))
    return found


def median(work, warm_up=5, times=60):
    for _ in range(warm_up):
        work()
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


if __name__ == "__main__":
    main()
