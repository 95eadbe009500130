"""The process that owns a search: asks for values, hands them to workers, writes the journal.

It needs neither TensorFlow nor the kernel. Everything it knows is in the journal, so another
supervisor can go on where this one was killed.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from nb_optimizer.core.errors import UserError
from nb_optimizer.core.events import Note
from nb_optimizer.core.jobs import folder as places
from nb_optimizer.core.jobs.agenda import Agenda, Work
from nb_optimizer.core.jobs.book import Book
from nb_optimizer.core.jobs.crew import Crew, Slot
from nb_optimizer.core.jobs.disk import BY_HAND, Shelf
from nb_optimizer.core.jobs.engines import engine_for
from nb_optimizer.core.jobs.reports import Reports
from nb_optimizer.core.store import STOP_FILE, this_process
from nb_optimizer.core.tuning import events as te
from nb_optimizer.core.tuning import rungs
from nb_optimizer.core.tuning.record import PRUNED, WAITING
from nb_optimizer.core.tuning.searches import SEARCHES

Message = dict[str, Any]
_BEAT = 0.1  # seconds between two looks at clocks and wishes
_GRACE = 20.0  # seconds that workers get to save a trial when the search is stopped


class Supervisor:
    """Runs one search until it is over."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.job = folder, places.read_json(folder / places.JOB)
        self.book = Book(folder / te.FILE)
        self.record = self.book.record
        self.commands = places.Commands(folder)
        engine, size = engine_for(folder, self.job)
        self._open(size)
        self.crew = Crew(engine, size, self.job, self.book)
        self.shelf = Shelf(folder / places.TRIALS, self.job["disk_mb"] * 1e6)
        self.search = SEARCHES[self.record.begin.search](self.record.begin.seed)
        earlier = self.commands.take()
        tries = [w["values"] for w in earlier if _gives_values(w)]
        self.agenda = Agenda(self.record, self.search, self.job, self.shelf, tries)
        self.reports = Reports(self)
        self._began = math.inf  # when the first trial was given out: that starts the time budget
        self.ending = ""  # why no more trials are started
        self._status = "completed"
        self._fault: dict[str, Any] | None = None
        self._deadline = math.inf
        self._look_due = 0.0
        self._idles = False  # a worker was free, and there was nothing to do
        if not self.record.resumed:  # they were left while this process started
            for wish in earlier:
                if not _gives_values(wish):
                    self._grant(wish)

    def _open(self, workers: int) -> None:
        """Write who owns the search now."""
        job, owner = self.job, this_process()
        if self.record.begin.run:
            again = (job["begin"]["trials"], job["seconds"], workers, *owner)
            self.book.write(te.SearchResumed(time.time(), *again))
            return
        self.book.write(
            te.SearchBegin(
                time=time.time(), **job["begin"], seconds=job["seconds"], workers=workers,
                host=owner[0], pid=owner[1], started=owner[2],
            )
        )  # fmt: skip
        for text in job["notes"]:
            self.book.write(Note(time.time(), text))

    # ---- the loop

    def run(self) -> None:
        """Work until there is nothing left to do."""
        try:
            self.crew.start()
            while not self._is_over():
                for slot, message in self.crew.messages(_BEAT):
                    self.reports.take(slot, message)
                self._attend()
                self._assign()
        finally:
            self.crew.close()

    def close(self, status: str, reason: str, fault: dict[str, Any] | None = None) -> None:
        """Write the end, and free the disk of what no trial needs any more."""
        for trial in self.record.of_status("running"):
            self.book.write(
                te.TrialEnd(time.time(), trial.number, PRUNED, "the search was stopped")
            )
        self.book.weigh(at_once=True)
        self.book.write(te.SearchEnd(time.time(), status, reason, self.record.seconds, fault))
        for place in (places.ARRAYS, places.OBJECTS, places.DATA):  # --resume captures again
            shutil.rmtree(self.folder / place, ignore_errors=True)
        self.shelf.tidy(self.record, is_over=status == "completed")
        (self.folder / STOP_FILE).unlink(missing_ok=True)

    @property
    def end(self) -> tuple[str, str, dict[str, Any] | None]:
        """Status, reason and fault with which the search ends."""
        return self._status, self.ending, self._fault

    def _is_over(self) -> bool:
        if self.crew.busy():
            return False
        return bool(self.ending) or (self._idles and not self.record.paused)

    # ---- clocks and wishes

    def _attend(self) -> None:
        for wish in self.commands.take():
            self._grant(wish)
        now = time.monotonic()
        if now < self._look_due:
            return
        self._look_due = now + 0.5
        if (self.folder / STOP_FILE).exists():
            self.finish("stopped", "asked for with %runs stop")
        if not self.ending and now - self._began > self.record.time_limit:
            self.finish("completed", "the time is up")
        if now > self._deadline:
            for slot in self.crew.busy():
                slot.why = "it did not stop in time"
                self.crew.kill(slot)
        self.crew.look_after()

    def _grant(self, wish: Message) -> None:
        do, number = wish["do"], wish.get("trial")
        if do == "stop":
            self.finish("stopped", str(wish.get("reason", "the Stop button was pressed"))[:200])
        elif do in ("pause", "resume") and self.record.paused != (do == "pause"):
            self.book.write(te.Paused(time.time(), do == "pause"))
            for slot in self.crew.busy() if do == "pause" else ():
                self.crew.stop(slot, WAITING, "the search is paused")
        elif do == "skip" and isinstance(number, int):
            for slot in self.crew.busy():
                if slot.trial == number:
                    self.crew.stop(slot, PRUNED, BY_HAND)
        elif _gives_values(wish):
            self.agenda.given.append(wish["values"])

    def finish(self, status: str, reason: str, fault: dict[str, Any] | None = None) -> None:
        """Start no more trials, and let those that run save their state."""
        if self.ending:
            return
        self._status, self.ending, self._fault = status, reason, fault
        self._deadline = time.monotonic() + _GRACE
        why = "the time is up" if status == "completed" else "the search was stopped"
        for slot in self.crew.busy():
            self.crew.stop(slot, PRUNED, why)

    def _assign(self) -> None:
        if self.ending or self.record.paused:
            return
        self._idles = False
        self._judge_lost()
        for slot in self.crew.idle():
            work = self.agenda.next(others_run=bool(self.crew.busy()))
            self._idles = work is None
            if work is None:
                return
            self._begin(slot, work)

    def _judge_lost(self) -> None:
        """Give trials the verdict that they waited for when their worker or supervisor was lost."""
        for trial in self.record.of_status(WAITING):
            is_open = trial.epochs and trial.epochs < (trial.planned or 0)
            if is_open and self.agenda.until(trial) and not self.search.goes_on(self.record, trial):
                reason = rungs.reason(self.record, trial)
                self.book.write(te.TrialEnd(time.time(), trial.number, PRUNED, reason))

    def _begin(self, slot: Slot, work: Work) -> None:
        known = work.trial
        number = known.number if known else len(self.record.trials) + 1
        after = known.epochs if known else 0
        now = time.time()
        self._began = min(self._began, time.monotonic())
        begin = te.TrialBegin(now, number, work.values, work.origin, slot.number, after)
        self.book.write(begin)
        trial = self.record.trial(number)
        self.crew.give(slot, trial, resume=known is not None, until=self.agenda.until(trial))


def _gives_values(wish: Message) -> bool:
    return wish["do"] == "try" and isinstance(wish.get("values"), dict)


def main(arguments: list[str]) -> int:
    """Run the search in the folder that is named."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    folder = Path(arguments[0])
    supervisor: Supervisor | None = None
    try:
        supervisor = Supervisor(folder)
        supervisor.run()
        supervisor.close(*supervisor.end)
    except UserError as error:
        return _failed(supervisor, folder, str(error))
    except OSError as error:
        return _failed(
            supervisor, folder, f"the search cannot be written ({error.strerror or error})"
        )
    except Exception as error:  # a guarded place: the journal must end whatever fails; raised on
        _failed(supervisor, folder, f"the supervisor failed ({type(error).__name__}: {error})")
        raise
    return 0


def _failed(supervisor: Supervisor | None, folder: Path, reason: str) -> int:
    """Tell why the search ended, in the journal if that can be written, else beside it."""
    sys.stderr.write(f"{reason}\n")
    traceback.print_exc()
    with contextlib.suppress(OSError):
        if supervisor is not None:
            supervisor.close("failed", reason)
            return 1
    with contextlib.suppress(OSError):
        (folder / places.FAILURE).write_text(reason)
    return 1


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))
