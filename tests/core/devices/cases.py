"""Trains models on N logical CPUs and on one device; prints what came out as JSON.

Run by ``test_devices.py`` as ``cases.py N``: all cases share a process, which costs one start.
"""

from __future__ import annotations

import contextlib
import json
import sys
import warnings
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from nb_optimizer.core.errors import UserError
from nb_optimizer.core.plan import TrainPlan
from nb_optimizer.core.store import Store
from nb_optimizer.core.training.session import Source, Training

N = int(sys.argv[1])
rng = np.random.default_rng(0)
x = rng.random((160, 4), dtype="float32")
y = (x.sum(axis=1) > 2).astype("int32")
found = {}


@contextlib.contextmanager
def training(devices=f"cpu:{N}", view=None, source="a cell", **options):
    plan = TrainPlan.of({"devices": devices, "accelerate": "off", **options})
    more = {"view": view} if view else {}
    with Training(
        plan, source=Source(source), store=Store(Path("here")), checkpoint_seconds=0.0, **more
    ) as run:
        yield run


def net(optimizer, *more, **compiled):
    keras.utils.set_random_seed(7)
    dense = keras.layers.Dense
    layers = [dense(8, activation="relu"), *more, dense(2, activation="softmax")]
    made = keras.Sequential([keras.Input((4,)), *layers])
    compiled = {"metrics": ["accuracy"], **compiled}
    made.compile(optimizer, "sparse_categorical_crossentropy", **compiled)
    return made


def summary(run, model):
    return {
        "history": run.history,
        "weights": [w.ravel().tolist() for w in model.get_weights()],
        "notes": [n.text for n in run.record.notes],
        "status": run.status,
    }


def case(work):
    """Keep what ``work(devices)`` returns on several devices and on one."""
    found[work.__name__] = {"several": work(f"cpu:{N}"), "one": work("none")}


def fitted(devices, make, *data, **call):
    with training(devices) as run:
        model = make()
        model.fit(*data, **{"epochs": 3, "shuffle": False, **call})
    return summary(run, model)


def sgd_arrays(devices):
    make = lambda: net(keras.optimizers.SGD(0.1, momentum=0.9))  # noqa: E731
    return fitted(devices, make, x, y, validation_split=0.2)


def whole_statistics(devices):
    norm = keras.layers.BatchNormalization
    make = lambda: net(keras.optimizers.Adam(0.01), norm(synchronized=True))  # noqa: E731
    return fitted(devices, make, x, y)


def parted_statistics(devices):
    norm = keras.layers.BatchNormalization
    return fitted(devices, lambda: net(keras.optimizers.Adam(0.01), norm()), x, y)


def adam_arrays(devices):
    return fitted(devices, lambda: net(keras.optimizers.Adam(0.01)), x, y, validation_split=0.2)


def sgd_dataset(devices):
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(32)
    return fitted(devices, lambda: net(keras.optimizers.SGD(0.1)), data, shuffle=True)


def adam_dataset(devices):
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(32, drop_remainder=True)
    return fitted(devices, lambda: net(keras.optimizers.Adam(0.01)), data, shuffle=True)


def earlier_model(devices):
    """A model that was built and trained before the block, and goes on in it."""
    metrics = [keras.metrics.SparseCategoricalAccuracy(name="hits")]
    schedule = keras.optimizers.schedules.ExponentialDecay(0.02, 10, 0.9)
    loss = lambda t, p: keras.losses.sparse_categorical_crossentropy(t, p) * 2  # noqa: E731
    keras.utils.set_random_seed(7)
    inputs = keras.Input((4,))
    twice = keras.layers.Lambda(lambda v: v * 2)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(twice))
    model.compile(keras.optimizers.Adam(schedule), loss, metrics=metrics)
    model.fit(x, y, epochs=1, shuffle=False, verbose=0)
    with training(devices) as run:
        history = model.fit(x, y, epochs=3, shuffle=False)
    after = model.fit(x, y, epochs=1, shuffle=False, verbose=0)  # and goes on afterwards
    made = summary(run, model)
    made["after"] = after.history["loss"]
    made["iterations"] = int(model.optimizer.iterations.numpy())
    made["same"] = history.model is model and run.model is model
    return made


class Early(keras.Model):
    """A subclassed model with a train_step of its own."""

    def __init__(self):
        super().__init__()
        self.inside = keras.layers.Dense(2, activation="softmax")

    def call(self, inputs):
        return self.inside(inputs)

    def train_step(self, data):
        return super().train_step(data)


def own_step(devices):
    def make():
        keras.utils.set_random_seed(7)
        made = Early()
        made.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
        return made

    return fitted(devices, make, x, y)


def resumed(devices):
    """Stopped after the second epoch, then resumed: as if it had never been stopped."""
    make = lambda: net(keras.optimizers.Adam(0.01))  # noqa: E731
    stop = lambda event, control: (  # noqa: E731
        control.request_stop("panel") if getattr(event, "epoch", 0) == 2 else None
    )
    source = f"resumed on {devices}"
    with training(devices, view=Steer(stop), source=source, restore_best=False):
        make().fit(x, y, epochs=4, shuffle=False)
    with training(devices, source=source, resume=True) as run:
        model = make()
        model.fit(x, y, epochs=4, shuffle=False)
    return summary(run, model)


class Steer:
    """A view that acts on what it is shown, as a person would."""

    def __init__(self, act):
        self._act = act

    def __call__(self, record, control):
        self._control = control
        return self

    def show(self, event, record):
        if type(event).__name__ == "EpochEnd":
            self._act(event, self._control)

    def pump(self):
        pass

    def close(self, record):
        pass


def repaired(name, make, *data, **call):
    with training() as run:
        model = make()
        model.fit(*data, **{"epochs": 1, "shuffle": False, **call})
        model.evaluate(x[:31], y[:31], verbose=0)  # which they cannot divide evenly
    found[name] = summary(run, model)


def refused(name, make, *data, **call):
    try:
        with training():
            make().fit(*data, **{"epochs": 1, **call})
        found[name] = "not refused"
    except UserError as error:
        found[name] = str(error)


class Rows(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        return x[:33], y[:33]


def equal():
    for work in (sgd_arrays, adam_dataset):
        case(work)


def main():
    equal()
    for work in (adam_arrays, sgd_dataset, earlier_model, own_step, resumed):
        case(work)
    for work in (whole_statistics, parted_statistics):
        case(work)
    adam = keras.optimizers.Adam
    repaired("uneven_batch", lambda: net(adam(), jit_compile=True), x, y, batch_size=33)
    repaired("short_rest", lambda: net(adam()), x[:129], y[:129], batch_size=32)
    repaired(
        "short_rest_of_split", lambda: net(adam()), x, y, batch_size=128,
        validation_split=0.19,
    )  # fmt: skip
    repaired("uneven_rest", lambda: net(adam()), x[: 128 + N + 1], y[: 128 + N + 1])
    data = tf.data.Dataset.from_tensor_slices((x[:133], y[:133])).batch(33)
    repaired("uneven_dataset", lambda: net(adam()), data, shuffle=True)
    repaired("untouched", lambda: net(adam(use_ema=True), steps_per_execution=2), x, y)
    repaired("noisy", lambda: net(adam(), keras.layers.Dropout(0.1)), x, y)
    generator = ((x[:32], y[:32]) for _ in range(6))
    repaired("generator", lambda: net(adam()), generator, steps_per_epoch=6, shuffle=True)
    refused("accumulation", lambda: net(adam(gradient_accumulation_steps=2)), x, y)
    refused("overwriting_ema", lambda: net(adam(use_ema=True, ema_overwrite_frequency=2)), x, y)
    refused("sequence", lambda: net(adam()), Rows())
    refused("few_rows", lambda: net(adam()), x[: N - 1], y[: N - 1])
    outside = Early()
    outside.compile("adam", "sparse_categorical_crossentropy")
    outside.get_config = None
    refused("cannot_rebuild", lambda: outside, x, y)
    with training(batch_size="8/device", scale_lr=True) as run:
        net(adam(0.01)).fit(x, y, batch_size=8, epochs=8)
    found["scaled"] = {
        **summary(run, run.model),
        "rates": [e.learning_rate for e in run.record.epochs],
        "devices": run.record.distributed.devices,
        "rows": run.record.distributed.batch_size,
        "scaling": run.record.scaling.per_replica * N / run.record.scaling.rows_per_second,
    }
    with training(batch_size=64) as run:
        net(adam(0.01)).fit(x, y, epochs=1)
    found["offered"] = summary(run, run.model)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main() if N == 2 else equal()
    print(json.dumps(found))  # noqa: T201 - read by the tests
