"""A compression as notebooks and terminals show it: a table of files, two charts, the picks."""

from __future__ import annotations

from typing import Any

from nb_optimizer.core.compression.result import CompressionResult
from nb_optimizer.core.compression.row import FAILED, MEASURED, Row
from nb_optimizer.core.record import RUNNING
from nb_optimizer.views import compression_words as say
from nb_optimizer.views import html_parts as html
from nb_optimizer.views import words
from nb_optimizer.views.compression_chart import scatter
from nb_optimizer.views.text import columns

_SHOWN = 24  # rows of the table; the rest is in .table()
_DRAWN = 60  # dots of a chart
_NOTES = 8
_LAYERS = 40


class Compression(CompressionResult):
    """A compression: its record with a picture."""

    def __repr__(self) -> str:
        """Return the compression as text."""
        return as_text(self)

    def _repr_html_(self) -> str:
        return as_html(self)

    def panel(self) -> Any:
        """Return the panel of this compression: a click chooses a file to export or to load."""
        from nb_optimizer.views.compression_panel import open_panel  # noqa: PLC0415 - loads widgets

        return open_panel(self)


def as_text(result: CompressionResult) -> str:
    """Return a compression as plain text."""
    lines = [f"{words.title(result.record)}: {say.state(result)}"]
    rows = _chosen(result)
    if rows:
        cells = [say.cells(r, rows[0], result) for r in rows]
        lines.append(columns([list(say.COLUMNS), *cells], left=(0, 1, len(say.COLUMNS) - 1)))
        lines += say.conditions(result)
    lines += [f"{words.one_line(r.name, 80)}: {say.reason(r)}" for r in rows if r.reason]
    lines += [words.note(n) for n in result.record.notes[-_NOTES:]]
    lines += say.meaning(result)
    return "\n".join([*lines, _again(result)])


def as_html(result: CompressionResult, *, in_panel: bool = False) -> str:
    """Return a compression as script-free HTML; a panel has a table of its own."""
    rows = _chosen(result)
    head = f"<b>{html.safe(words.title(result.record))}</b>: {html.safe(say.state(result), 400)}"
    parts = [html.line(head)]
    if rows:
        parts.append(html.line(" ".join(_charts(result, in_panel=in_panel))))
    if rows and not in_panel:
        parts.append(html.grid(say.COLUMNS, [_html_cells(r, rows[0], result) for r in rows]))
    if rows:
        parts += [html.line(html.safe(t, 400)) for t in say.conditions(result)]
        parts.append(_layers(result))
    for row in rows:
        if row.reason:
            told = f"{words.one_line(row.name, 80)}: {say.reason(row)}"
            parts.append(html.line(f"\u2716 {html.safe(told, 400)}"))
    parts += [html.line(html.safe(words.note(n), 400)) for n in result.record.notes[-_NOTES:]]
    parts += [html.line(html.safe(t, 400)) for t in say.meaning(result)]
    again = f'<div style="opacity:.75">{html.safe(_again(result))}</div>'
    return html.box("".join(parts if in_panel else [*parts, again]))


def _again(result: CompressionResult) -> str:
    told = f"see it again: {words.see_again(result.record)}"
    over = result.status != RUNNING and bool(result.candidates)
    return f"{told}; export or load a file by a click: .panel()" if over else told


def _layers(result: CompressionResult) -> str:
    """Return the model's layers, folded away."""
    cells = [[html.safe(c, 120) for c in say.layer(row)] for row in result.layers[:_LAYERS]]
    if not cells:
        return ""
    told = f"{words.many(len(result.layers), 'layer')} with kernels"
    return (
        f"<details><summary>{html.safe(told)}</summary>{html.grid(say.OF_A_LAYER, cells)}</details>"
    )


def _charts(result: CompressionResult, *, in_panel: bool) -> list[str]:
    target = result.record.begin.options.get("target", "size")
    size = "gzip" if target == "gzip" else "size"
    made = [r for r in _chosen(result, _DRAWN) if r.status != FAILED]
    pictures = []
    for kind in (size, "latency"):
        picture = scatter(
            made, result.record.picks, kind, say.allowed(result),
            unit=say.unit(say.is_relative(result)), clicks=in_panel,
        )  # fmt: skip
        spoken = f"{say.AXES[kind]} against loss of {say.metric(result)} of {len(made)} files"
        show = html.inline if in_panel else html.image
        pictures.append(show(picture, spoken, 420))
    return pictures


def _chosen(result: CompressionResult, most: int = _SHOWN) -> list[Row]:
    """Return the rows to show: all, or the float model, the picks and the last ones."""
    rows = result.rows
    if len(rows) <= most:
        return rows
    picked = set(result.record.picks.values())
    last = {r.number for r in rows[-(most - len(picked) - 1) :]}
    return [r for r in rows if r.number == 0 or r.number in picked or r.number in last]


def _html_cells(row: Row, base: Row, result: CompressionResult) -> list[str]:
    cells = [html.safe(c, 120) for c in say.cells(row, base, result)]
    if result.record.picks.get("best") == row.number:
        cells[0] = f"<b>{cells[0]}</b>"
    if row.status != MEASURED:
        cells = [f'<span style="opacity:.6">{c}</span>' for c in cells]
    return cells
