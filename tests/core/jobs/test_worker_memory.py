"""What a worker frees between two trials, and when it is replaced because of what it keeps."""

from __future__ import annotations

import gc
import weakref

import pytest
import tensorflow as tf

from nb_optimizer.core.jobs.crew import is_used_up
from nb_optimizer.core.jobs.tensorflow_inside import forget_gradients


@tf.custom_gradient
def square(x):
    def gradient(upstream):
        return upstream * 6.0  # at 3; in a branch, a gradient cannot read what is outside

    return x * x, gradient


def at_once(x):
    return square(x)


def inside_of_a_branch(x):
    return tf.cond(x > 0, lambda: square(x), lambda: x)


def test_traced_gradients_are_freed_with_their_function_and_kept_with_it():
    x, functions = tf.constant(3.0), {}
    for name, code in ("plain", at_once), ("branch", inside_of_a_branch):
        for use in ("kept", "dropped"):
            functions[name, use] = tf.function(code, autograph=False)
            functions[name, use](x)
    graphs = {k: weakref.ref(f.get_concrete_function(x).graph) for k, f in functions.items()}
    del functions["plain", "dropped"], functions["branch", "dropped"]
    gc.collect()
    assert graphs["plain", "dropped"]() is not None, "TensorFlow frees them by itself by now"
    forget_gradients()
    forget_gradients()
    for (_, use), graph in graphs.items():
        assert (graph() is None) == (use == "dropped")
    for function in functions.values():
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        assert float(tape.gradient(y, x)) == 6.0


@pytest.mark.parametrize(
    ("trials", "grown_mb", "expected"),
    [
        (54, 65, True),  # 1.2 MB with each trial
        (54, 40, False),
        (2, 300, False),  # a large model after a small one is no leak
        (2, 600, True),
        (200, 0, True),
    ],
)
def test_a_worker_is_replaced_once_it_has_leaked(trials, grown_mb, expected):
    assert is_used_up(trials, grown_mb) == expected
