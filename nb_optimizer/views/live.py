"""Shows a run while it trains, and leaves a static picture behind.

One display handle per run: first the live panel, live HTML, or nothing; at the end the static
bundle of ``text/html`` and ``text/plain``. Nothing else of the cell's output is touched.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
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

_REFRESH = 1.0  # seconds between two live HTML pictures
_PATIENCE = 10.0  # seconds that a front end has to draw the panel
_PUMPS = 20  # and times that its messages were looked for meanwhile


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


class Output:
    """One output of a cell, replaced in place."""

    def __init__(self) -> None:
        self._handle: Any = None

    def put(self, bundle: dict[str, Any], run: str) -> None:
        """Show the bundle, replacing what this output showed before."""
        from IPython.display import display  # noqa: PLC0415 - not in plain Python

        # The mark lets the JupyterLab extension find this output after a page reload.
        mark = {"nb_optimizer": {"run": run}}
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True, metadata=mark)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(bundle, raw=True, metadata=mark)


def static_bundle(record: RunRecord) -> dict[str, str]:
    """Return a run as a script-free bundle for any front end."""
    return {"text/html": html.page(record), "text/plain": text.summary(record)}


class Audience:
    """Knows whether a front end draws the panel: one that does says so, however late."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock, self._since, self._looks = clock, clock(), 0

    def misses(self, panel: Any) -> bool:
        """Whether nobody has drawn the panel in time; asked after each look for messages."""
        self._looks += 1
        waited = self._clock() - self._since
        late = waited > _PATIENCE and self._looks > _PUMPS
        return bool(panel.buttons_work and not panel.ready and late)


def with_widget(bundle: Mapping[str, Any], panel: Any) -> dict[str, Any]:
    """Return a static bundle with the panel in it, for who can draw one."""
    view = {"version_major": 2, "version_minor": 0, "model_id": panel.widget.model_id}
    return {**bundle, "application/vnd.jupyter.widget-view+json": view}


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
        self._clock = clock
        self._output = Output()
        self._with_panel = with_panel
        self._panel: Any = None
        self._audience: Audience | None = None
        self._as_html = not with_panel
        self._due = 0.0

    def show(self, event: ev.Event, record: RunRecord) -> None:
        """Draw what has changed, not too often."""
        if isinstance(event, ev.RunBegin | ev.Resumed) or self._audience is None:
            self._open(record)
            return
        if self._panel is not None:
            self._panel.show(event, record)
        if self._as_html and self._clock() >= self._due:
            self._due = self._clock() + _REFRESH
            self._output.put(static_bundle(record), record.begin.run)

    def pump(self) -> None:
        """Let clicks in; show HTML for as long as no front end draws the panel."""
        if self._panel is None or self._audience is None:
            return
        self._panel.pump()
        missed, was_missed = self._audience.misses(self._panel), self._as_html
        self._as_html = missed
        if was_missed and not missed:
            self._output.put(
                with_widget(static_bundle(self._record), self._panel), self._record.begin.run
            )

    def close(self, record: RunRecord) -> None:
        """Replace the output by the static picture."""
        self._output.put(static_bundle(record), record.begin.run)
        if self._panel is not None:
            self._panel.close(record)

    def _open(self, record: RunRecord) -> None:
        self._audience = self._audience or Audience(self._clock)
        if self._with_panel and self._panel is None:
            from nb_optimizer.views.panel import PanelView  # noqa: PLC0415 - loads ipywidgets

            self._panel = PanelView(record, self._control)
        shown: dict[str, Any] = dict(static_bundle(record))
        if not self._as_html:
            shown = with_widget(shown, self._panel)
        self._output.put(shown, record.begin.run)


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
            time.sleep(_REFRESH)
    except KeyboardInterrupt:
        pass  # stops looking; the run goes on
    run = Run.open(path)
    view.close(run.record)
    return run
