"""Fixtures shared by all tests: tiny data, tiny models, a store in a temporary folder."""

from __future__ import annotations

import os

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")


@pytest.fixture
def data():
    """160 rows of 4 numbers, and whether their sum is above the middle."""
    rng = np.random.default_rng(0)
    x = rng.random((160, 4), dtype="float32")
    return x, (x.sum(axis=1) > 2).astype("int32")


@pytest.fixture
def store(tmp_path):
    from nb_optimizer.core.store import Store

    return Store(tmp_path / "runs-here")


@pytest.fixture
def train(store):
    """``train(patience=3, ...)``: a Training in the temporary store, watched by a list."""
    from nb_optimizer.core.plan import TrainPlan
    from nb_optimizer.core.training.session import Source, Training

    def make(source="a cell", view=None, seconds=0.0, **options):
        return Training(
            TrainPlan.of(options),
            source=Source(source),
            store=store,
            checkpoint_seconds=seconds,
            **({"view": view} if view else {}),
        )

    return make


@pytest.fixture
def model():
    """Make a compiled two-layer classifier; call it with a learning rate or an optimizer."""
    import keras

    def make(optimizer="adam", **compile_options):
        net = keras.Sequential(
            [
                keras.Input((4,)),
                keras.layers.Dense(8, activation="relu"),
                keras.layers.Dropout(0.2),
                keras.layers.Dense(2, activation="softmax"),
            ]
        )
        options = {"metrics": ["accuracy"], **compile_options}
        net.compile(optimizer, "sparse_categorical_crossentropy", **options)
        return net

    return make


class Recorder:
    """A view that keeps what it was shown, and can act on it as a person would."""

    def __init__(self, on_event=None, on_pump=None):
        self.events, self.closed = [], False
        self._on_event, self._on_pump = on_event, on_pump

    def __call__(self, record, control):
        self.record, self.control = record, control
        return self

    def show(self, event, record):
        self.events.append(event)
        if self._on_event:
            self._on_event(event, self.control)

    def pump(self):
        if self._on_pump:
            self._on_pump(self.control)

    def close(self, record):
        self.closed = True

    def of(self, kind):
        return [e for e in self.events if type(e).__name__ == kind]


@pytest.fixture
def recorder():
    return Recorder
