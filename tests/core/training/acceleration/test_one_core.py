"""Blocks of steps run where they are fastest, and threads get their places back."""

import os

import pytest

from nb_optimizer.core.training.acceleration import one_core
from nb_optimizer.core.training.acceleration.one_core import OneCore

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity") or os.cpu_count() == 1,
    reason="threads are placed on Linux, where there are several cores",
)


@pytest.fixture(scope="module")
def block():
    """Return a compiled loop whose products XLA hands from thread to thread."""
    import tensorflow as tf

    layers = [tf.Variable(tf.random.normal([64, 64], seed=i) / 8) for i in range(4)]
    inputs = tf.random.normal([32, 64], seed=9)

    @tf.function(jit_compile=True)
    def steps():
        for _ in tf.range(200):
            with tf.GradientTape() as tape:
                outputs = inputs
                for layer in layers:
                    outputs = tf.math.tanh(outputs @ layer)
                loss = tf.reduce_mean(outputs**2)
            for layer, gradient in zip(layers, tape.gradient(loss, layers), strict=True):
                layer.assign_sub(0.01 * gradient)
        return tf.reduce_sum(layers[0])

    steps()
    return lambda: float(steps())


def places(threads):
    return {frozenset(os.sched_getaffinity(t)) for t in threads}


def test_tensorflow_threads_are_placed_for_a_block_and_set_free_after_it(block):
    core, during = OneCore(), []
    for _ in range(3):
        core.run(block, 200)
    threads = core._threads
    assert threads, "no thread was seen to run a block"
    policies = {os.sched_getscheduler(t) for t in threads}

    core.run(lambda: during.append(places(threads)) or block(), 200)

    assert [len(cores) for cores in during[0]] == [1]  # the same one for all of them
    assert places(threads) == {frozenset(os.sched_getaffinity(0))}
    assert {os.sched_getscheduler(t) for t in threads} == policies


def test_threads_are_set_free_when_a_block_fails(block):
    core = OneCore()
    for _ in range(3):
        core.run(block, 200)

    with pytest.raises(ZeroDivisionError):
        core.run(lambda: 1 / 0, 200)
    assert places(core._threads) == {frozenset(os.sched_getaffinity(0))}


class Machine:
    """Tells the time that a block takes in either place."""

    def __init__(self, monkeypatch, *, free, on_one):
        self.seconds = {False: free, True: on_one}
        self.now = 0.0
        self.is_on_one = False
        self.core = OneCore()
        monkeypatch.setattr(one_core.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(one_core, "_placed", self.placed)
        self.core._noticing = self.noticing

    def placed(self, _threads):
        self.is_on_one = True
        return one_core.contextlib.nullcontext()

    def noticing(self):
        self.is_on_one = False
        self.core._threads, self.core._are_shared = {1, 2}, True
        return one_core.contextlib.nullcontext()

    def run(self, blocks, steps=100):
        def call():
            self.now += self.seconds[self.is_on_one] * steps
            return self.is_on_one

        return [self.core.run(call, steps) for _ in range(blocks)]


def test_the_faster_place_is_used_and_the_other_one_looked_at_again(monkeypatch):
    machine = Machine(monkeypatch, free=2.0, on_one=1.0)
    places = machine.run(38)
    assert places[:3] == [False] * 3
    assert places.count(False) == 5  # and two more looks, one in 16 blocks

    machine = Machine(monkeypatch, free=1.0, on_one=2.0)
    assert machine.run(38).count(True) == 5


def test_a_core_that_others_use_is_left(monkeypatch):
    machine = Machine(monkeypatch, free=2.0, on_one=1.0)
    machine.run(10)
    machine.seconds[True] = 5.0

    assert machine.run(10)[-5:] == [False] * 5


def test_a_block_in_the_other_place_is_not_expected_to_be_as_fast(monkeypatch):
    machine = Machine(monkeypatch, free=1.0, on_one=4.0)
    assert machine.core.slower == 1.0
    machine.run(3)
    assert machine.core.slower == 3.0  # two threads and the one that waits, on one core
    machine.run(3)
    assert machine.core.slower == 1.0  # back to where it was faster
    while machine.core.slower == 1.0:
        machine.run(1)
    assert machine.core.slower == 4.0  # as it was seen


def test_short_blocks_decide_nothing(monkeypatch):
    machine = Machine(monkeypatch, free=2.0, on_one=1.0)
    machine.run(10)
    machine.seconds[True] = 5.0
    machine.run(5, steps=10)
    machine.seconds[True] = 1.0

    assert machine.run(1) == [True]
