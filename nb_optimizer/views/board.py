"""What the panels of searches and compressions show: a picture, a sortable table, an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import traitlets

_HERE = Path(__file__).parent


def joined(*names: str) -> str:
    """Return these scripts as one: a widget's script cannot import a neighbour."""
    return "\n".join((_HERE / name).read_text("utf-8") for name in names)


class TableBoard(anywidget.AnyWidget):  # type: ignore[misc]
    """Drawn by ``board.js`` from these traits.

    ``_html`` must be escaped already. ``_table`` has a ``head`` and ``rows``, each with ``cells``,
    a ``kind`` and a ``key`` where it can be chosen, by a click on it or on what carries the same
    ``data-row`` in the picture. ``_chosen`` is the key that is marked, ``_answer`` what the last
    click has done, ``_now`` what goes on meanwhile.
    """

    _esm = joined("dom.js", "board.js")
    _css = _HERE / "board.css"
    _html = traitlets.Unicode().tag(sync=True)
    _table = traitlets.Dict().tag(sync=True)
    _answer = traitlets.Unicode().tag(sync=True)
    _now = traitlets.Unicode().tag(sync=True)
    _chosen = traitlets.Int(None, allow_none=True).tag(sync=True)

    def __init__(self, choose: Callable[[int], None]) -> None:
        super().__init__()
        self.ready = False
        self._choose = choose
        self.on_msg(self._said)

    @property
    def said(self) -> str:
        """The answer to the last click."""
        return str(self._answer)

    def draw(self, html: str, table: dict[str, Any]) -> None:
        """Show another picture and table."""
        with self.hold_sync():
            self._html, self._table = html, table

    def answer(self, text: str) -> None:
        """Show what a click has done."""
        self._answer = text

    def tell(self, now: str) -> None:
        """Show what goes on."""
        self._now = now

    def mark(self, key: int | None) -> None:
        """Mark the row of this key, and what carries it in the picture."""
        self._chosen = key

    def _said(self, _widget: Any, content: Any, _buffers: Any) -> None:
        kind = content.get("type") if isinstance(content, dict) else None
        if kind == "ready":
            self.ready = True
        elif kind == "choose" and isinstance(content.get("key"), int):
            self._choose(content["key"])


def row_of(controls: Iterable[ipywidgets.Widget]) -> ipywidgets.Box:
    """Return controls side by side, in more lines where the page is narrow."""
    row = ipywidgets.Layout(flex_flow="row wrap", align_items="center")
    return ipywidgets.Box(tuple(controls), layout=row)


def close(widgets: Iterable[ipywidgets.Widget]) -> None:
    """Close widgets together with how they look."""
    for widget in widgets:
        for part in (*_looks(widget), widget):
            part.close()


def _looks(widget: ipywidgets.Widget) -> Iterator[ipywidgets.Widget]:
    for name in ("layout", "style"):
        if isinstance(getattr(widget, name, None), ipywidgets.Widget):
            yield getattr(widget, name)
