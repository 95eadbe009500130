"""A search as a matplotlib figure, for papers and slides."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from nb_optimizer.core.tuning.record import PRUNED, SearchRecord

_BEST, _CURVE, _PRUNED = "#D55E00", "#0072B2", "#999999"


def figure(record: SearchRecord) -> Figure:
    """Draw the best score so far, and the learning curve of every trial; pruned ones are pale."""
    picture = Figure(figsize=(9.6, 3.4), layout="constrained")
    left, right = picture.add_subplot(1, 2, 1), picture.add_subplot(1, 2, 2)
    if record.progress:
        left.step(*zip(*record.progress, strict=True), where="post", color=_BEST)
    left.set_xlabel("epochs of all trials")
    left.set_ylabel(f"best {record.on}")
    _curves(right, record)
    picture.suptitle(record.begin.name or record.begin.run)
    return picture


def _curves(axes: Any, record: SearchRecord) -> None:
    for trial in record.trials:
        points = [(i, log[record.on]) for i, log in enumerate(trial.logs, 1) if record.on in log]
        if not points:
            continue
        pale = trial.status == PRUNED
        look = {"color": _PRUNED if pale else _CURVE, "alpha": 0.5 if pale else 0.9}
        if trial is record.best:
            look = {"color": _BEST, "linewidth": 2.0, "zorder": 3}
        axes.plot(*zip(*points, strict=True), marker="." if len(points) == 1 else None, **look)
    axes.set_xlabel("epoch")
    axes.set_ylabel(record.on)
