"""TF-MOT in its own process: ``python -m nb_optimizer.core.compression.tfmot_worker REQUEST``.

Translates the Keras 3 model, proves that the outputs are equal, applies TF-MOT, takes its
wrappers off, carries the weights back and, where there was quantization-aware training, writes
the 8-bit file. What TF-MOT refuses is left alone and told.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from nb_optimizer.core.compression import graph, kernels, tfmot_steps
from nb_optimizer.core.compression.bridge.translate import TOLERANCE, Translation, translate
from nb_optimizer.core.compression.recipe import Recipe
from nb_optimizer.core.compression.tfmot_steps import SHORT
from nb_optimizer.core.devices import preflight, strategy
from nb_optimizer.core.devices.job import Job as Folder
from nb_optimizer.core.plan import TrainPlan
from nb_optimizer.core.store import Store

_CHECKED = 8  # rows on which both models must agree
_FLOOR = 0.02


class _StoppedError(Exception):
    """Somebody has stopped a training: nothing more is done."""


def load_tfmot() -> Any:
    """Import TF-MOT; ``tf.keras`` stays what it is."""
    import tensorflow as tf  # noqa: PLC0415 - this process only

    _ = tf.keras.layers  # settles what tf.keras is, before TF-MOT's import would
    before = os.environ.get("TF_USE_LEGACY_KERAS")
    import tensorflow_model_optimization as tfmot  # noqa: PLC0415 - as above

    if before is None:
        os.environ.pop("TF_USE_LEGACY_KERAS", None)
    return tfmot


class Job:
    """One request: its data, its model in both packages, what there is to tell."""

    def __init__(self, request: dict[str, Any], folder: Path) -> None:
        import tf_keras  # noqa: PLC0415 - this process only

        self.tfmot = load_tfmot()
        self.request, self.folder = request, folder
        self.recipe = Recipe.from_dict(request["recipe"])
        self.notes: list[str] = []
        self.begun_with: list[Any] = []  # the weights that 8-bit training began with
        self.inputs = [np.load(f, allow_pickle=False) for f in request["inputs"].values()]
        self.names = list(request["inputs"])
        self.targets = np.load(request["targets"], allow_pickle=False)
        tf_keras.utils.set_random_seed(request["seed"])
        self.source = self.load()
        chosen, left = kernels.choose(self.source)
        shared, _ = kernels.choose(self.source, self.recipe.values)
        self.pruned = {k.layer.name for k in chosen}
        self.shared = {k.layer.name for k in shared}
        if self.recipe.prune or self.recipe.cluster:
            self.notes += [f"left alone: {n} ({why})" for n, why in left.items()]

    def load(self) -> Any:
        """Return the Keras 3 model as it was sent."""
        import keras  # noqa: PLC0415 - this process only

        request = self.request
        return keras.models.load_model(request["model"], _own(request), compile=False)

    def run(self) -> None:
        """Do every step of the recipe, one after another."""
        with strategy.scope(self.request["devices"]) as devices:
            if devices is not None:
                self.source = self.load()
                self._tell(devices.num_replicas_in_sync)
            rounded = self._steps()
            self.source.save(self.request["result"])
        if rounded is not None:
            tfmot_steps.write(self, rounded)

    def _steps(self) -> Any | None:
        """Train; return the model that feels 8-bit rounding, if the recipe has one."""
        if self.recipe.prune:
            strip = self.tfmot.sparsity.keras.strip_pruning
            self.step(tfmot_steps.prune, strip, replace(self.recipe, cluster=0, qat=False), 1)
        if self.recipe.cluster:
            strip = self.tfmot.clustering.keras.strip_clustering
            self.step(tfmot_steps.cluster, strip, replace(self.recipe, qat=False), SHORT)
        return tfmot_steps.quantize(self) if self.recipe.qat else None

    def _tell(self, count: int) -> None:
        rows = self.request["batch"]
        self.notes.append(f"TF-MOT trained on {count} devices, {rows} rows per batch")
        if self.recipe.qat:
            self.notes.append(
                "TF-MOT takes the ranges of its 8-bit training from each device alone"
            )
        preflight.tell_differences(self.source, graph.sublayers(self.source), count, self.notes)

    def step(self, wrap: Any, strip: Any, done: Recipe, part: int) -> None:
        """Wrap, train, strip, and carry the weights back to the Keras 3 model."""
        made = self.translated(fold=False)
        model, callbacks = wrap(self, made)
        if type(model).__module__.partition(".")[0] != "tf_keras":
            message = f"TF-MOT gave back a {type(model).__name__}"
            raise TypeError(message)
        self.fit(model, callbacks, done, part)
        stripped = {layer.name: layer for layer in strip(model).layers}
        made.pairs = [(old, stripped[new.name]) for old, new in made.pairs if new.name in stripped]
        made.copy_weights(back=True)

    def translated(self, *, fold: bool) -> Translation:
        """Return the model in tf_keras, once it is proven to be the same."""
        made = translate(self.source, fold=fold)
        gap = made.difference(self.rows([a[:_CHECKED] for a in self.inputs]))
        if not gap <= TOLERANCE:
            message = f"tf_keras gives other outputs (relative difference {gap:.1e})"
            raise ValueError(message)
        self.notes += [f"called as it is in TF-MOT: {n} ({why})" for n, why in made.called.items()]
        return made

    def fit(self, model: Any, callbacks: list[Any], done: Recipe, part: int) -> None:
        """Train with the user's kind of loss and optimizer, up to the recipe ``done``.

        Epochs are those of the request, divided by ``part``.
        """
        import tf_keras  # noqa: PLC0415 - this process only

        request = self.request
        epochs = max(1, request["epochs"] // part)
        kinds = tf_keras.optimizers
        optimizer = getattr(kinds, request["optimizer"], kinds.Adam)
        rate = request["rate"] * (1 if part == 1 else 0.3)
        steps = epochs * self.steps_per_epoch
        slower = kinds.schedules.CosineDecay(rate, max(1, steps), alpha=_FLOOR)
        model.compile(optimizer(slower), self._loss())
        with self._watched(replace(done, quantize="").name):
            model.fit(
                self.rows(self.inputs), self.targets, batch_size=request["batch"], epochs=epochs,
                callbacks=callbacks, verbose=0,
            )  # fmt: skip

    @contextlib.contextmanager
    def _watched(self, name: str) -> Iterator[None]:
        """Keep a training as a run, which the kernel shows and steers."""
        if not self.request["runs"]:
            yield
            return
        # tf_keras is in this process only, and known to a session from its import on.
        from nb_optimizer.core.devices.worker import Reporter  # noqa: PLC0415
        from nb_optimizer.core.training.session import Training  # noqa: PLC0415

        name = f"{self.request['name']}: {name}"[:80]
        plan = TrainPlan(name=name, restore_best=False, checkpoint=False, accelerate="off")
        reporter = Reporter(Folder(self.folder))
        store = Store(self.request["runs"])
        with Training(plan, store=store, view=lambda _record, _control: reporter) as run:
            yield
        if run.status == "stopped":
            raise _StoppedError

    @property
    def steps_per_epoch(self) -> int:
        """How many batches an epoch has."""
        return -(-len(self.targets) // int(self.request["batch"]))

    def rows(self, arrays: list[Any]) -> Any:
        """Return inputs as the model takes them."""
        if all(n.startswith("args_0") for n in self.names):
            return arrays[0] if len(arrays) == 1 else arrays
        return dict(zip(self.names, arrays, strict=True))

    # ---- inside

    def _loss(self) -> Any:
        import tf_keras  # noqa: PLC0415 - this process only

        loss = tf_keras.losses.get(self.request["loss"])
        if self.request["from_logits"]:
            return lambda y, p: loss(y, p, from_logits=True)
        return loss


def _own(request: dict[str, Any]) -> Any:
    if not request["classes"]:
        return None
    import cloudpickle  # noqa: PLC0415 - only for classes of the user's own

    # Written by the kernel that started this process, into a folder private to the user.
    return cloudpickle.loads(Path(request["classes"]).read_bytes())


def main(path: Path) -> None:
    """Do a request and write its answer."""
    request = json.loads(path.read_text())
    strategy.needs_fresh_process(request["devices"])  # divides the processor before it is used
    job, stopped = Job(request, path.parent), False
    try:
        job.run()
    except _StoppedError:
        stopped = True
    partial = path.with_suffix(".part")
    notes = list(dict.fromkeys(job.notes))
    partial.write_text(json.dumps({"notes": notes, "stopped": stopped}))
    partial.replace(path.with_suffix(".answer"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
