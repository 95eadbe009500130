"""TF-MOT for Keras 3 models, from the kernel's side: a job folder and a worker process.

Importing TF-MOT changes what ``tf.keras`` means in its process, so it never happens here.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle
import numpy as np

from nb_optimizer.core.compression import graph, workers
from nb_optimizer.core.compression.distill import Lesson
from nb_optimizer.core.compression.finetune import FineTuning
from nb_optimizer.core.compression.recipe import Recipe
from nb_optimizer.core.compression.watcher import StoppedError
from nb_optimizer.core.compression.workers import WorkerError
from nb_optimizer.core.devices.follow import Follower
from nb_optimizer.core.devices.job import Job
from nb_optimizer.core.errors import UserError
from nb_optimizer.core.watching import Guard

if TYPE_CHECKING:
    from nb_optimizer.core.compression.session import Compressing

_MODULE = "nb_optimizer.core.compression.tfmot_worker"
CLASSES = "classes.pickle"
_GRACE = 10.0  # seconds in which a training may end by itself


def train(
    session: Compressing, tuning: FineTuning, lesson: Lesson, recipe: Recipe, model: Any
) -> tuple[Any, Any]:
    """Train a copy of ``model`` by TF-MOT.

    Returns:
        A Keras 3 model with the trained weights, and the path of the 8-bit file that TF-MOT's
        own quantization gives, or ``None`` where the recipe has none.

    Raises:
        WorkerError: TF-MOT refused, or its process died.
        StoppedError: somebody has stopped the training.
    """
    import keras  # noqa: PLC0415 - loads on first use

    folder = Path(tempfile.mkdtemp(prefix="tfmot-", dir=session.path))
    own = graph.own_classes(model)
    request = {
        **_data(tuning, lesson, folder),
        **_fit_settings(tuning, lesson, recipe),
        **_places(session, tuning, folder),
        "classes": str(folder / CLASSES) if own else "",
        "recipe": recipe.to_dict(),
        "seed": tuning.seed,
        "devices": tuning.devices,
    }
    shown = _Shown(session, tuning, folder)
    try:
        model.save(folder / "model.keras")
        if own:
            (folder / CLASSES).write_bytes(cloudpickle.dumps(own))
        answer = workers.call(
            request, folder, module=_MODULE, timeout=_left(tuning), pulse=shown.pulse
        )
        if answer["stopped"]:
            raise StoppedError
        for text in answer["notes"]:
            session.note(text)
        made = keras.models.load_model(folder / "result.keras", own or None, compile=False)
    except (TypeError, ValueError, NotImplementedError) as error:
        first = str(error).strip().splitlines()[0][:160]
        message = f"the model cannot be sent to TF-MOT's process: {first}; try --engine native"
        raise UserError(message) from error
    finally:
        shown.close()
        for path in folder.glob("*.npy"):
            path.unlink()
    file = folder / "result.tflite"
    return made, file if file.is_file() else None


class _Shown:
    """The trainings of TF-MOT's process, as the runs that they are: seen live, steered, kept."""

    def __init__(self, session: Compressing, tuning: FineTuning, folder: Path) -> None:
        self._let_clicks_in: Callable[[], None] = session.watcher.pulse
        self._patience: float | None = None  # until when a stop is waited for
        self._follower: Follower | None = None
        if not tuning.quiet:
            guard = Guard()
            self._follower = Follower(Job(folder), _Alive(), session.store, tuning.view, guard)

    def pulse(self) -> None:
        """Show what is new and let clicks in; called while the process works.

        Raises:
            StoppedError: whoever watches wants no more, and no training is there to end by itself.
        """
        if self._follower is None:
            self._let_clicks_in()
            return
        try:
            self._let_clicks_in()
        except StoppedError:
            if not self._follower.runs:
                raise
            self._patience = self._patience or time.monotonic() + _GRACE
            self._follower.current.control.request_stop("panel")
        if self._patience and time.monotonic() > self._patience:
            raise StoppedError
        self._follower.step()
        self._follower.current.pump()

    def close(self) -> None:
        """Leave the last run's static picture behind."""
        if self._follower is not None:
            self._follower.close()


class _Alive:
    """TF-MOT's process, which ``workers.call`` watches over."""

    lost = ""

    def is_alive(self) -> bool:
        return True

    def end(self) -> None:
        pass

    def close(self) -> None:
        pass

    def why(self) -> str:
        return ""


def _left(tuning: FineTuning) -> float:
    if tuning.deadline is None:
        return 3600.0
    left = tuning.deadline - time.monotonic()
    if left <= 1:
        message = "the time is over"
        raise WorkerError(message)
    return left


def _places(session: Compressing, tuning: FineTuning, folder: Path) -> dict[str, str]:
    return {
        "model": str(folder / "model.keras"),
        "result": str(folder / "result.keras"),
        "file": str(folder / "result.tflite"),
        "name": session.path.name,
        "runs": "" if tuning.quiet else str(session.store.root.parent.resolve()),
    }


def _data(tuning: FineTuning, lesson: Lesson, folder: Path) -> dict[str, Any]:
    inputs = {}
    for i, (name, array) in enumerate(tuning.train.inputs.items()):
        np.save(folder / f"x{i}.npy", array)
        inputs[name] = str(folder / f"x{i}.npy")
    if not isinstance(lesson.targets, np.ndarray):
        message = "TF-MOT's process takes models with one output; try --engine native"
        raise UserError(message)
    np.save(folder / "y.npy", lesson.targets)
    return {"inputs": inputs, "targets": str(folder / "y.npy")}


def _fit_settings(tuning: FineTuning, lesson: Lesson, recipe: Recipe) -> dict[str, Any]:
    loss = lesson.loss
    name = loss if isinstance(loss, str) else getattr(loss, "name", "")
    own = type(loss).__module__.partition(".")[0] == "keras" or isinstance(loss, str)
    if not own:
        message = "TF-MOT's process takes Keras' own losses only; try --engine native"
        raise UserError(message)
    optimizer = getattr(tuning.model, "optimizer", None)
    return {
        "loss": str(name),
        "from_logits": bool(getattr(loss, "from_logits", False)),
        "optimizer": type(optimizer).__name__ if optimizer is not None else "Adam",
        "rate": tuning.rate,
        "epochs": recipe.epochs,
        "batch": tuning.batch,
    }
