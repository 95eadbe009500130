"""Work that must never hold up training: one thread that takes jobs in order."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable


class Background:
    """A thread that runs jobs one after another.

    ``put`` returns at once, however slow the disk is. The first ``OSError`` of a job is handed to
    ``on_fault`` (from the thread) and later jobs are dropped: a full disk stays full.
    """

    def __init__(self, name: str, on_fault: Callable[[OSError], None]) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._on_fault = on_fault
        self._broken = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def put(self, job: Callable[[], None]) -> None:
        """Queue a job."""
        self._jobs.put(job)

    @property
    def backlog(self) -> int:
        """How many jobs wait."""
        return self._jobs.qsize()

    def close(self, timeout: float | None = None) -> bool:
        """Finish what is queued; ``False`` if that took longer than ``timeout`` seconds."""
        self._jobs.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if self._broken:
                continue
            try:
                job()
            except OSError as error:
                self._broken = True
                self._on_fault(error)
