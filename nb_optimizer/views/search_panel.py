"""The live panel of a search: buttons that ask its supervisor, and a picture once a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import traitlets

from nb_optimizer.core.errors import UserError
from nb_optimizer.core.jobs import folder as places
from nb_optimizer.core.record import RUNNING
from nb_optimizer.core.tuning.given import given_values
from nb_optimizer.core.tuning.record import SearchRecord, Trial
from nb_optimizer.views import search_html
from nb_optimizer.views import search_words as sw
from nb_optimizer.views.pump import Pump

INTERVAL = 1.0  # seconds between two pictures
SHARE = 0.05  # of the time, at most, goes into pictures
BUTTONS_WAIT = "Buttons wait until the cell ends here; use the kernel's own stop button"
_HERE = Path(__file__).parent


class SearchBoard(anywidget.AnyWidget):  # type: ignore[misc]
    """The picture and the sortable table; ``search_panel.js`` draws them from these traits."""

    _esm = _HERE / "search_panel.js"
    _css = _HERE / "search_panel.css"
    _html = traitlets.Unicode().tag(sync=True)
    _table = traitlets.Dict().tag(sync=True)
    _answer = traitlets.Unicode().tag(sync=True)


class SearchPanel:
    """Shows one search live; somebody else displays ``widget`` and leaves the final picture."""

    def __init__(
        self,
        folder: Path,
        record: SearchRecord,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.ready = False
        self._folder, self._record, self._clock = folder, record, clock
        self._due = 0.0
        self._answer = ""
        self._closed = False
        self._board = SearchBoard()
        self._build()
        self._ids = frozenset(w.model_id for w in self._widgets() if w.model_id)
        self._pump = Pump(lambda: self._ids)
        if not self._pump.works:
            self._answer = f"{BUTTONS_WAIT} ({self._pump.why_not})."
        self.push()

    @property
    def buttons_work(self) -> bool:
        """Whether clicks arrive while the cell is running."""
        return self._pump.works

    def pump(self, *, changed: bool) -> None:
        """Let the buttons in; draw what has changed, not too often."""
        if self._closed:
            return
        self._pump.poll()
        if self._board._answer != self._answer or (changed and self._clock() >= self._due):
            self.push()

    @property
    def is_due(self) -> bool:
        """Whether it is time for another picture."""
        return self._clock() >= self._due

    def push(self) -> None:
        """Draw everything."""
        began = self._clock()
        with self._board.hold_sync():
            self._board._html = search_html.page(self._record, with_table=False)
            self._board._table = table(self._record)
            self._board._answer = self._answer
        self._pause.description = "Resume" if self._record.paused else "Pause"
        for control in self._controls():
            control.disabled = self._record.status != RUNNING
        self._due = began + max(INTERVAL, (self._clock() - began) / SHARE)

    def close(self) -> None:
        """Close all widgets."""
        self._closed = True
        for widget in (*self._widgets(), *self._looks()):
            widget.close()

    # ---- controls

    def _build(self) -> None:
        button = ipywidgets.Button
        self._stop = button(description="Stop", tooltip="End the search; the best trial is kept")
        self._pause = button(description="Pause", tooltip="Save what runs and wait, or go on")
        self._number = ipywidgets.Text(
            placeholder="trial", layout=ipywidgets.Layout(width="70px"), tooltip="Number of a trial"
        )
        self._skip = button(description="Skip trial", tooltip="End this trial; it is not revived")
        self._values = ipywidgets.Text(
            placeholder="lr=0.01, units=64", layout=ipywidgets.Layout(width="220px"),
            tooltip="Values to try; what is left out is drawn",
        )  # fmt: skip
        self._try = button(description="Try values", tooltip="Make them the next trial")
        row = ipywidgets.Layout(flex_flow="row wrap", align_items="center")
        self._row = ipywidgets.Box(tuple(self._controls()), layout=row)
        self.widget = ipywidgets.VBox((self._row, self._board))
        self._stop.on_click(lambda _: self._ask("Stopping; trials save their state.", "stop"))
        self._pause.on_click(lambda _: self._pause_or_resume())
        self._skip.on_click(lambda _: self._skip_trial())
        self._try.on_click(lambda _: self._try_values())
        self._board.on_msg(self._rendered)

    def _ask(self, answer: str, action: str, **more: Any) -> None:
        places.command(self._folder, action, **more)
        self._answer = answer

    def _pause_or_resume(self) -> None:
        if self._record.paused:
            self._ask("Going on.", "resume")
        else:
            self._ask("Pausing; trials save their state.", "pause")

    def _skip_trial(self) -> None:
        word = self._number.value.strip()
        running = [t.number for t in self._record.of_status(RUNNING)]
        if word.isdigit() and int(word) in running:
            self._ask(f"Trial {word} ends after this batch.", "skip", trial=int(word))
        else:
            told = ", ".join(map(str, running)) or "none"
            self._answer = f"Not done: give the number of a running trial ({told})."

    def _try_values(self) -> None:
        try:
            (values,) = given_values(self._values.value, self._record.space.ranges)
        except UserError as mistake:
            self._answer = f"Not done: {mistake}"
        except ValueError:
            self._answer = "Not done: give one set of values, as in lr=0.01, units=64."
        else:
            self._ask("These values come next.", "try", values=values)

    def _rendered(self, _widget: Any, content: Any, _buffers: Any) -> None:
        if isinstance(content, dict) and content.get("type") == "ready":
            self.ready = True

    # ---- all widgets

    def _controls(self) -> list[Any]:
        return [self._stop, self._pause, self._number, self._skip, self._values, self._try]

    def _widgets(self) -> list[ipywidgets.Widget]:
        return [self.widget, self._row, self._board, *self._controls()]

    def _looks(self) -> Iterator[ipywidgets.Widget]:
        for widget in self._widgets():
            for name in ("layout", "style"):
                if isinstance(getattr(widget, name, None), ipywidgets.Widget):
                    yield getattr(widget, name)


def table(record: SearchRecord) -> dict[str, Any]:
    """Return all trials as a table for the page: numbers stay numbers, so that they sort."""
    names = list(dict.fromkeys(r.name for r in record.space.ranges))
    head = ["trial", record.on or "score", "epochs", "status", *names, "why it ended"]
    return {"head": head, "rows": [_row(record, t, names) for t in reversed(record.trials)]}


def _row(record: SearchRecord, trial: Trial, names: list[str]) -> dict[str, Any]:
    score = None if trial.score is None else float(f"{trial.score:.5g}")
    cells = [trial.number, score, sw.epochs(trial), sw.trial_word(trial)]
    cells += [_cell(trial.values.get(n)) for n in names]
    kind = "best" if trial is record.best else trial.status
    return {"cells": [*cells, trial.reason[:120]], "kind": kind}


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return sw.value(value)
    return float(f"{value:.5g}") if isinstance(value, float) else value
