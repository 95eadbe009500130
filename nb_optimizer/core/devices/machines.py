"""One worker among several machines: who it is, and what all of them must do alike.

TensorFlow's collectives need every worker to take the same steps. So a worker acts on wishes only
at the end of an epoch, when the chief's are handed to all, and none reads a metric by the clock.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nb_optimizer.core.devices import keras_inside

if TYPE_CHECKING:
    from nb_optimizer.core.devices.job import Job
    from nb_optimizer.core.training.fit import Fit

CONFIG = "TF_CONFIG"  # TensorFlow's own name
EARLIER = "earlier"  # runs to resume from, copied before anybody begins
_PAUSE = 0.2


def is_member() -> bool:
    """Whether this process is one of several workers."""
    return CONFIG in os.environ


def rank() -> int:
    """Return the number of this worker, 0 for the chief."""
    return int(json.loads(os.environ.get(CONFIG, "{}")).get("task", {}).get("index", 0))


def is_chief() -> bool:
    """Whether this process writes what there is to keep."""
    return rank() == 0


@functools.cache
def join() -> Any:
    """Meet the other workers; return the strategy they share. Waits until all are there."""
    keras_inside.check_tested()
    tf: Any = importlib.import_module("tensorflow")
    return tf.distribute.MultiWorkerMirroredStrategy()


def own_directory(job: Job) -> Path | None:
    """Return a place for the runs of a worker that is not the chief, with the runs of before."""
    if is_chief():
        return None
    place = Path(tempfile.mkdtemp(prefix="nb_optimizer-"))
    if (job.path / EARLIER).is_dir():
        shutil.copytree(job.path / EARLIER, place / "runs")
    return place


def agree(fit: Fit, strategy: Any) -> None:
    """Hand the chief's wishes to all workers; called by all of them after the same epoch."""
    tf: Any = importlib.import_module("tensorflow")
    control, mine = fit.control, [0.0] * 5
    if is_chief():
        fit.mailbox.look(control)
        while control.pause.is_set() and not control.stop.is_set():
            time.sleep(_PAUSE)  # the others wait for this worker's wishes meanwhile
            fit.mailbox.look(control)
        mine = _encode(control)
    here = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(mine if context.replica_id_in_sync_group == 0 else [0.0] * 5)
    )
    stop, rate, more, back, _ = strategy.reduce("SUM", here, axis=None).numpy().tolist()
    for action, value, wanted in (
        ("learning_rate", rate, rate > 0),
        ("more_epochs", more, more > 0),
        ("back_to_best", None, back > 0),
    ):
        if wanted:
            control.request(action, value)
    if stop:
        control.request_stop(control.stop_origin or "panel")


def _encode(control: Any) -> list[float]:
    """Return stop, learning rate, epochs to add, back to best; 0 for what nobody asked."""
    found: dict[str, float] = {}
    for command in control.take():
        value = float(command.value or 1)
        found[command.action] = value + (
            found.get("more_epochs", 0.0) if command.action == "more_epochs" else 0.0
        )
    wishes = ("learning_rate", "more_epochs", "back_to_best")
    return [float(control.stop.is_set()), *(found.get(w, 0.0) for w in wishes), 0.0]
