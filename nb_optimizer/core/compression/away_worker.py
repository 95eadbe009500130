"""The process of a compression: ``python -m nb_optimizer.core.compression.away_worker FOLDER``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from nb_optimizer.core.devices.job import Job, Request
from nb_optimizer.core.devices.worker import Reporter, main, unpacked


def compress(job: Job, request: Request, code: str) -> None:  # noqa: ARG001 - a Work
    """Make and measure what was asked for; the kernel reads the journal."""
    from nb_optimizer.core.compression.away import REFUSAL  # noqa: PLC0415 - path is set first
    from nb_optimizer.core.compression.plan import CompressPlan  # noqa: PLC0415
    from nb_optimizer.core.compression.session import Compressing  # noqa: PLC0415
    from nb_optimizer.core.devices import strategy  # noqa: PLC0415
    from nb_optimizer.core.store import Store  # noqa: PLC0415

    plan = CompressPlan.of(request.options)
    strategy.needs_fresh_process(plan.devices)  # divides the processor before it is used
    names = unpacked(job, REFUSAL.format(devices=plan.devices))
    asked = names["asked"]
    session = Compressing(
        plan,
        names["model"],
        _received(asked["data"], names),
        asked["train"] and _received(asked["train"], names),
        recipe=asked["recipe"],
        store=Store(request.directory),
        view=lambda record, control: Reporter(job),  # noqa: ARG005 - a ViewFactory
        path=Path(asked["path"]),
        key=asked["key"],
    )
    session.run(asked["note"])


def _received(sent: Any, names: dict[str, Any]) -> Any:
    from keras import tree  # noqa: PLC0415 - path is set first

    return tree.map_structure(names.__getitem__, sent)


if __name__ == "__main__":
    status = main(sys.argv[1], compress)
    sys.stdout.flush()
    os._exit(status)  # as the worker of a cell
