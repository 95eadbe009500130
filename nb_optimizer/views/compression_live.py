"""Shows a compression while it goes on: one output, replaced with each row, or lines of text."""

from __future__ import annotations

from collections.abc import Callable

from nb_optimizer.core.compression.result import CompressionResult
from nb_optimizer.core.compression.row import Row
from nb_optimizer.core.record import RUNNING
from nb_optimizer.views import compression_words as say
from nb_optimizer.views import frontend
from nb_optimizer.views.compression import as_html, as_text
from nb_optimizer.views.stage import Output


def compression_view(live: str) -> Callable[[CompressionResult], None]:
    """Return what is called whenever a row was added: one output, replaced in place."""
    if live == "off":
        return lambda _: None
    if live == "text" or not frontend.in_kernel() or frontend.mode(live) == "text":
        return _Lines()
    output = Output()

    def show(result: CompressionResult) -> None:
        if result.status == RUNNING:  # the cell's own result shows the finished one
            bundle = {"text/html": as_html(result), "text/plain": as_text(result)}
            output.put(bundle, result.id)
        else:
            output.put({"text/html": "", "text/plain": ""}, result.id)

    return show


class _Lines:
    """Prints a line for each new row, for logs and terminals."""

    def __init__(self) -> None:
        self._told = 0

    def __call__(self, result: CompressionResult) -> None:
        for event in result.record.measured[self._told :]:
            print(say.line(Row.from_dict(event.row)), flush=True)  # noqa: T201 - that is its work
        self._told = len(result.record.measured)
