"""TF-MOT in its worker: the same masks as ours, and its own steps on a Keras 3 model."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from nb_optimizer.core.store import STOP_FILE

SCRIPT = Path(__file__).with_name("tfmot_parity.py")
ROOT = Path(__file__).parents[3]


MISSING = importlib.util.find_spec("tensorflow_model_optimization") is None
pytestmark = pytest.mark.skipif(MISSING, reason="TF-MOT is not installed")


def test_native_pruning_equals_tfmot_step_by_step():
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(SCRIPT)], capture_output=True, text=True, env=env, check=False
    )
    found = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("PARITY")]
    assert len(found) == 3, done.stderr[-2000:]
    reached = {"polynomial": 0.75, "constant": 0.6, "two_of_four": 0.5}
    for kind, gap, same, sparsity in found:
        assert float(gap) <= 1e-6 and same == "True", kind
        assert float(sparsity) == pytest.approx(reached[kind], abs=0.02)


def test_the_whole_way_through_tfmot(compress, sets, trained):
    result = compress(prune=0.5, cluster=8, quantize="qat", engine="tfmot", epochs=4)
    assert result.candidates, result.rejected[0].reason
    row = result.candidates[0]
    assert row.engine == "tfmot+converter"
    assert row.float_operations == {}
    loaded = row.load()
    kernel = next(w for w in loaded.get_weights() if w.shape == (64, 48))
    assert np.mean(kernel == 0) == pytest.approx(0.5, abs=0.02)
    said = loaded.predict(sets[1][0], verbose=0).argmax(1)
    assert np.mean(said == sets[1][1]) == pytest.approx(row.score, abs=0.05)


def test_what_tfmot_cannot_round_is_left_in_float_beside_zeros(tmp_path):
    import keras

    import nb_optimizer as nbo

    layers = keras.layers
    first = [layers.Conv1D(8, 3, activation="relu"), layers.MaxPooling1D(), layers.Flatten()]
    rest = [layers.Dense(64, activation="relu"), layers.Dense(48, activation="relu")]
    model = keras.Sequential([keras.Input((16, 3)), *first, *rest, layers.Dense(3)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    rng = np.random.default_rng(0)
    x, y = rng.random((400, 16, 3), dtype="float32"), rng.integers(0, 3, 400)
    result = nbo.compress(
        model, data=(x[:200], y[:200]), train=(x[200:], y[200:]), directory=tmp_path, live="off",
        prune=0.5, quantize="qat", engine="tfmot", epochs=2,
    )  # fmt: skip
    assert result.candidates, result.rejected[0].reason
    assert result.candidates[0].float_operations
    told = [n.text for n in result.record.notes]
    assert any("left in float: conv1d" in t and "TF-MOT refuses Conv1D" in t for t in told)


@pytest.mark.parametrize(
    "recipe", [{"cluster": 8, "quantize": "dynamic"}, {"quantize": "qat"}], ids=["cluster", "qat"]
)
def test_both_engines_come_to_the_same(recipe, compress, sets):
    """Values of a kernel, bytes and score; not bit by bit, for their k-means and ranges differ."""
    ours, theirs = (
        compress(**recipe, engine=engine, epochs=4, seed=1).candidates[0]
        for engine in ("native", "tfmot")
    )
    assert theirs.engine.startswith("tfmot") and ours.engine.startswith("native")
    assert theirs.bytes == pytest.approx(ours.bytes, rel=0.3)  # ours has scales for each channel
    assert theirs.score == pytest.approx(ours.score, abs=0.03)  # 400 rows: two standard errors
    assert min(ours.agreement, theirs.agreement) > 0.9
    if "cluster" in recipe:
        counts = [
            [len(np.unique(w)) for w in row.load().get_weights() if w.shape == (64, 48)]
            for row in (ours, theirs)
        ]
        assert counts[0] == counts[1] == [8]


def test_its_training_is_a_run_that_is_shown_and_stops(sets, trained, tmp_path, capsys):
    import nb_optimizer as nbo

    def stop_it():
        while not (begun := list(tmp_path.glob("runs/train-*/events.jsonl"))):
            time.sleep(0.05)
        (begun[0].parent / STOP_FILE).touch()

    threading.Thread(target=stop_it, daemon=True).start()
    options = {"prune": 0.5, "quantize": "qat", "engine": "tfmot", "epochs": 4000}
    result = nbo.compress(
        trained, data=sets[1], train=sets[0], directory=tmp_path, live="text", **options
    )
    assert result.status == "stopped" and not result.candidates
    run = nbo.open_run("train-2", directory=tmp_path)
    assert (run.name, run.status) == (f"{result.id}: prune 0.5", "stopped")
    assert f'"{run.name}": sequential' in capsys.readouterr().out


def test_tfmot_never_enters_this_process():
    assert "tensorflow_model_optimization" not in sys.modules
    assert "TF_USE_LEGACY_KERAS" not in os.environ
