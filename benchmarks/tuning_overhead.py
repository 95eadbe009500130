"""What a search costs beside its trainings: time for one trial, two workers, memory.

    python benchmarks/tuning_overhead.py [TRIALS] [--cpu]
    python benchmarks/tuning_overhead.py TRIALS --memory    # only that of one worker at a time

The same model and epochs everywhere: bare ``fit`` in a loop, and trials with one and two workers,
from the second trial of each worker on. Wall time, so the machine should do nothing else; with
``--cpu``, CPU time of the process that trains, which others disturb less.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import numpy as np

from nb_optimizer.core.store import Store
from nb_optimizer.core.tuning.conduct import Cell, begin
from nb_optimizer.core.tuning.grammar import parse
from nb_optimizer.core.tuning.plan import TunePlan
from nb_optimizer.views import search

CPU = "--cpu" in sys.argv
CELL = """
import keras
model = keras.Sequential([
    keras.Input((64,)),
    keras.layers.Dense(units, activation="relu"),
    keras.layers.Dense(64, activation="relu"),
    keras.layers.Dense(10, activation="softmax"),
])
model.compile(keras.optimizers.Adam(lr), "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x, y, validation_split=0.2, epochs=10, verbose=0)
"""


def data() -> dict:
    """Return scikit-learn's digits, four times over."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return {"x": np.tile(x / 16, (4, 1)).astype("float32"), "y": np.tile(y, 4)}


def bare(names: dict, trials: int) -> float:
    """Return seconds for one trial of a plain loop, the first one left out."""
    import keras

    keras.utils.set_random_seed(0)
    code = compile(CELL, "cell", "exec")
    times = []
    for number in range(trials):
        began = time.process_time() if CPU else time.perf_counter()
        keras.backend.clear_session()
        exec(code, {**names, "units": 32 + 8 * (number % 8), "lr": 1e-3})  # noqa: S102 - ours
        times.append((time.process_time() if CPU else time.perf_counter()) - began)
    return float(np.mean(times[1:]))


def ours(names: dict, trials: int, workers: int) -> tuple[float, list[float]]:
    """Return seconds from trial to trial, and the workers' memory after each, in MB."""
    ranges = [parse("units", "32..96:8"), parse("lr", "log(1e-4,1e-2)")]
    plan = TunePlan(search="random", trials=trials, workers=str(workers), seed=0)
    with tempfile.TemporaryDirectory() as folder:
        found = search.follow(begin(plan, Cell(CELL, ranges), Store(folder), names), "off")
        lines = (found.path / "search.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    ends = [e["time"] for e in events if e["event"] == "TrialEnd"]
    memory = [t.memory_mb for t in found.trials]
    if CPU:
        return float(np.mean([t.cpu_seconds for t in found.trials[workers:]])), memory
    skipped = workers  # each worker's first trial compiles and warms up
    return (ends[-1] - ends[skipped - 1]) / (len(ends) - skipped), memory


def main() -> None:
    """Print all figures."""
    given = [a for a in sys.argv[1:] if a.isdigit()]
    trials = int(given[0]) if given else 12
    names = data()
    if "--memory" in sys.argv:
        _, memory = ours(names, trials, 1)
        for name, part in ("first", memory[: trials // 2]), ("second", memory[trials // 2 :]):
            steps = [b - a for a, b in itertools.pairwise(part) if b > a]  # no new worker between
            print(
                f"{name} half: {min(part):.0f} to {max(part):.0f} MB, growing by "
                f"{np.mean(steps):.1f} MB with a trial"
            )
        return
    plain = bare(names, trials)
    print(f"bare fit in a loop: {plain:.2f} s for one trial of 10 epochs", flush=True)
    one, memory = ours(names, trials, 1)
    print(f"one worker: {one:.2f} s for one trial, {one / plain:.2f} of bare", flush=True)
    grown = memory[-1] - memory[1]
    print(f"memory of the worker: {memory[1]:.0f} MB after 2 trials, {grown:+.0f} MB at the end")
    if CPU:
        return
    two, _ = ours(names, 2 * trials, 2)
    print(f"two workers: {two:.2f} s for one trial, {one / two:.2f} times one worker", flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
