"""Shows a search while it goes on, and leaves a static picture behind."""

from __future__ import annotations

import time
from typing import Any, Protocol

from nb_optimizer.core.errors import UserError
from nb_optimizer.core.events import Event, from_line
from nb_optimizer.core.jobs import folder as places
from nb_optimizer.core.record import RUNNING
from nb_optimizer.core.store import INTERRUPTED
from nb_optimizer.core.training.interrupt import graceful_interrupt
from nb_optimizer.core.tuning import events as te
from nb_optimizer.core.tuning.conduct import Job
from nb_optimizer.core.tuning.record import SearchRecord
from nb_optimizer.core.tuning.result import SearchResult
from nb_optimizer.views import frontend, search_html, search_text
from nb_optimizer.views.stage import Output, Stage

_TICK = 0.05  # seconds between two looks at the journal


class Search(SearchResult):
    """A search: its record with a picture."""

    is_shown = False  # its picture stands in the cell's output already

    def __repr__(self) -> str:
        """Return the search as text."""
        return search_text.summary(self.record)

    def _repr_html_(self) -> str:
        return search_html.page(self.record)

    def _ipython_display_(self) -> None:
        """Show the search, but not a second time under the cell that has just shown it."""
        if self.is_shown:
            self.is_shown = False
            return
        from IPython.display import display  # noqa: PLC0415 - IPython asks, so it is there

        display(static_bundle(self.record), raw=True)  # type: ignore[no-untyped-call]


class SearchView(Protocol):
    """Shows one search."""

    def show(self, event: Event, record: SearchRecord) -> None:
        """Take note of an event that has just been folded into ``record``."""

    def pump(self) -> None:
        """Let clicks in, and draw what has to be drawn."""

    def close(self, record: SearchRecord) -> None:
        """Leave the final, static picture behind."""


class Nothing:
    """Shows nothing."""

    def show(self, event: Event, record: SearchRecord) -> None:
        """Do nothing."""

    def pump(self) -> None:
        """Do nothing."""

    def close(self, record: SearchRecord) -> None:
        """Do nothing."""


class NotebookView:
    """One output of the cell: the live panel or live HTML, at the end the static picture."""

    def __init__(self, job: Job, record: SearchRecord, *, with_panel: bool) -> None:
        self._record, self._stage = record, Stage(static_bundle)
        self._changed = False
        self._panel: Any = None
        self._job, self._with_panel = job, with_panel

    def show(self, event: Event, record: SearchRecord) -> None:  # noqa: ARG002 - a view
        """Draw at the next pump."""
        self._changed = True

    def pump(self) -> None:
        """Let clicks in, and draw what has changed, not too often."""
        if not self._record.begin.run:
            return
        if not self._stage.is_open:
            self._open()
            return
        drawn = False
        if self._panel is not None:
            drawn = self._panel.is_due
            self._panel.pump(changed=self._changed)
            self._stage.look(self._record)
        if self._changed:
            drawn = self._stage.refresh(self._record) or drawn
        self._changed = self._changed and not drawn

    def close(self, record: SearchRecord) -> None:
        """Leave the static picture."""
        self._stage.close(record)
        if self._panel is not None:
            self._panel.close()

    def _open(self) -> None:
        if self._with_panel:
            from nb_optimizer.views.search_panel import SearchPanel  # noqa: PLC0415 - loads widgets

            self._panel = SearchPanel(self._job.folder, self._record)
        self._stage.open(self._record.begin.run, self._record, self._panel)


class LinesInNotebook:
    """Text lines while it goes on; the static picture at the end."""

    def __init__(self) -> None:
        self._lines = search_text.SearchLines()

    def show(self, event: Event, record: SearchRecord) -> None:
        """Print the event's line."""
        self._lines.show(event, record)

    def pump(self) -> None:
        """Do nothing: nobody can click."""

    def close(self, record: SearchRecord) -> None:
        """Show the static picture."""
        Output().put(static_bundle(record), record.begin.run)


def static_bundle(record: SearchRecord) -> dict[str, str]:
    """Return a search as a script-free bundle for any front end."""
    return {"text/html": search_html.page(record), "text/plain": search_text.summary(record)}


def view_for(job: Job, record: SearchRecord, live: str) -> SearchView:
    """Return the view for the option ``--live``."""
    mode = frontend.mode(live)
    if mode == "off":
        return Nothing()
    if mode == "text":
        return LinesInNotebook() if frontend.in_kernel() else search_text.SearchLines()
    return NotebookView(job, record, with_panel=mode == "widget")


def detached(job: Job) -> Search:
    """Return a search that goes on by itself, once it has written its first line."""
    for _ in _looks(job, record := SearchRecord()):
        if record.begin.run:
            break
    print(f"{job.folder.name} is searching. Watch it: %runs attach {job.folder.name}")  # noqa: T201 - talks to the user
    return Search(job.folder, record)


def follow(job: Job, live: str, *, owned: bool = True) -> Search:
    """Show a search until it is over. An interrupt ends it gracefully, a second one only the view.

    With ``owned`` off an interrupt ends the view alone; the search goes on.

    Raises:
        UserError: the supervisor could not even begin.
    """
    record = SearchRecord()
    view = view_for(job, record, live)

    def ask_to_stop() -> None:
        places.command(job.folder, "stop", reason="the kernel was interrupted")

    try:
        if owned:
            with graceful_interrupt(ask_to_stop):
                _watch(job, record, view)
        else:
            _watch(job, record, view)
    except KeyboardInterrupt:
        view.close(record)
        if owned:
            raise
        return Search(job.folder, record)
    view.close(record)
    found = Search(job.folder, record)
    found.is_shown = frontend.mode(live) != "off"
    return found


def _watch(job: Job, record: SearchRecord, view: SearchView) -> None:
    for event in _looks(job, record):
        if event is not None:
            view.show(event, record)
        view.pump()


def _looks(job: Job, record: SearchRecord) -> Any:
    """Yield each event after it was folded in, and ``None`` now and then, until the end."""
    tail, lived, life_due = places.Tail(job.folder / te.FILE), True, 0.0
    while True:
        for line in tail.lines():
            try:
                event = from_line(line.decode(), te.EVENTS)
            except ValueError:
                record.damaged_lines += 1
                continue
            if record.takes(event):
                record.apply(event)
                yield event
        yield None
        if record.status != RUNNING and not job.is_resuming(record):
            return
        if not lived:
            _died(job, record)
            return
        if time.monotonic() >= life_due:
            life_due = time.monotonic() + 1.0
            lived = job.lives(record)  # one more look at the journal if it does not
        time.sleep(_TICK)


def _died(job: Job, record: SearchRecord) -> None:
    words = job.last_words()
    if not record.begin.run:
        log = job.folder / "supervisor.log"
        message = f"The search could not begin: {words or f'see {log}'}"
        raise UserError(message)
    record.status = "failed" if words else INTERRUPTED
    record.reason = words or "its supervisor ended without closing the search"
