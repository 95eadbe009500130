"""The live panel: one anywidget draws charts and numbers, core widgets are the controls.

Handlers of the controls may run in any thread; they only ask ``Control`` and leave a sentence.
All traits are written by the thread that trains, except the text that a person types.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import traitlets

from nb_optimizer.core import events as ev
from nb_optimizer.core.record import RUNNING, RunRecord
from nb_optimizer.core.training.control import Control
from nb_optimizer.views import words
from nb_optimizer.views.board import close, joined, row_of
from nb_optimizer.views.panel_state import Picture
from nb_optimizer.views.pump import Pump

INTERVAL = 0.4  # seconds between two pushes
SHARE = 0.002  # of the time, at most, goes into pushes
ENTER = 1.0  # seconds between the Enter key and the text that was typed
MORE_EPOCHS = 5
BUTTONS_WAIT = "Buttons wait until the cell ends here; use the kernel's own stop button"
SCRIPTS = ("dom.js", "panel_chart.js", "panel.js")
_HERE = Path(__file__).parent
_TOLD = (ev.Intervention, ev.NonFinite, ev.Note, ev.Accelerated, ev.Distributed, ev.Scaling)
_AT_ONCE = (ev.RunBegin, ev.Resumed, ev.RunEnd, *_TOLD)
_ANSWERS = {
    "stop": "Stopping after this batch.",
    "pause": "Pausing after this batch.",
    "resume": "Going on.",
    "learning_rate": "The new learning rate applies from the next batch.",
    "more_epochs": f"{MORE_EPOCHS} more epochs from the next batch on.",
    "back_to_best": "The best weights return at the next batch.",
}


class Board(anywidget.AnyWidget):  # type: ignore[misc]
    """Charts and numbers; ``panel.js`` draws them from these traits alone."""

    _esm = joined(*SCRIPTS)
    _css = _HERE / "panel.css"
    _series = traitlets.Bytes().tag(sync=True)  # curves by epoch
    _batch = traitlets.Bytes().tag(sync=True)  # batch losses of this epoch
    _meta = traitlets.Dict().tag(sync=True)  # names, marks, notes
    _now = traitlets.Dict().tag(sync=True)  # where the run is and how fast
    _status = traitlets.Dict().tag(sync=True)  # what the JupyterLab extension reads


class PanelView:
    """Shows one run live; somebody else displays ``widget`` and leaves the final picture."""

    def __init__(
        self,
        record: RunRecord,
        control: Control,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.ready = False
        self._picture = Picture(record)
        self._control = control
        self._clock = clock
        self._due = 0.0
        self._waiting = False  # something is not shown yet
        self._asked = threading.Event()  # a handler has left an answer
        self._enter = -math.inf  # when the Enter key was last pressed
        self._say = ""  # about the last epoch
        self._answer = ""  # to whoever pressed a button
        self._closed = False
        self._board = Board()
        self._build_controls()
        self._ids = frozenset(w.model_id for w in self._widgets() if w.model_id)
        self._pump = Pump(lambda: self._ids)
        self._push()

    @property
    def buttons_work(self) -> bool:
        """Whether clicks arrive while the cell is running."""
        return self._pump.works

    # ---- what the run calls

    def show(self, event: ev.Event, record: RunRecord) -> None:
        """Take note of an event; push it to the front end if it is time."""
        if record is not self._picture.record:
            self._picture = Picture(record)
        else:
            self._picture.curves.fold(event)
        if isinstance(event, ev.EpochEnd):
            self._say = self._picture.summary(event)
        elif isinstance(event, ev.Intervention):
            self._answer = f"Done: {words.intervention(event)}."
        elif isinstance(event, ev.RunEnd):
            self._answer = ""
        self._waiting = True
        self._push_if(at_once=isinstance(event, _AT_ONCE))

    def pump(self) -> None:
        """Let the buttons in, and show what had to wait."""
        if self._closed:
            return
        self._pump.poll()
        self._push_if(at_once=self._asked.is_set())

    def close(self, record: RunRecord) -> None:
        """Close all widgets; the final picture is the caller's."""
        if self._closed:
            return
        self._push()
        self._closed = True
        close(self._widgets())
        self._picture.record = record

    # ---- pushing

    def _push_if(self, *, at_once: bool) -> None:
        if not self._closed and (at_once or (self._waiting and self._clock() >= self._due)):
            self._push()

    def _push(self) -> None:
        began = self._clock()
        self._asked.clear()
        self._waiting = False
        self._write(self._picture)
        ended = self._clock()
        self._due = began + max(INTERVAL, (ended - began) / SHARE)

    def _write(self, picture: Picture) -> None:
        control, board = self._control, self._board
        state = picture.state(pausing=control.pause.is_set(), stopping=control.stop.is_set())
        hint = "" if self._pump.works else f"{BUTTONS_WAIT} ({self._pump.why_not})."
        with board.hold_sync():
            board._series = picture.curves.drawn()[0]
            board._batch = picture.curves.batches()
            board._meta = picture.meta(hint)
            board._now = picture.now(state, self._say, self._answer)
            board._status = picture.status(state)
        self._set_controls(state)

    # ---- controls

    def _build_controls(self) -> None:
        button = ipywidgets.Button
        self._stop = button(description="Stop", tooltip="Stop after this batch; nothing is lost")
        self._pause = button(description="Pause", tooltip="Wait at the next batch, or go on")
        self._more = button(
            description=f"+{MORE_EPOCHS} epochs", tooltip="Train longer than planned"
        )
        self._best = button(
            description="Back to best", tooltip="Return to the weights of the best epoch so far"
        )
        self._rate = ipywidgets.Text(
            description="New learning rate",
            placeholder="e.g. 0.0003",
            continuous_update=False,
            style={"description_width": "initial"},
            layout=ipywidgets.Layout(width="230px"),
        )
        self._set_rate = button(
            description="Set learning rate", tooltip="Use it from the next batch on"
        )
        self._row = row_of(self._controls())
        self._row.add_class("nbopt-controls")
        self.widget = ipywidgets.VBox((self._row, self._board))
        self.widget.add_class("nbopt-root")
        self._connect()

    def _connect(self) -> None:
        self._stop.on_click(lambda _: self._ask("stop"))
        self._pause.on_click(lambda _: self._ask(self._pause_or_resume()))
        self._more.on_click(lambda _: self._ask("more_epochs", MORE_EPOCHS))
        self._best.on_click(lambda _: self._ask("back_to_best"))
        self._set_rate.on_click(lambda _: self._ask("learning_rate", self._rate.value.strip()))
        self._rate.on_msg(self._entered)
        self._rate.observe(self._typed, "value")
        self._board.on_msg(self._rendered)

    def _ask(self, action: str, value: Any = None) -> None:
        refusal = self._control.request(action, value)
        self._answer = f"Not done: {refusal}." if refusal else _ANSWERS[action]
        self._asked.set()

    def _pause_or_resume(self) -> str:
        return "resume" if self._control.pause.is_set() else "pause"

    def _entered(self, _widget: Any, content: Any, _buffers: Any) -> None:
        # The page tells of the Enter key first and then what was typed.
        if isinstance(content, dict) and content.get("event") == "submit":
            self._enter = self._clock()

    def _typed(self, _change: Any) -> None:
        if self._clock() - self._enter < ENTER:
            self._enter = -math.inf
            self._ask("learning_rate", self._rate.value.strip())

    def _rendered(self, _widget: Any, content: Any, _buffers: Any) -> None:
        if isinstance(content, dict) and content.get("type") == "ready":
            self.ready = True

    def _set_controls(self, state: str) -> None:
        over = state not in (RUNNING, "paused")
        for control in self._controls():
            control.disabled = over
        self._stop.description = "Stopping\u2026" if state == "stopping" else "Stop"
        self._pause.description = "Resume" if state == "paused" else "Pause"

    # ---- all widgets

    def _controls(self) -> list[Any]:
        return [self._stop, self._pause, self._more, self._best, self._rate, self._set_rate]

    def _widgets(self) -> list[ipywidgets.Widget]:
        return [self.widget, self._row, self._board, *self._controls()]
