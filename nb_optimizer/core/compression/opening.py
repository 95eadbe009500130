"""The first event of a compression: what is made smaller, on what data, by which process."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from nb_optimizer.core.compression import resume
from nb_optimizer.core.compression.plan import CompressPlan
from nb_optimizer.core.events import RunBegin
from nb_optimizer.core.store import this_process
from nb_optimizer.core.training import framework

if TYPE_CHECKING:
    from nb_optimizer.core.compression.session import Compressing


def described(session: Compressing) -> RunBegin:
    """Describe a compression that has no folder yet."""
    host, pid, started = this_process()
    model = session.model
    return RunBegin(
        time=time.time(), run="", key=session.key, model=str(model.name),
        framework=framework.of(model).name, parameters=int(model.count_params()),
        options=_options(session.plan),
        fingerprints=resume.fingerprints(model, session.held_out, session.train, session.recipe),
        host=host, pid=pid, started=started,
    )  # fmt: skip


def metric_names(model: Any) -> list[str]:
    """Return the names of the metrics that the model was compiled with."""
    try:
        found = [m for metric in model.metrics for m in getattr(metric, "metrics", [metric])]
    except (AttributeError, ValueError):
        return []
    return [str(m.name) for m in found]


def _options(plan: CompressPlan) -> dict[str, Any]:
    default = CompressPlan()
    named = {n: getattr(plan, n) for n in default.__dataclass_fields__}
    return {k: v for k, v in named.items() if v != getattr(default, k)}
