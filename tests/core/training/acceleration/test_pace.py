"""The choice of a way, on steps whose times the test decides."""

from __future__ import annotations

import pytest

from nb_optimizer.core.training.acceleration.pace import LARGEST, LONGEST, Pace
from nb_optimizer.core.training.acceleration.promises import (
    CONVOLUTION,
    DENSE,
    FUSED,
    LOOP,
    ON_CPU,
    PLAIN,
    XLA,
    Promises,
)

ALL_WAYS = (PLAIN, LOOP, FUSED, XLA)
MLP = {PLAIN: 1e-3, LOOP: 3e-4, FUSED: 6e-5, XLA: 3e-4}
CNN = {PLAIN: 2.5e-3, LOOP: 1.5e-3, FUSED: 1e-2, XLA: 1e-3}
COMPILE = {PLAIN: 0.5, LOOP: 0.6, FUSED: 1.5, XLA: 1.2}


def train(steps, prices, *, failing=(), known="", device=ON_CPU):
    """Run a training of ``steps`` steps; return the pace, the seconds and the longest call."""
    left = [steps]
    kind = CONVOLUTION if prices is CNN else DENSE
    pace = Pace(ALL_WAYS, lambda: left[0], known=known, promises=lambda: device[kind])
    total, longest, seen = 0.0, 0.0, set()
    while left[0] > 0:
        size, way = min(pace.size(), left[0]), pace.way
        if way in failing:
            pace.failed("XlaError in compiling")
            continue
        first = way not in seen
        seconds = prices[way] * size + (COMPILE[way] if first else 0.0)
        seen.add(way)
        total += seconds
        longest = max(longest, 0.0 if first else seconds)
        left[0] -= size
        pace.took(seconds, size)
    return pace, total, longest


@pytest.mark.parametrize(("prices", "best"), [(MLP, FUSED), (CNN, XLA)])
def test_long_trainings_end_with_the_fastest_way(prices, best):
    pace, total, longest = train(40_000, prices)
    assert (pace.way, pace.is_final) == (best, True)
    assert total < 0.6 * 40_000 * prices[PLAIN]
    assert longest <= 0.25
    assert pace.gain == pytest.approx(prices[PLAIN] / prices[best], rel=0.01)


@pytest.mark.parametrize("steps", [100, 500, 1_000, 2_000, 4_000, 8_000])
@pytest.mark.parametrize("prices", [MLP, CNN])
def test_short_trainings_never_pay_for_what_they_cannot_use(prices, steps):
    _, total, _ = train(steps, prices)
    assert total < 1.1 * (COMPILE[PLAIN] + steps * prices[PLAIN]) + 0.2


def test_steps_that_compute_are_left_alone():
    pace, total, _ = train(500, dict.fromkeys(ALL_WAYS, 0.3))
    assert pace.way == PLAIN and set(pace.trials) == {PLAIN}
    assert total == pytest.approx(COMPILE[PLAIN] + 500 * 0.3)


def test_what_fails_to_compile_is_passed_over():
    pace, _, _ = train(40_000, MLP, failing=(FUSED,))
    assert pace.way in (LOOP, XLA)
    pace, _, _ = train(40_000, MLP, failing=(LOOP, FUSED, XLA))
    assert pace.way == PLAIN


def test_a_known_choice_is_used_from_the_first_step():
    pace, _, _ = train(2_000, MLP, known=FUSED)
    assert pace.is_final and set(pace.trials) == {FUSED}
    pace, _, _ = train(2_000, MLP, known=FUSED, failing=(FUSED,))
    assert pace.way == PLAIN


def test_blocks_stay_within_the_latency_and_the_shape():
    pace = Pace(ALL_WAYS, lambda: 10**9, known=FUSED)
    pace.took(2.0, 2)
    for _ in range(9):
        size = pace.size()
        assert size <= LARGEST and size * 1e-4 <= LONGEST
        pace.took(size * 1e-4, size)
    assert pace.size() > 100


@pytest.mark.parametrize("rows", [64, 70])
def test_plain_steps_are_traced_once(rows, train, monkeypatch):
    """The first epoch's own pipeline and Keras' later one feed the same compiled step."""
    import keras
    import numpy as np

    from nb_optimizer.core.training.acceleration import hardware, pace

    nothing = Promises({}, {}, slow_step=0.0)  # so that plain steps win at once
    monkeypatch.setattr(hardware, "promises", lambda _: nothing)
    monkeypatch.setattr(pace, "_ENOUGH_SECONDS", 0.0)
    traces = []

    class Traced(keras.layers.Layer):
        def call(self, x):
            traces.append(x)
            return x

    def fit():
        net = keras.Sequential([keras.Input((4,)), Traced(), keras.layers.Dense(1)])
        net.compile("sgd", "mse")
        del traces[:]
        net.fit(np.ones((rows, 4)), np.ones((rows, 1)), epochs=3, batch_size=8, verbose=0)
        return len(traces)

    plain = fit()
    with train() as run:
        assert fit() == plain
    assert run.record.accelerated.way == PLAIN


def test_short_calls_that_come_again_and_again_are_paid_for_together():
    seen, trials, ways = 0, {}, []
    for _ in range(12):
        seen += 150
        pace = Pace((PLAIN, LOOP), lambda steps=seen: steps)
        pace.take_up(trials)
        ways.append(pace.way)
        for _ in range(150 if pace.way == PLAIN and not pace.is_final else 10):
            compiling = COMPILE[pace.way] if pace.compiles and pace.way not in trials else 0.0
            pace.took(MLP[pace.way] * pace.size() + compiling, pace.size())
        trials = pace.trials
    assert ways[0] == ways[4] == PLAIN and ways[-1] == LOOP
    assert trials[LOOP].per_step == pytest.approx(MLP[LOOP])
