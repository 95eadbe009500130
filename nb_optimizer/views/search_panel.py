"""The live panel of a search: buttons that ask its supervisor, and a picture once a second."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipywidgets

from nb_optimizer.core.errors import UserError
from nb_optimizer.core.jobs import folder as places
from nb_optimizer.core.record import RUNNING
from nb_optimizer.core.tuning.given import given_values
from nb_optimizer.core.tuning.record import SearchRecord, Trial
from nb_optimizer.views import search_html
from nb_optimizer.views import search_words as sw
from nb_optimizer.views.board import TableBoard, close, row_of
from nb_optimizer.views.pump import Pump

INTERVAL = 1.0  # seconds between two pictures
SHARE = 0.05  # of the time, at most, goes into pictures
BUTTONS_WAIT = "Buttons wait until the cell ends here; use the kernel's own stop button"


class SearchPanel:
    """Shows one search live; somebody else displays ``widget`` and leaves the final picture."""

    def __init__(
        self,
        folder: Path,
        record: SearchRecord,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._folder, self._record, self._clock = folder, record, clock
        self._due = 0.0
        self._closed = False
        self._board = TableBoard(self._choose)
        self._build()
        self._ids = frozenset(w.model_id for w in self._widgets() if w.model_id)
        self._pump = Pump(lambda: self._ids)
        if not self._pump.works:
            self._board.answer(f"{BUTTONS_WAIT} ({self._pump.why_not}).")
        self.push()

    @property
    def ready(self) -> bool:
        """Whether a page draws it."""
        return self._board.ready

    @property
    def buttons_work(self) -> bool:
        """Whether clicks arrive while the cell is running."""
        return self._pump.works

    def pump(self, *, changed: bool) -> None:
        """Let the buttons in; draw what has changed, not too often."""
        if self._closed:
            return
        self._pump.poll()
        if changed and self._clock() >= self._due:
            self.push()

    @property
    def is_due(self) -> bool:
        """Whether it is time for another picture."""
        return self._clock() >= self._due

    def push(self) -> None:
        """Draw everything."""
        began = self._clock()
        self._board.draw(search_html.page(self._record, with_table=False), table(self._record))
        self._pause.description = "Resume" if self._record.paused else "Pause"
        for control in self._controls():
            control.disabled = self._record.status != RUNNING
        self._due = began + max(INTERVAL, (self._clock() - began) / SHARE)

    def close(self) -> None:
        """Close all widgets."""
        self._closed = True
        close(self._widgets())

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
        self._row = row_of(self._controls())
        self.widget = ipywidgets.VBox((self._row, self._board))
        self._stop.on_click(lambda _: self._ask("Stopping; trials save their state.", "stop"))
        self._pause.on_click(lambda _: self._pause_or_resume())
        self._skip.on_click(lambda _: self._skip_trial())
        self._try.on_click(lambda _: self._try_values())

    def _ask(self, answer: str, action: str, **more: Any) -> None:
        places.command(self._folder, action, **more)
        self._board.answer(answer)

    def _choose(self, trial: int) -> None:
        self._number.value = str(trial)
        self._board.mark(trial)

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
            self._board.answer(f"Not done: give the number of a running trial ({told}).")

    def _try_values(self) -> None:
        try:
            (values,) = given_values(self._values.value, self._record.space.ranges)
        except UserError as mistake:
            self._board.answer(f"Not done: {mistake}")
        except ValueError:
            self._board.answer("Not done: give one set of values, as in lr=0.01, units=64.")
        else:
            self._ask("These values come next.", "try", values=values)

    # ---- all widgets

    def _controls(self) -> list[Any]:
        return [self._stop, self._pause, self._number, self._skip, self._values, self._try]

    def _widgets(self) -> list[ipywidgets.Widget]:
        return [self.widget, self._row, self._board, *self._controls()]


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
    return {"cells": [*cells, trial.reason[:120]], "kind": kind, "key": trial.number}


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return sw.value(value)
    return float(f"{value:.5g}") if isinstance(value, float) else value
