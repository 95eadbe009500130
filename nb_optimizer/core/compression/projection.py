"""Keeps weights pruned and shared while Keras trains: a callback around each batch."""

from __future__ import annotations

from typing import Any

import numpy as np

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
        groups, _ = cluster.group(kernel.variable.numpy(), count, keep_zeros=keep_zeros)
        free = np.flatnonzero(groups) if keep_zeros else np.arange(groups.size)
        order = np.argsort(groups[free], kind="stable")  # neighbours are summed fastest
        self._places = free[order].astype("int32")
        self._groups = np.unique(groups[free[order]], return_inverse=True)[1].astype("int32")

    def before(self, step: int) -> None:
        """Do nothing: the groups are fixed, their values move."""

    def project(self, weights: Any) -> Any:
        """Return the weights as they should be: each the mean of its group."""
        import tensorflow as tf  # noqa: PLC0415 - loads on first use

        own = tf.gather(tf.reshape(weights, [-1]), self._places)
        shared = tf.gather(tf.math.segment_mean(own, self._groups), self._groups)
        flat = tf.scatter_nd(self._places[:, None], shared, tf.size(weights)[None])
        return tf.reshape(flat, tf.shape(weights))


Projection = Pruned | Fixed | Shared


class _Keeping:
    """What a callback does that keeps projections; counts steps from 1, as TF-MOT does."""

    def __init__(self, projections: list[Projection]) -> None:
        super().__init__()
        self._projections, self._project = projections, _together(projections)
        self._many = 1  # steps in one call
        self._done = self._before_epoch = 0

    def set_model(self, model: Any) -> None:
        """Have the model project before each step, where one call runs many."""
        super().set_model(model)  # type: ignore[misc]
        self._trained, self._many = model, model.steps_per_execution
        plain = model.train_step

        def train_step(data: Any) -> Any:
            self._project()
            return plain(data)

        if self._many > 1:
            model.train_step = train_step

    def on_train_begin(self, logs: Any = None) -> None:  # noqa: ARG002
        self._done = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        self._before_epoch = self._done

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
        first = self._before_epoch + batch + 1
        for step in range(first, first + self._many):
            for one in self._projections:
                one.before(step)
        self._project()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
        self._done = self._before_epoch + batch + 1

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        self._project()

    def on_train_end(self, logs: Any = None) -> None:  # noqa: ARG002
        self._project()
        if self._many > 1:
            del self._trained.train_step


def callback(projections: list[Projection]) -> Any:
    """Return a Keras callback that keeps the projections while a model trains.

    Weights are projected before each step. Where many steps run in one call, all masks that are
    due in it are set at its beginning; with one step a call, they are set as TF-MOT sets them.
    """
    import keras  # noqa: PLC0415 - loads on first use

    class Projecting(_Keeping, keras.callbacks.Callback):  # type: ignore[misc]
        """A callback of the Keras that is here."""

    return Projecting(projections)


def _together(projections: list[Projection]) -> Any:
    """Return a compiled function that projects all kernels."""
    import tensorflow as tf  # noqa: PLC0415 - loads on first use

    @tf.function  # type: ignore[untyped-decorator]
    def project() -> None:
        for one in projections:
            variable = one.kernel.variable.value
            variable.assign(one.project(variable))

    return project
