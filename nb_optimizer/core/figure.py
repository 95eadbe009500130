"""The curves of a run as a matplotlib figure, for papers and slides."""

from __future__ import annotations

import math
from typing import Any

from matplotlib.figure import Figure

from nb_optimizer.core.record import RunRecord

_TRAIN, _VALIDATION = "#0072B2", "#D55E00"  # told apart by the colour-blind too


def figure(record: RunRecord) -> Figure:
    """Draw one panel for each metric: training, validation, best epoch, interventions."""
    names = record.metrics() or ["loss"]
    columns = min(3, len(names))
    rows = math.ceil(len(names) / columns)
    picture = Figure(figsize=(4.8 * columns, 3.2 * rows), layout="constrained")
    for number, name in enumerate(names, start=1):
        _panel(picture.add_subplot(rows, columns, number), record, name)
    picture.suptitle(record.begin.name or record.begin.run)
    return picture


def _panel(axes: Any, record: RunRecord, name: str) -> None:
    curves = ((name, _TRAIN, "-", "training"), (f"val_{name}", _VALIDATION, "--", "validation"))
    for key, colour, dash, label in curves:
        points = [(e.epoch, e.values[key]) for e in record.epochs if key in e.values]
        if points:
            marker = "o" if len(points) == 1 else None
            axes.plot(*zip(*points, strict=True), dash, color=colour, label=label, marker=marker)
    best = record.best
    if best and best.metric in (name, f"val_{name}"):
        axes.plot(best.epoch, best.value, "o", color="black", fillstyle="none", label="best epoch")
    for deed in record.interventions:
        axes.axvline(deed.epoch, color="grey", linewidth=0.8)
    axes.set_xlabel("epoch")
    axes.set_ylabel(name)
    axes.legend(frameon=False)
