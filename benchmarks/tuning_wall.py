"""Seconds until a good configuration is found, against the searches that people call today.

    python benchmarks/tuning_wall.py 5     # seeds

``%%tune`` with two workers, ``keras_tuner.Hyperband.search`` and Optuna's TPE with its ASHA and
Hyperband pruners train the same Keras model on the same two cores, each in a process of its own
that has TensorFlow loaded; what ``%%tune``'s workers need to load it again counts. The target is
the 95 % quantile of random trials that were trained to the end, kept in ``.cache``.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import numpy as np

EPOCHS = 27
LIMIT = 240.0  # seconds, after which a search has not found it
_TRIALS, _SHARE = 60, 0.95
_CACHE = Path(__file__).parents[1] / ".cache" / "tuning_wall.json"
MODEL = """
import keras
from keras import layers
model = keras.Sequential([
    keras.Input((64,)),
    layers.Dense(width, "relu"), layers.Dropout(dropout),
    layers.Dense(width, "relu"), layers.Dropout(dropout), layers.Dense(10, "softmax"),
])
model.compile(
    keras.optimizers.Adam(lr, beta_1=memory, weight_decay=decay),
    "sparse_categorical_crossentropy", metrics=["accuracy"],
)
"""
CELL = MODEL + "model.fit(x, y, validation_data=(a, b), epochs=27, batch_size=64, verbose=0)"
RANGES = ("lr=log(1e-4,1e-1)", "memory=lin(0,0.99)", "decay=log(1e-6,1e-1)",
          "dropout=lin(0,0.8)", "width=16|32|64")  # fmt: skip


def data() -> dict:
    """Return scikit-learn's digits: 1,078 rows to train on and 719 held out."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    kept = train_test_split(x / 16, y, test_size=0.4, random_state=0, stratify=y)
    return {
        "x": kept[0].astype("float32"), "a": kept[1].astype("float32"), "y": kept[2], "b": kept[3]
    }  # fmt: skip


class Found(BaseException):
    """The target was seen, or the time is over."""


class Watch:
    """Tells when a validation accuracy reaches the target."""

    def __init__(self, target: float) -> None:
        self._target, self._began = target, time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds since the search was called."""
        return time.perf_counter() - self._began

    def callback(self, report: object = None) -> object:
        """Return a Keras callback that raises ``Found``; ``report`` hears of each epoch."""
        import keras

        def on_epoch_end(epoch: int, logs: dict) -> None:
            if logs["val_accuracy"] >= self._target or self.seconds > LIMIT:
                raise Found
            if report:
                report(epoch, logs["val_accuracy"])

        return keras.callbacks.LambdaCallback(on_epoch_end=on_epoch_end)


def tuned(names: dict, target: float, seed: int, search: str = "asha") -> float:
    """``%%tune`` with two workers."""
    from nb_optimizer.core.store import Store, read_search
    from nb_optimizer.core.tuning.conduct import Cell, begin
    from nb_optimizer.core.tuning.grammar import parse
    from nb_optimizer.core.tuning.plan import TunePlan

    watch = Watch(target)
    ranges = [parse(*one.split("=")) for one in RANGES]
    plan = TunePlan(search=search, trials=1000, workers="2", seed=seed, on="val_accuracy")
    with tempfile.TemporaryDirectory() as folder:
        job = begin(plan, Cell(CELL, ranges), Store(folder), names)
        while watch.seconds < LIMIT:
            best = None
            if (job.folder / "search.jsonl").is_file():
                best = read_search(job.folder).best
            if best is not None and best.score is not None and best.score >= target:
                break
            time.sleep(0.05)
        seconds = watch.seconds
        job.end()
        time.sleep(2)  # its workers end
    return seconds


def keras_tuner(names: dict, target: float, seed: int) -> float:
    """``keras_tuner.Hyperband.search``, started again when it is through."""
    import keras_tuner as kt

    def build(hp: kt.HyperParameters) -> object:
        values = {
            "lr": hp.Float("lr", 1e-4, 1e-1, sampling="log"),
            "memory": hp.Float("memory", 0, 0.99),
            "decay": hp.Float("decay", 1e-6, 1e-1, sampling="log"),
            "dropout": hp.Float("dropout", 0, 0.8), "width": hp.Choice("width", [16, 32, 64]),
        }  # fmt: skip
        return made(values)

    watch = Watch(target)
    with contextlib.suppress(Found):
        for again in range(100):
            with tempfile.TemporaryDirectory() as folder:
                tuner = kt.Hyperband(
                    build, "val_accuracy", EPOCHS, 3, seed=seed + 1000 * again, directory=folder
                )
                tuner.search(
                    names["x"], names["y"], validation_data=(names["a"], names["b"]),
                    batch_size=64, verbose=0, callbacks=[Ending(watch)],
                )  # fmt: skip
    return watch.seconds


class Ending:
    """What Keras Tuner copies for each trial: a callback of the one watch there is."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def __deepcopy__(self, memo: dict) -> object:
        return self._watch.callback()


def optuna(names: dict, target: float, seed: int, pruner: str) -> float:
    """Optuna's TPE with a pruner."""
    import optuna as library

    library.logging.set_verbosity(library.logging.ERROR)
    pruners = {
        "asha": library.pruners.SuccessiveHalvingPruner(1, 3),
        "hyperband": library.pruners.HyperbandPruner(1, EPOCHS, 3),
    }
    watch = Watch(target)
    study = library.create_study(
        direction="maximize", sampler=library.samplers.TPESampler(seed=seed),
        pruner=pruners[pruner], study_name=str(seed),
    )  # fmt: skip

    def objective(trial: library.Trial) -> float:
        values = {
            "lr": trial.suggest_float("lr", 1e-4, 1e-1, log=True),
            "memory": trial.suggest_float("memory", 0, 0.99),
            "decay": trial.suggest_float("decay", 1e-6, 1e-1, log=True),
            "dropout": trial.suggest_float("dropout", 0, 0.8),
            "width": trial.suggest_categorical("width", [16, 32, 64]),
        }

        def report(epoch: int, accuracy: float) -> None:
            trial.report(accuracy, epoch + 1)
            if trial.should_prune():
                raise library.TrialPruned

        history = made(values).fit(
            names["x"], names["y"], validation_data=(names["a"], names["b"]), epochs=EPOCHS,
            batch_size=64, verbose=0, callbacks=[watch.callback(report)],
        )  # fmt: skip
        return max(history.history["val_accuracy"])

    with contextlib.suppress(Found):
        study.optimize(objective, n_trials=1000)
    return watch.seconds


def made(values: dict) -> object:
    """Return the compiled model of some values."""
    import keras

    keras.backend.clear_session()
    found = dict(values)
    exec(MODEL, found)  # noqa: S102 - our own text, the same that %%tune runs
    return found["model"]


PLAYERS = {
    "%%tune, asha, 2 workers": tuned,
    "%%tune, hyperband, 2 workers": lambda n, t, s: tuned(n, t, s, "hyperband"),
    "keras_tuner.Hyperband.search": keras_tuner,
    "Optuna TPE + ASHA": lambda n, t, s: optuna(n, t, s, "asha"),
    "Optuna TPE + Hyperband": lambda n, t, s: optuna(n, t, s, "hyperband"),
}


def target() -> float:
    """Return the accuracy to reach."""
    if not _CACHE.is_file():
        import keras

        rng, names, finals = np.random.default_rng(10**6), data(), []
        for number in range(_TRIALS):
            keras.utils.set_random_seed(number)
            values = {
                "lr": 10 ** rng.uniform(-4, -1), "memory": rng.uniform(0, 0.99),
                "decay": 10 ** rng.uniform(-6, -1), "dropout": rng.uniform(0, 0.8),
                "width": int(rng.choice([16, 32, 64])),
            }  # fmt: skip
            history = made(values).fit(
                names["x"], names["y"], validation_data=(names["a"], names["b"]), epochs=EPOCHS,
                batch_size=64, verbose=0,
            )  # fmt: skip
            finals.append(max(history.history["val_accuracy"]))
        _CACHE.parent.mkdir(exist_ok=True)
        _CACHE.write_text(json.dumps(finals))
    return float(np.quantile(json.loads(_CACHE.read_text()), _SHARE))


def main(seeds: int) -> None:
    """Print the seconds of every player, by turns."""
    wanted = target()
    print(f"target: a validation accuracy of {wanted:.4f}", flush=True)
    took: dict[str, list[float]] = {name: [] for name in PLAYERS}
    for seed in range(seeds):
        for name in PLAYERS:
            command = [sys.executable, __file__, "one", name, str(seed), str(wanted)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            took[name].append(float(done.stdout.split()[-1]))
            print(f"  seed {seed}, {name}: {took[name][-1]:.0f} s", flush=True)
    for name, seconds in took.items():
        low, middle, high = np.quantile(seconds, [0.25, 0.5, 0.75])
        print(
            f"{name:30} median {middle:4.0f} s ({low:.0f} to {high:.0f}), mean "
            f"{np.mean(seconds):.0f}, not within {LIMIT:.0f} s: {sum(s > LIMIT for s in seconds)}"
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["one"]:
        import keras  # noqa: F401 - loaded before the clock starts

        print(PLAYERS[sys.argv[2]](data(), float(sys.argv[4]), int(sys.argv[3])))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
