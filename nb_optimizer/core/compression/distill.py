"""What fine-tuning is taught with: labels, and the opinion of a float model.

A part of each target is the label and the rest is what the float model says (Hinton et al. 2015,
"Distilling the Knowledge in a Neural Network", without a temperature). Cross-entropy and squared
error are linear enough in the target that mixing targets equals mixing losses.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from nb_optimizer.core.compression.data import Array, Data
from nb_optimizer.core.errors import UserError

HALF = 0.5  # share of the target that the float model gives where labels are as good
MOST = 0.9  # where the float model was fine-tuned first


class Lesson(NamedTuple):
    """A loss, and targets for it."""

    loss: Any
    targets: Any


def lesson(model: Any, train: Data, teacher: Any, share: float) -> Lesson:
    """Return what a copy of ``model`` is taught with.

    Args:
        model: the float model as the user compiled it.
        train: the training data.
        teacher: the model that is asked.
        share: the part of the target that it gives, where its answers can be targets.

    Raises:
        UserError: the model has no loss.
    """
    loss, labels = getattr(model, "loss", None), train.targets
    if loss is None:
        message = "The model is not compiled: fine-tuning needs its loss. Call model.compile."
        raise UserError(message)
    kind = _kind(loss)
    if not isinstance(labels, np.ndarray) or kind == "other":
        return Lesson(loss, labels)
    said = np.asarray(teacher.predict(train.for_keras(), batch_size=256, verbose=0))
    if kind == "squared" and said.size == labels.size:
        return Lesson(loss, share * said + (1 - share) * labels.reshape(said.shape))
    if kind not in ("sparse", "categorical") or said.ndim != 2:  # noqa: PLR2004 - rows of classes
        return Lesson(loss, labels)
    return _soft(loss, kind, labels, said, share)


def _soft(loss: Any, kind: str, labels: Array, said: Array, share: float) -> Lesson:
    import keras  # noqa: PLC0415 - loads on first use

    logits = bool(getattr(loss, "from_logits", False))
    shares = _softmax(said) if logits else said
    one_hot = np.eye(said.shape[1], dtype="float32")[labels.astype(int).ravel()]
    hard = one_hot if kind == "sparse" else labels.astype("float32")
    targets = (share * shares + (1 - share) * hard).astype("float32")
    return Lesson(keras.losses.CategoricalCrossentropy(from_logits=logits), targets)


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
