"""Size and latency against the loss as a matplotlib figure, for papers and slides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from nb_optimizer.core.compression.plan import CompressPlan
from nb_optimizer.core.compression.row import FAILED, MEASURED, Row

if TYPE_CHECKING:
    from nb_optimizer.core.compression.result import CompressionResult

_MADE, _REFUSED, _LINE = "#0072B2", "#8a8a8a", "#D55E00"


def figure(result: CompressionResult) -> Figure:
    """Draw size, size after gzip, and latency, each against the loss in points."""
    rows = [r for r in result.rows if r.status != FAILED]
    budget = str(result.record.begin.options.get("budget", ""))
    allowed = 100 * CompressPlan(budget=budget).allowed_loss
    picture = Figure(figsize=(13.5, 3.6), layout="constrained")
    for number, (label, value) in enumerate(_AXES.items(), start=1):
        axes = picture.add_subplot(1, len(_AXES), number)
        _panel(axes, rows, value, allowed)
        axes.set_xlabel(label)
    picture.suptitle(result.id)
    return picture


def _panel(axes: Any, rows: list[Row], value: Any, allowed: float) -> None:
    for row in rows:
        colour, marker = (_MADE, "o") if row.status == MEASURED else (_REFUSED, "x")
        drop = 100 * row.drop
        bar = [[max(0.0, drop - 100 * row.drop_low)], [max(0.0, 100 * row.drop_high - drop)]]
        place = (value(row), drop)
        axes.errorbar(*place, yerr=bar, fmt=marker, color=colour, elinewidth=0.8)
        axes.annotate(row.name, place, (4, 4), fontsize=6, textcoords="offset points")
    axes.axhline(allowed, color=_LINE, linestyle="--", linewidth=1, label="allowed loss")
    axes.set_xscale("log")
    axes.set_ylabel("loss (points)")
    axes.legend(frameon=False)


_AXES: dict[str, Any] = {
    "file (KB)": lambda r: r.bytes / 1e3,
    "file after gzip (KB)": lambda r: r.gzip_bytes / 1e3,
    "latency of one row (ms)": lambda r: r.latency_ms,
}
