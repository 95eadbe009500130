"""Where a cell shows a run or a search: one output, replaced in place.

It holds the live panel while a front end draws it and a picture while none does, and in the end
the static bundle of ``text/html`` and ``text/plain``. Nothing else of the cell's output is touched.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

_REFRESH = 1.0  # seconds between two live pictures
_PATIENCE = 10.0  # seconds that a front end has to draw the panel
_LOOKS = 20  # and times that its messages were looked for meanwhile


class Output:
    """One output of a cell, replaced in place."""

    def __init__(self) -> None:
        self._handle: Any = None

    def put(self, bundle: Mapping[str, Any], run: str) -> None:
        """Show the bundle, replacing what this output showed before."""
        from IPython.display import display  # noqa: PLC0415 - not in plain Python

        # The mark lets the JupyterLab extension find this output after a page reload.
        mark = {"nb_optimizer": {"run": run}}
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True, metadata=mark)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(bundle, raw=True, metadata=mark)


class Stage:
    """The output of one run or search; ``picture`` makes the static bundle of what it shows."""

    def __init__(
        self,
        picture: Callable[[Any], Mapping[str, str]],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._picture, self._clock = picture, clock
        self._output = Output()
        self._panel: Any = None
        self._run = ""
        self._as_picture = True
        self._since = self._due = 0.0
        self._looks = 0

    @property
    def is_open(self) -> bool:
        """Whether anything was shown yet."""
        return self._since > 0

    def open(self, run: str, record: Any, panel: Any = None) -> None:
        """Show the panel of the run, or a picture where there is none."""
        self._run, self._panel, self._as_picture = run, panel, panel is None
        self._since = self._clock()
        self._put(record)

    def look(self, record: Any) -> None:
        """Turn to the picture where no front end draws the panel, and back, however late one does.

        To be called after each look for messages: who draws the panel says so in one.
        """
        self._looks += 1
        late = self._clock() - self._since > _PATIENCE and self._looks > _LOOKS
        missed = bool(late and self._panel.buttons_work and not self._panel.ready)
        turned, self._as_picture = missed != self._as_picture, missed
        if turned:
            self._put(record)

    def refresh(self, record: Any) -> bool:
        """Draw the picture anew where it is shown, not too often; return whether it was."""
        if not self._as_picture or self._clock() < self._due:
            return False
        self._put(record)
        return True

    def close(self, record: Any) -> None:
        """Leave the static picture behind."""
        self._as_picture = True
        self._put(record)

    def _put(self, record: Any) -> None:
        bundle: dict[str, Any] = dict(self._picture(record))
        if not self._as_picture:
            view = {"version_major": 2, "version_minor": 0, "model_id": self._panel.widget.model_id}
            bundle["application/vnd.jupyter.widget-view+json"] = view
        self._due = self._clock() + _REFRESH
        self._output.put(bundle, self._run)
