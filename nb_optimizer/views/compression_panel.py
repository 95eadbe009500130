"""The panel of a compression: a click on a dot or a row chooses a file to export or to load."""

from __future__ import annotations

import keyword
import math
import time
from collections.abc import Callable
from typing import Any

import ipywidgets

from nb_optimizer.core.compression.result import CandidateResult, CompressionResult
from nb_optimizer.core.compression.row import FAILED, Row
from nb_optimizer.core.compression.watcher import StoppedError
from nb_optimizer.core.errors import UserError
from nb_optimizer.core.record import RUNNING
from nb_optimizer.views import compression_words as say
from nb_optimizer.views import frontend, words
from nb_optimizer.views.board import TableBoard, close, row_of
from nb_optimizer.views.compression import as_html, as_text
from nb_optimizer.views.pump import Pump

_INTERVAL = 0.1  # seconds between two looks for clicks
_CHOOSE = "Click on a dot or a row to choose a file."
_WAIT = "Buttons wait until the cell ends here; use the kernel's own stop button"


class CompressionPanel:
    """Shows one compression; somebody else displays ``widget``.

    While the compression is ``live``, :meth:`pulse` lets the clicks in; those on a finished one
    come when the kernel is free, as those on any widget.
    """

    def __init__(
        self,
        result: CompressionResult,
        *,
        live: bool,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._result, self._clock = result, clock
        self._due = 0.0
        self._chosen: int | None = None
        self._loaded: set[str] = set()  # names that this panel has given
        self._wants_end = False
        self._doing, self._since = "", clock()
        self._board = TableBoard(self._choose)
        self._build()
        self._ids = frozenset(w.model_id for w in self._widgets() if w.model_id)
        self._pump = Pump(lambda: self._ids) if live else None
        self._board.answer(_CHOOSE)
        if self._pump is not None and not self._pump.works:
            self._board.answer(f"{_WAIT} ({self._pump.why_not}).")
        self.show()

    @property
    def ready(self) -> bool:
        """Whether a page draws it."""
        return self._board.ready

    @property
    def buttons_work(self) -> bool:
        """Whether clicks arrive while the cell is running."""
        return self._pump is None or self._pump.works

    def show(self) -> None:
        """Draw everything anew."""
        rows = self._result.rows
        self._board.draw(as_html(self._result, in_panel=True), table(self._result))
        running = self._result.status == RUNNING
        self._stop.layout.display = None if running else "none"
        self._load.disabled = self._name.disabled = running
        if not running:
            self._board.tell("")
        self._export.disabled = self._path.disabled = len(rows) < 2  # noqa: PLR2004 - float and one
        if self._chosen is None and not running:
            self._mark(self._result.record.picks.get("best"))

    def begin(self, name: str) -> None:
        """Show what is being made from now on."""
        self._doing, self._since = name, self._clock()

    def pulse(self) -> None:
        """Let clicks in, not too often.

        Raises:
            StoppedError: somebody has pressed Stop.
        """
        if self._pump is None or self._clock() < self._due:
            return
        self._pump.poll()
        self._due = self._clock() + _INTERVAL
        if self._doing:
            taken = words.duration(int(self._clock() - self._since))
            self._board.tell(f"now: {words.one_line(self._doing, 80)}, {taken}")
        if self._wants_end:
            self._wants_end = False
            raise StoppedError

    def close(self) -> None:
        """Close all widgets."""
        close(self._widgets())

    # ---- controls

    def _build(self) -> None:
        button, text = ipywidgets.Button, ipywidgets.Text
        self._stop = button(description="Stop", tooltip="End here; what was made is kept")
        self._path = text(
            placeholder="file or folder", layout=ipywidgets.Layout(width="200px"),
            tooltip="Where the chosen file goes; this notebook's folder if nothing is said",
        )  # fmt: skip
        self._export = button(description="Export file", tooltip="Copy the chosen LiteRT file")
        self._name = text(
            value="small_model", layout=ipywidgets.Layout(width="150px"),
            tooltip="Name of a variable for the Keras model",
        )  # fmt: skip
        self._load = button(
            description="Load model",
            tooltip="Put the chosen model's Keras form into a variable, once the search has ended",
        )
        self._row = row_of(self._controls())
        self.widget = _Panel((self._row, self._board), self._result)
        self._stop.on_click(lambda _: self._end())
        self._export.on_click(lambda _: self._act(self._exported))
        self._load.on_click(lambda _: self._act(self._into_variable))

    def _end(self) -> None:
        self._wants_end = True
        self._board.answer("Stopping; what was made is kept.")

    def _choose(self, number: int) -> None:
        row = next((r for r in self._result.rows if r.number == number), None)
        if row is None:
            return
        self._mark(number)
        self._board.answer(f"Chosen: {_described(row, self._result)}")

    def _mark(self, number: int | None) -> None:
        self._chosen = number
        self._board.mark(number)

    def _act(self, deed: Callable[[CandidateResult], str]) -> None:
        row = next((r for r in self._result.rows if r.number == self._chosen), None)
        if row is None:
            self._board.answer(f"Nothing is chosen. {_CHOOSE}")
            return
        try:
            self._board.answer(deed(CandidateResult(self._result.path, row)))
        except (UserError, OSError, ValueError) as mistake:
            self._board.answer(f"Not done: {mistake}")

    def _exported(self, candidate: CandidateResult) -> str:
        written = candidate.export(self._path.value.strip() or ".", overwrite=False)
        return f"Written: {written.resolve()} ({say.size(written.stat().st_size)})"

    def _into_variable(self, candidate: CandidateResult) -> str:
        name, names = self._name.value.strip(), frontend.variables()
        if not name.isidentifier() or keyword.iskeyword(name):
            message = f"a name of a variable is needed, got {name!r}."
            raise UserError(message)
        if name in names and name not in self._loaded:
            message = f"{name} holds something of yours; give another name."
            raise UserError(message)
        names[name] = candidate.load()
        self._loaded.add(name)
        return f"{name} is the Keras model of {candidate.name}."

    # ---- all widgets

    def _controls(self) -> list[Any]:
        return [self._stop, self._path, self._export, self._name, self._load]

    def _widgets(self) -> list[ipywidgets.Widget]:
        return [self.widget, self._row, self._board, *self._controls()]


class _Panel(ipywidgets.VBox):  # type: ignore[misc]
    """The whole; where no page draws widgets, the picture of the compression takes its place."""

    def __init__(self, children: Any, result: CompressionResult) -> None:
        super().__init__(children)
        self._result = result

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        static = {"text/html": as_html(self._result), "text/plain": as_text(self._result)}
        return {**super()._repr_mimebundle_(**kwargs), **static}


def open_panel(result: CompressionResult) -> ipywidgets.Widget:
    """Return the panel of a compression that is over, as a cell shows it."""
    return CompressionPanel(result, live=False).widget


def table(result: CompressionResult) -> dict[str, Any]:
    """Return all rows as a table for the page: numbers stay numbers, so that they sort."""
    fast = all(r.latency_ms < 1 for r in result.rows)
    time, scale = ("latency, µs", 1e3) if fast else ("latency, ms", 1.0)
    unit = say.unit(say.is_relative(result))
    head = ["model", "file, KB", "gzip, KB", say.metric(result), f"loss, {unit}", time]
    rows = [_row(r, result, scale) for r in result.rows]
    return {"head": [*head, "", "why not"], "rows": rows}


def _row(row: Row, result: CompressionResult, scale: float) -> dict[str, Any]:
    measured = row.status != FAILED
    sizes = row.bytes / 1e3, row.gzip_bytes / 1e3
    figures = (*sizes, row.score, 100 * row.drop, scale * row.latency_ms)
    cells = [row.name[:80], *(_rounded(f) if measured else None for f in figures)]
    cells += [say.verdict(row, result), row.reason[:160]]
    best = result.record.picks.get("best") == row.number
    return {"cells": cells, "kind": "best" if best else row.status, "key": row.number}


def _rounded(value: float) -> float | None:
    return float(f"{value:.3g}") if math.isfinite(value) else None  # JSON has no infinity


def _described(row: Row, result: CompressionResult) -> str:
    if row.status == FAILED:
        return f"{row.name}, which has no file that runs ({row.reason})"
    loss = say.loss(row.drop, say.is_relative(result))
    return f"{row.name}, {say.size(row.bytes)}, loss {loss}, {say.latency(row.latency_ms)}"
