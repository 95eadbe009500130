"""``evaluate`` and ``predict`` in a ``%%train`` cell against plain Keras: CPU and wall time.

    python benchmarks/acceleration_passes.py [--rounds N] [work ...]

Each variant runs in a process of its own, by turns: ten calls on the same data. The ratio is plain
divided by the variant of the same round, for all ten calls with what the first one compiles and
tries, and for the last five alone.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import tempfile
import time

import acceleration

CALLS = ("evaluate", "predict")
REPEATS = 10
WORKS = ("mlp", "wide_and_deep", "cnn", "lstm", "transformer")


def child(work, call, variant):
    """Make the calls and print ``[CPU seconds, wall seconds]`` of each."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import keras

    import nb_optimizer as nbo

    keras.utils.set_random_seed(1)
    net, data = acceleration.WORKS[work]({})
    given = data if call == "evaluate" else {k: v for k, v in data.items() if k != "y"}
    spent = []
    with contextlib.ExitStack() as stack:
        if variant == "accelerated":
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            stack.enter_context(nbo.train(directory=folder, live="off"))
        for _ in range(REPEATS):
            cpu, wall = time.process_time(), time.perf_counter()
            getattr(net, call)(**given, verbose=0)
            spent.append([time.process_time() - cpu, time.perf_counter() - wall])
    print("RESULT", json.dumps(spent))


def ratio(rounds, kind, since):
    """Return the median of plain over accelerated, and its least and largest."""
    each = [
        sum(call[kind] for call in plain[since:]) / sum(call[kind] for call in ours[since:])
        for plain, ours in rounds
    ]
    return [round(f(each), 2) for f in (statistics.median, min, max)]


def report(work, call, count):
    """Print a line of the table and a JSON line."""
    variants = ("plain", "accelerated")
    rounds = [
        [acceleration.run(work, call, variant, script=__file__) for variant in variants]
        for _ in range(count)
    ]
    row = {
        "work": work,
        "call": call,
        "cpu": ratio(rounds, 0, 0),
        "wall": ratio(rounds, 1, 0),
        "cpu_later": ratio(rounds, 0, REPEATS // 2),
    }
    print(
        f"{work:14} {call:9} CPU {row['cpu'][0]:5.2f}x ({row['cpu'][1]} to {row['cpu'][2]})  "
        f"wall {row['wall'][0]:5.2f}x  later CPU {row['cpu_later'][0]:5.2f}x"
    )
    print(f"  {json.dumps(row)}", flush=True)


def main():
    """Measure the works that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("works", nargs="*", choices=[[], *WORKS])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(*arguments.child)
        return
    for work in arguments.works or WORKS:
        for call in CALLS:
            report(work, call, arguments.rounds)


if __name__ == "__main__":
    main()
