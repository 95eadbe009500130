"""The first event of a run: what is trained, on what, by which process."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nb_optimizer.core.events import RunBegin
from nb_optimizer.core.store import this_process
from nb_optimizer.core.training import metric

MODEL = "model.json"

if TYPE_CHECKING:
    from nb_optimizer.core.training.fit import Fit


def opening(fit: Fit, steps: int | None) -> RunBegin:
    """Describe a ``fit`` whose model is built; ``steps`` is the batches per epoch, if known."""
    host, pid, started = this_process()
    model, call, monitor = fit.model, fit.call, fit.options.monitor
    return RunBegin(
        time=time.time(),
        run=fit.path.name,
        name=fit.plan.name,
        key=fit.key,
        cell_id=fit.training.source.cell_id,
        model=str(model.name),
        framework=fit.framework.name,
        parameters=int(model.count_params()) if model.built else 0,
        epochs=call.epochs,
        steps=steps,
        batch_size=call.batch_size,
        validates=call.validates,
        monitor=monitor,
        direction=fit.training.direction or metric.direction(monitor),
        schedule=fit.rate.schedule_name,
        options=fit.plan.changed(),
        host=host,
        pid=pid,
        started=started,
    )


def save_architecture(model: Any, directory: Path) -> None:
    """Keep how the model is built, if it can describe itself."""
    try:
        text = model.to_json()
    except (NotImplementedError, TypeError, ValueError):
        return
    (directory / MODEL).write_text(json.dumps(json.loads(text)))
