"""The MLP of ``acceleration.py`` trained by a loop written by hand for it: how fast could it be?

JAX without Keras: one ``lax.scan`` over a whole epoch, Adam, loss and accuracy, the data on the
device, batches gathered by a permutation. No panel, no journal, no checkpoint, no stop.
"""

from __future__ import annotations

import functools
import itertools

SIZES = (64, 64, 64, 64, 10)


def _layers(sizes, seed):
    """Return Glorot-uniform weights and zero biases, as Keras' Dense begins."""
    import numpy as np

    rng = np.random.default_rng(seed)
    made = []
    for a, b in itertools.pairwise(sizes):
        edge = (6 / (a + b)) ** 0.5
        made.append((rng.uniform(-edge, edge, (a, b)).astype("float32"), np.zeros(b, "float32")))
    return made


def _loss(weights, x, y):
    import jax
    import jax.numpy as jnp

    for w, b in weights[:-1]:
        x = jax.nn.relu(x @ w + b)
    scores = x @ weights[-1][0] + weights[-1][1]
    losses = -jnp.take_along_axis(jax.nn.log_softmax(scores), y[:, None], axis=1)
    return losses.mean(), (scores.argmax(axis=1) == y).sum()


def _step(data, state, rows, *, rate=0.001, decay=(0.9, 0.999)):
    """Adam (Kingma and Ba, 2015) with the constants of Keras."""
    import jax
    import jax.numpy as jnp

    weights, first, second, time = state
    x, y = data[0][rows], data[1][rows]
    (loss, hits), gradients = jax.value_and_grad(_loss, has_aux=True)(weights, x, y)
    time += 1
    slow, fast = decay
    each = jax.tree_util.tree_map
    first = each(lambda m, g: slow * m + (1 - slow) * g, first, gradients)
    second = each(lambda v, g: fast * v + (1 - fast) * g * g, second, gradients)
    size = rate * jnp.sqrt(1 - fast**time) / (1 - slow**time)
    weights = each(lambda w, m, v: w - size * m / (jnp.sqrt(v) + 1e-7), weights, first, second)
    return (weights, first, second, time), (loss * len(rows), hits)


def train(x, y, batch_size, epochs, on_epoch_end):
    """Train and return the loss of each epoch."""
    import jax
    import numpy as np

    data = (jax.device_put(x), jax.device_put(y.astype("int32")))
    weights = _layers(SIZES, seed=1)
    zeros = jax.tree_util.tree_map(np.zeros_like, weights)
    state = (weights, zeros, zeros, np.float32(0))
    step = functools.partial(_step, data)
    epoch = jax.jit(lambda state, rows: jax.lax.scan(step, state, rows))
    odd = jax.jit(step)
    rng, full, losses = np.random.default_rng(1), len(x) // batch_size * batch_size, []
    for _ in range(epochs):
        order = rng.permutation(len(x)).astype("int32")
        state, (loss, _) = epoch(state, order[:full].reshape(-1, batch_size))
        total = float(loss.sum())
        if full < len(x):
            state, (loss, _) = odd(state, order[full:])
            total += float(loss)
        losses.append(total / len(x))
        on_epoch_end()
    return losses
