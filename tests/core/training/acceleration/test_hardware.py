"""Which ways suit a model on the device that computes, and how much data lies there."""

from __future__ import annotations

import pytest

from nb_optimizer.core.training.acceleration import hardware
from nb_optimizer.core.training.acceleration.promises import FUSED, LOOP, ON_CPU, ON_GPU, XLA
from nb_optimizer.core.training.acceleration.ways import ROW_WAYS

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
