"""Shows a run while it trains, and leaves a static picture behind."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nb_optimizer.core import events as ev
from nb_optimizer.core import journal
from nb_optimizer.core.record import RUNNING, RunRecord
from nb_optimizer.core.store import read_record
from nb_optimizer.core.training.control import Control
from nb_optimizer.core.watching import Silent, View, ViewFactory
from nb_optimizer.views import frontend, html, text
from nb_optimizer.views.result import Run
from nb_optimizer.views.stage import Output, Stage

_TICK = 1.0  # seconds between two looks at a run of another process


def view_for(live: str) -> ViewFactory:
    """Return what makes the view for the option ``--live``, decided at each run."""

    def make(record: RunRecord, control: Control) -> View:
        mode = frontend.mode(live)
        if mode == "off":
            return Silent()
        if mode == "text":
            lines = text.TextView(record, control)
            return LinesInNotebook(lines) if frontend.in_kernel() else lines
        return NotebookView(record, control, with_panel=mode == "widget")

    return make


def static_bundle(record: RunRecord) -> dict[str, str]:
    """Return a run as a script-free bundle for any front end."""
    return {"text/html": html.page(record), "text/plain": text.summary(record)}


class NotebookView:
    """The live panel where the front end draws it, else live HTML; static at the end."""

    def __init__(
        self,
        record: RunRecord,
        control: Control,
        *,
        with_panel: bool,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._record, self._control = record, control
        self._stage = Stage(static_bundle, clock)
        self._with_panel = with_panel
        self._panel: Any = None

    def show(self, event: ev.Event, record: RunRecord) -> None:
        """Draw what has changed, not too often."""
        if isinstance(event, ev.RunBegin | ev.Resumed) or not self._stage.is_open:
            self._open(record)
            return
        if self._panel is not None:
            self._panel.show(event, record)
        self._stage.refresh(record)

    def pump(self) -> None:
        """Let clicks in; show HTML for as long as no front end draws the panel."""
        if self._panel is not None:
            self._panel.pump()
            self._stage.look(self._record)

    def close(self, record: RunRecord) -> None:
        """Replace the output by the static picture."""
        self._stage.close(record)
        if self._panel is not None:
            self._panel.close(record)

    def _open(self, record: RunRecord) -> None:
        if self._with_panel and self._panel is None:
            from nb_optimizer.views.panel import PanelView  # noqa: PLC0415 - loads ipywidgets

            self._panel = PanelView(record, self._control)
        self._stage.open(record.begin.run, record, self._panel)


class LinesInNotebook:
    """Text lines while it trains, for logs; the static picture at the end, for the notebook."""

    def __init__(self, lines: text.TextView) -> None:
        self._lines = lines

    def show(self, event: ev.Event, record: RunRecord) -> None:
        """Print the event's line."""
        self._lines.show(event, record)

    def pump(self) -> None:
        """Do nothing: nobody can click."""

    def close(self, record: RunRecord) -> None:
        """Show the static picture."""
        Output().put(static_bundle(record), record.begin.run)


def follow(path: Path) -> Run:
    """Show a run of another process as it goes on, until it ends or the cell is interrupted."""
    view = view_for("html" if frontend.in_kernel() else "text")(read_record(path), Control())
    seen, record = 0, RunRecord()
    try:
        while True:
            events, _ = journal.read(path / journal.FILE)
            for event in events[seen:]:
                record.apply(event)
                view.show(event, record)
            seen = len(events)
            if read_record(path).status != RUNNING:
                break
            time.sleep(_TICK)
    except KeyboardInterrupt:
        pass  # stops looking; the run goes on
    run = Run.open(path)
    view.close(run.record)
    return run
