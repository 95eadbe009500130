"""The workers of a search: who is idle, who is busy with what, who has to go."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from nb_optimizer.core.jobs.book import Book
from nb_optimizer.core.jobs.engines import Engine
from nb_optimizer.core.tuning import events as te
from nb_optimizer.core.tuning.record import PRUNED, Trial
from nb_optimizer.core.tuning.space import rng_of

Message = dict[str, Any]
STARTING, IDLE, BUSY, GONE = "starting", "idle", "busy", "gone"
_PATIENCE = 300.0  # seconds that a worker gets to start
_LEAK_MB, _LEAK_TRIALS = 64.0, 30  # a worker that has grown by so much in so many is replaced
_MOST_MB, _MOST_TRIALS = 500.0, 200  # and so is one that has grown by so much, or run so many
_STILLBORN = 3  # workers in a row that end before they are ready


@dataclass
class Slot:
    """A place for a worker. ``then`` is the end of a trial that is being stopped."""

    number: int
    state: str = GONE
    trial: int | None = None
    heard: float = 0.0
    stopping: bool = False
    then: tuple[str, str] = (PRUNED, "")
    why: str = ""  # why its worker had to be ended
    done: int = 0  # trials of this worker
    base_mb: float = 0.0


class Crew:
    """Starts, feeds, watches and replaces workers over an engine."""

    def __init__(self, engine: Engine, size: int, job: dict[str, Any], book: Book) -> None:
        self.metrics_known = False
        self.size = size
        self._engine, self._job, self._book = engine, job, book
        self._slots = [Slot(n) for n in range(size)]
        self._stillborn = 0
        self._looks = 0

    # ---- looking

    def busy(self) -> list[Slot]:
        """Return the slots that run a trial."""
        return [s for s in self._slots if s.state == BUSY]

    def idle(self) -> list[Slot]:
        """Return the slots that wait for one."""
        return [s for s in self._slots if s.state == IDLE]

    def is_settled(self) -> bool:
        """Whether at least one worker has been ready, so that nothing is about to happen."""
        return bool(self.idle())

    def messages(self, timeout: float) -> list[tuple[Slot, Message]]:
        """Return what workers have said."""
        return [(self._slots[n], m) for n, m in self._engine.messages(timeout)]

    # ---- doing

    def start(self) -> None:
        """Start all workers."""
        for slot in self._slots:
            self._start(slot)

    def ready(self, slot: Slot, message: Message) -> None:
        """A worker can take trials."""
        slot.state, slot.done, slot.base_mb = IDLE, 0, 0.0
        self._stillborn = 0
        self._tell_state(slot, "ready", message.get("pid", 0))

    def give(self, slot: Slot, trial: Trial, *, resume: bool, until: int | None) -> None:
        """Hand a trial to an idle worker."""
        slot.state, slot.trial, slot.stopping, slot.why = BUSY, trial.number, False, ""
        slot.then, slot.heard = (PRUNED, ""), time.monotonic()
        record = self._book.record
        seed = int(rng_of(record.begin.seed, trial.number, "train").integers(2**32))
        names = {r["name"] for r in record.begin.space}
        self.tell(slot, {
            "do": "trial", "trial": trial.number, "values": trial.values, "seed": seed,
            "resume": resume, "until": until, "on": record.on, "checks": not self.metrics_known,
            "direction": record.direction if record.on else "", "line": sorted(names),
        })  # fmt: skip

    def tell(self, slot: Slot, message: Message) -> None:
        """Send a message to a worker."""
        self._engine.send(slot.number, message)

    def stop(self, slot: Slot, status: str, reason: str) -> None:
        """Have a trial save its state and end; it then has this status and reason."""
        if not slot.stopping:
            slot.stopping, slot.then = True, (status, reason)
            self.tell(slot, {"do": "stop"})

    def kill(self, slot: Slot) -> None:
        """End a worker at once."""
        self._engine.kill(slot.number)

    def free(self, slot: Slot, memory_mb: float) -> None:
        """A trial is over; take the worker for another one, or replace it before it leaks."""
        slot.trial, slot.stopping, slot.state = None, False, IDLE
        slot.done += 1
        slot.base_mb = slot.base_mb or memory_mb
        if is_used_up(slot.done, memory_mb - slot.base_mb):
            slot.state = STARTING
            self.tell(slot, {"do": "quit"})

    def gone(self, slot: Slot, message: Message) -> bool:
        """A worker has ended: start another; return whether none is left."""
        stillborn = slot.state == STARTING and slot.done == 0
        self._stillborn = self._stillborn + 1 if stillborn else 0
        slot.state, slot.trial, slot.done = GONE, None, 0
        self._tell_state(slot, "gone", message.get("pid", 0), message["why"])
        if self._stillborn >= _STILLBORN:
            return True
        self._start(slot)
        return all(s.state == GONE for s in self._slots)

    def look_after(self) -> None:
        """End workers that use too much memory, or show no sign of life."""
        now = time.monotonic()
        for slot in self._slots:
            if slot.why:
                continue
            limit = self._job["memory_mb"]
            used = self._engine.memory(slot.number) if limit and slot.state == BUSY else 0.0
            if limit and used > limit:
                slot.why = f"it used {used:,.0f} MB, more than the {limit:,.0f} MB of its worker"
            elif slot.state == BUSY and now - slot.heard > self._silence():
                slot.why = f"it showed no progress for {now - slot.heard:.0f} s"
            elif slot.state == STARTING and now - slot.heard > _PATIENCE:
                slot.why = f"it did not start within {_PATIENCE:.0f} s"
            if slot.why:
                self.kill(slot)

    def close(self) -> None:
        """End all workers."""
        self._engine.close()

    def _silence(self) -> float:
        """Seconds that a trial may be silent; epochs that are known to be long get more."""
        longest = max((t.longest for t in self._book.record.trials), default=0.0)
        return max(float(self._job["silence"]), 4 * longest)

    def _start(self, slot: Slot) -> None:
        slot.state, slot.heard = STARTING, time.monotonic()
        if self._engine.start(slot.number):
            self._tell_state(slot, "starting")
        else:
            slot.state = GONE

    def _tell_state(self, slot: Slot, state: str, pid: int = 0, reason: str = "") -> None:
        device = self._engine.device(slot.number)
        self._book.write(te.Worker(time.time(), slot.number, state, pid, device, reason))


def is_used_up(trials: int, grown_mb: float) -> bool:
    """Whether a worker should be replaced after so many trials, by how it grew since the first.

    TensorFlow keeps about 1 MB of each trial. A few trials tell nothing: one large model among
    small ones is no leak, and starting a worker takes seconds.
    """
    leaks = grown_mb > _LEAK_MB and trials >= _LEAK_TRIALS
    return leaks or grown_mb > _MOST_MB or trials >= _MOST_TRIALS
