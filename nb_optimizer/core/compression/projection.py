"""Keeps weights pruned and shared while Keras trains: a callback around each batch."""

from __future__ import annotations

from typing import Any

from nb_optimizer.core.compression import cluster, prune
from nb_optimizer.core.compression.kernels import Kernel


class Pruned:
    """Zeros for one kernel, by a schedule over training steps (from 1)."""

    def __init__(self, kernel: Kernel, schedule: prune.Schedule) -> None:
        import tensorflow as tf  # noqa: PLC0415 - loads on first use

        self.kernel, self._schedule = kernel, schedule
        self._mask = tf.Variable(tf.ones_like(kernel.variable.value), trainable=False)

    def before(self, step: int) -> None:
        """Set the mask anew before this step where the schedule says so."""
        if self._schedule.updates(step):
            weights = self.kernel.variable.numpy()
            self._mask.assign(prune.mask(weights, self._schedule, step))

    def project(self, weights: Any) -> Any:
        """Return the weights as they should be."""
        return weights * self._mask


class Fixed:
    """Zeros that are there already stay zeros."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self._mask = (kernel.variable.numpy() != 0).astype("float32")

    def before(self, step: int) -> None:
        """Do nothing: the zeros are fixed."""

    def project(self, weights: Any) -> Any:
        """Return the weights as they should be."""
        return weights * self._mask


class Shared:
    """A few values for one kernel; with ``keep_zeros``, zero is one of them and stays."""

    def __init__(self, kernel: Kernel, count: int, *, keep_zeros: bool) -> None:
        self.kernel = kernel
        weights = kernel.variable.numpy()
        self._groups, centres = cluster.group(weights, count, keep_zeros=keep_zeros)
        self._count, self._keep_zeros = len(centres), keep_zeros

    def before(self, step: int) -> None:
        """Do nothing: the groups are fixed, their values move."""

    def project(self, weights: Any) -> Any:
        """Return the weights as they should be: each the mean of its group."""
        import tensorflow as tf  # noqa: PLC0415 - loads on first use

        flat = tf.reshape(weights, [-1])
        sums = tf.math.unsorted_segment_mean(flat, self._groups, self._count)
        if self._keep_zeros:
            sums = tf.concat([tf.zeros([1], sums.dtype), sums[1:]], axis=0)
        return tf.reshape(tf.gather(sums, self._groups), tf.shape(weights))


Projection = Pruned | Fixed | Shared


def callback(projections: list[Projection]) -> Any:
    """Return a Keras callback that keeps the projections while a model trains."""
    import keras  # noqa: PLC0415 - loads on first use
    import tensorflow as tf  # noqa: PLC0415 - as above

    class Projecting(keras.callbacks.Callback):  # type: ignore[misc]
        """Counts steps from 1, as TF-MOT does."""

        step = 0

        def on_train_begin(self, logs: Any = None) -> None:  # noqa: ARG002
            self.step = 0

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
            self.step += 1
            for one in projections:
                one.before(self.step)
            project()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
            project()

        def on_train_end(self, logs: Any = None) -> None:  # noqa: ARG002
            project()

    @tf.function  # type: ignore[untyped-decorator]
    def project() -> None:
        for one in projections:
            variable = one.kernel.variable.value
            variable.assign(one.project(variable))

    return Projecting()
