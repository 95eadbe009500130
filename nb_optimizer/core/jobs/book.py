"""The journal of a search, written at once: what is in it survives the death of its writer."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from nb_optimizer.core import journal
from nb_optimizer.core.events import Event, to_line
from nb_optimizer.core.tuning import events as te
from nb_optimizer.core.tuning.importance import LEAST_TRIALS, importance
from nb_optimizer.core.tuning.record import SearchRecord, read_events

_SYNCED = (te.SearchBegin, te.TrialEnd, te.SearchEnd)  # survive a machine that goes off, too
_WEIGH_AGAIN = 1.25  # times as many trials as at the last look


class Book:
    """Appends events to the journal and folds them into the record.

    Raises:
        OSError: the journal cannot be written; nobody goes on without it.
    """

    def __init__(self, path: Path) -> None:
        self.record = SearchRecord()
        if path.is_file():
            self.record = read_events(path.parent)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        if journal.ends_in_the_middle(path):
            os.write(self._file, b"\n")
        self._lock = threading.Lock()
        self._weighed = 0
        self._weighing: threading.Thread | None = None

    def write(self, event: Event) -> None:
        """Append the event and take it into account."""
        data = to_line(event).encode() + b"\n"
        with self._lock:
            while data:
                data = data[os.write(self._file, data) :]
            if isinstance(event, _SYNCED):
                os.fsync(self._file)
            self.record.apply(event)

    def weigh(self, *, at_once: bool = False) -> None:
        """Work out how much each range matters, now and then, in a thread of its own."""
        scored = [t for t in self.record.trials if t.score is not None and t.is_over]
        enough = max(LEAST_TRIALS, int(self._weighed * _WEIGH_AGAIN))
        if self._weighing is not None and (at_once or not self._weighing.is_alive()):
            self._weighing.join()
            self._weighing = None
        due = len(scored) > self._weighed if at_once else len(scored) >= enough
        if self._weighing is not None or not due or len(scored) < LEAST_TRIALS:
            return
        self._weighed = len(scored)
        known = [(dict(t.values), float(t.score or 0.0)) for t in scored]
        space = type(self.record.space)(list(self.record.space.ranges))

        def work() -> None:
            shares, errors = importance(space, known)
            self.write(te.Importance(time.time(), len(known), shares, errors))

        self._weighing = threading.Thread(target=work, daemon=True)
        self._weighing.start()
        if at_once:
            self._weighing.join()
