"""Which ways suit a model on the device that computes, and how much data lies there."""

from __future__ import annotations

import pytest

from nb_optimizer.core.training.acceleration import hardware
from nb_optimizer.core.training.acceleration.install import Acceleration
from nb_optimizer.core.training.acceleration.promises import (
    FUSED,
    LOOP,
    ON_CPU,
    ON_GPU,
    PLAIN,
    XLA,
)
from nb_optimizer.core.training.acceleration.ways import ROW_WAYS, RowWays

GB = 2**30


@pytest.fixture
def ways():
    import keras

    from nb_optimizer.core.training import framework

    def of(*layers, **compiled):
        net = keras.Sequential([keras.Input((4,)), *layers, keras.layers.Dense(1)])
        net.compile("sgd", "mse", **compiled)
        return hardware.ways_for(net, framework.of(net), ROW_WAYS)

    return of


def test_steps_that_keras_compiles_are_never_run_uncompiled(ways):
    assert ways() == ROW_WAYS
    assert ways(jit_compile=True) == (FUSED, XLA)


def test_layers_that_xla_cannot_compile_are_not_tried_under_it(ways):
    import keras

    assert ways(keras.layers.Hashing(4)) == (LOOP,)


def test_a_fit_of_compiled_steps_runs_in_a_compiled_loop(train):
    import keras
    import numpy as np

    net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    net.compile("sgd", "mse", jit_compile=True)
    with train(seed=3) as run:
        net.fit(np.ones((200, 4)), np.ones((200, 1)), batch_size=4, epochs=2, verbose=0)
    assert run.record.accelerated.way == XLA


@pytest.fixture
def gpu(monkeypatch):
    """A GPU of 8 GB with 1 GB taken, as TensorFlow and nvidia-smi tell of one."""
    import tensorflow as tf

    monkeypatch.setattr(hardware, "accelerator", lambda: "GPU:0")
    monkeypatch.setattr(hardware, "_gpu_memory", lambda: 8 * GB)
    monkeypatch.setattr(hardware, "memory", lambda: 64.0 * GB)
    monkeypatch.setattr(tf.config.experimental, "get_memory_info", lambda _: {"current": GB})


def test_data_takes_a_quarter_of_what_is_free_on_a_gpu(gpu, monkeypatch):
    assert hardware.holds(GB) and not hardware.holds(2 * GB)
    monkeypatch.setattr(hardware, "_gpu_memory", lambda: 0)  # nobody tells
    assert hardware.holds(GB // 32) and not hardware.holds(GB)


def test_a_gpu_promises_otherwise(gpu):
    assert {hardware.promises(kind) is ON_GPU[kind] for kind in ON_CPU} == {True}
    assert ON_GPU.keys() == ON_CPU.keys()
    assert hardware.runs_apart()


@pytest.mark.parametrize("where", ["copying", "compiling"])
def test_a_device_without_room_for_the_data_gets_plain_steps(where, train, monkeypatch):
    import keras
    import numpy as np
    import tensorflow as tf

    def full(*_):
        raise tf.errors.ResourceExhaustedError(None, None, "out of memory")

    def history(accelerate):
        keras.utils.set_random_seed(3)
        net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        net.compile("sgd", "mse")
        x = np.random.default_rng(0).normal(size=(330, 4))
        with train(accelerate=accelerate) as run:
            told = net.fit(x, x[:, :1], batch_size=8, epochs=3, validation_data=(x, x[:, :1]))
        return told.history, run.record.accelerated

    plain, _ = history("off")
    monkeypatch.setattr(Acceleration, "known", lambda self: FUSED)
    if where == "copying":
        monkeypatch.setattr(RowWays, "__init__", full)
    else:
        monkeypatch.setattr(RowWays, "run", full)
    found, told = history("auto")
    assert found == plain
    assert told.way == PLAIN
    assert "the device has no room for the data beside the model" in told.text
