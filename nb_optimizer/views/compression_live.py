"""Shows a compression while it goes on: one output, replaced in place, or lines of text."""

from __future__ import annotations

from typing import Any

from nb_optimizer.core.compression.result import CompressionResult
from nb_optimizer.core.compression.row import Row
from nb_optimizer.core.compression.watcher import Watcher
from nb_optimizer.core.record import RUNNING
from nb_optimizer.views import compression_words as say
from nb_optimizer.views import frontend
from nb_optimizer.views.compression import as_html, as_text
from nb_optimizer.views.stage import Stage


def compression_view(live: str) -> Watcher:
    """Return what watches a compression: a panel, a picture, lines of text, or nothing."""
    mode = frontend.mode(live)
    if mode == "off":
        return Watcher()
    if mode == "text":
        return _Lines()
    return _InNotebook(with_panel=mode == "widget")


class _InNotebook(Watcher):
    """The live panel or picture; empty in the end, when the cell's own result shows it."""

    def __init__(self, *, with_panel: bool) -> None:
        self._with_panel = with_panel
        self._panel: Any = None
        self._stage = Stage(_bundle)
        self._result: CompressionResult | None = None

    def show(self, result: CompressionResult) -> None:
        self._result = result
        if result.status != RUNNING:
            self._close(result)
        elif not self._stage.is_open:
            self._open(result)
        else:
            if self._panel is not None:
                self._panel.show()
            self._stage.refresh(result)  # where no page draws the panel

    def begin(self, name: str) -> None:
        if self._panel is not None:
            self._panel.begin(name)

    def pulse(self) -> None:
        if self._panel is not None:
            self._panel.pulse()
            self._stage.look(self._result)

    def _open(self, result: CompressionResult) -> None:
        if self._with_panel:
            from nb_optimizer.views.compression_panel import (  # noqa: PLC0415 - loads widgets
                CompressionPanel,
            )

            self._panel = CompressionPanel(result, live=True)
        self._stage.open(result.id, result, self._panel)

    def _close(self, result: CompressionResult) -> None:
        if not self._stage.is_open:
            return
        self._stage.close(result)
        if self._panel is not None:
            self._panel.close()
            self._panel = None


def _bundle(result: CompressionResult) -> dict[str, str]:
    if result.status != RUNNING:
        return {"text/html": "", "text/plain": ""}
    return {"text/html": as_html(result), "text/plain": as_text(result)}


class _Lines(Watcher):
    """Prints a line for each new row, for logs and terminals."""

    def __init__(self) -> None:
        self._told = 0

    def show(self, result: CompressionResult) -> None:
        for event in result.record.measured[self._told :]:
            print(say.line(Row.from_dict(event.row)), flush=True)  # noqa: T201 - that is its work
        self._told = len(result.record.measured)
