"""What fine-tuning is taught with: labels, and the opinion of a float model.

A part of each target is the label and the rest is what the float model says (Hinton et al. 2015,
"Distilling the Knowledge in a Neural Network", without a temperature). Cross-entropy and squared
error are linear enough in the target that mixing targets equals mixing losses. A search asks the
float model about blends of two rows as well, on which there are no labels (Beyer et al. 2022,
"Knowledge distillation: A good teacher is patient and consistent"; blends as in Zhang et al. 2018,
"mixup: Beyond Empirical Risk Minimization").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from nb_optimizer.core.compression.data import Array, Data
from nb_optimizer.core.errors import UserError

Asked = Callable[[Any], Any]  # from rows to targets, as tensors
HALF = 0.5  # share of the target that the float model gives where labels are as good
MOST = 0.9  # where the float model was fine-tuned first


@dataclass(frozen=True)
class Lesson:
    """A loss, targets for all rows of ``train``, and who is asked about blends of them."""

    train: Data
    loss: Any
    targets: Any
    asked: Asked | None = None

    def arguments(self, batch: int, seed: int) -> dict[str, Any]:
        """Return the data as ``Model.fit`` takes them."""
        if self.asked is None:
            return {"x": self.train.for_keras(), "y": self.targets, "batch_size": batch}
        return {"x": _blends(self, self.asked, batch, seed), "shuffle": False}


def lesson(model: Any, train: Data, teacher: Any, share: float, *, blends: bool) -> Lesson:
    """Return what a copy of ``model`` is taught with.

    Args:
        model: the float model as the user compiled it.
        train: the training data.
        teacher: the model that is asked.
        share: the part of the target that it gives, where its answers can be targets.
        blends: ask it about blends of rows, too, where the inputs can be blended.

    Raises:
        UserError: the model has no loss.
    """
    loss, labels = getattr(model, "loss", None), train.targets
    if loss is None:
        message = "The model is not compiled: fine-tuning needs its loss. Call model.compile."
        raise UserError(message)
    kind = _kind(loss)
    if not isinstance(labels, np.ndarray) or kind == "other":
        return Lesson(train, loss, labels)
    said = np.asarray(teacher.predict(train.for_keras(), batch_size=256, verbose=0))
    asked = _asking(teacher, loss) if blends and _can_blend(train) else None
    if kind == "squared" and said.size == labels.size:
        return Lesson(train, loss, share * said + (1 - share) * labels.reshape(said.shape), asked)
    if kind not in ("sparse", "categorical") or said.ndim != 2:  # noqa: PLR2004 - rows of classes
        return Lesson(train, loss, labels)
    return Lesson(train, *_soft(loss, kind, labels, said, share), asked)


def _blends(what: Lesson, ask: Asked, batch: int, seed: int) -> Any:
    """Return batches in a new order each epoch; the later half of each is blended with others.

    The teacher is asked while the step before is trained.
    """
    import tensorflow as tf  # noqa: PLC0415 - loads on first use

    inputs = {n: tf.constant(a) for n, a in what.train.inputs.items()}
    targets = tf.constant(what.targets)

    def blended(rows: Any) -> tuple[Any, Any]:
        half = tf.size(rows) // 2
        # The order is random, so are neighbours; and no two batches begin alike.
        draws = tf.stack([seed + rows[0], rows[-1]])
        keep = tf.random.stateless_uniform([tf.size(rows) - half], draws)
        mixed = {}
        for name, every in inputs.items():
            own = tf.gather(every, rows)
            share = tf.cast(tf.reshape(keep, [-1] + [1] * (len(own.shape) - 1)), own.dtype)
            mixed[name] = share * own[half:] + (1 - share) * tf.roll(own, 1, 0)[half:]
        said = ask(Data(mixed).for_keras())
        plain = {n: tf.gather(a, rows[:half]) for n, a in inputs.items()}
        whole = {n: tf.concat([plain[n], mixed[n]], 0) for n in inputs}
        return Data(whole).for_keras(), tf.concat([tf.gather(targets, rows[:half]), said], 0)

    count = len(what.train)
    order = tf.data.Dataset.range(count).shuffle(count, seed=seed).batch(batch)
    return order.map(blended, num_parallel_calls=2).prefetch(4)


def _can_blend(train: Data) -> bool:
    """Whether all inputs are measurements: names of categories and tokens cannot be blended."""
    return all(np.issubdtype(a.dtype, np.floating) for a in train.inputs.values())


def _asking(teacher: Any, loss: Any) -> Asked:
    """Return a function from rows to what the teacher says of them, as targets."""
    import tensorflow as tf  # noqa: PLC0415 - loads on first use

    logits = bool(getattr(loss, "from_logits", False))

    def ask(rows: Any) -> Any:
        said = teacher(rows, training=False)
        return tf.nn.softmax(said) if logits else said

    return ask


def _soft(loss: Any, kind: str, labels: Array, said: Array, share: float) -> tuple[Any, Any]:
    import keras  # noqa: PLC0415 - loads on first use

    logits = bool(getattr(loss, "from_logits", False))
    shares = _softmax(said) if logits else said
    one_hot = np.eye(said.shape[1], dtype="float32")[labels.astype(int).ravel()]
    hard = one_hot if kind == "sparse" else labels.astype("float32")
    targets = (share * shares + (1 - share) * hard).astype("float32")
    return keras.losses.CategoricalCrossentropy(from_logits=logits), targets


def _kind(loss: Any) -> str:
    """Return ``sparse``, ``categorical``, ``squared`` or ``other`` for a compiled loss."""
    name = loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)
    plain = name.replace("_", "").lower()
    if getattr(loss, "label_smoothing", 0):
        return "other"
    return {
        "sparsecategoricalcrossentropy": "sparse",
        "categoricalcrossentropy": "categorical",
        "mse": "squared",
        "meansquarederror": "squared",
    }.get(plain, "other")


def _softmax(values: Array) -> Array:
    shifted = np.exp(values - values.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))
