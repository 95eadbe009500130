"""What workers report, and what it means for the search."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from nb_optimizer.core.errors import listing, nearest
from nb_optimizer.core.events import Note
from nb_optimizer.core.jobs.crew import Slot
from nb_optimizer.core.jobs.verdict import cell_fault
from nb_optimizer.core.tuning import events as te
from nb_optimizer.core.tuning import rungs
from nb_optimizer.core.tuning.metrics import objective
from nb_optimizer.core.tuning.record import FAILED, PRUNED, WAITING
from nb_optimizer.core.tuning.space import Range, range_from_json

if TYPE_CHECKING:
    from nb_optimizer.core.jobs.supervisor import Supervisor

Message = dict[str, Any]


class Reports:
    """Takes messages of workers and writes what happened into the journal."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._boss = supervisor

    def take(self, slot: Slot, message: Message) -> None:
        """Take one message of the worker in a slot."""
        slot.heard = time.monotonic()
        taker = {
            "ready": self._ready,
            "fit": self._fit,
            "epoch": self._epoch,
            "wait": self._verdict,
            "end": self._end,
            "gone": self._gone,
            "broken": self._broken,
            "unknown": self._unknown,
            "note": self._note,
        }.get(message["is"])
        if taker is not None:
            taker(slot, message)

    def _note(self, slot: Slot, message: Message) -> None:
        """Keep what a trial noted; the same words of other trials would teach nothing."""
        words = _without_numbers(message["text"])
        if not any(_without_numbers(n.text).endswith(words) for n in self._boss.record.notes):
            text = f"trial {slot.trial}: {message['text']}"
            self._boss.book.write(Note(time.time(), text, message["level"]))

    def _ready(self, slot: Slot, message: Message) -> None:
        self._boss.crew.ready(slot, message)

    def _fit(self, slot: Slot, message: Message) -> None:
        if slot.trial is None:
            return
        self._grow(message)
        self._boss.book.write(
            te.TrialFit(
                time.time(), slot.trial, message["fit"], message["epochs"],
                message["parameters"], message.get("values", {}),
            )
        )  # fmt: skip

    def _grow(self, message: Message) -> None:
        met: list[Range] = [range_from_json(r) for r in message.get("space", ())]
        known = {(r.name, r.when) for r in self._boss.record.space.ranges}
        fresh = [r for r in met if (r.name, r.when) not in known]
        if fresh:
            self._boss.book.write(te.SpaceGrown(time.time(), [vars(r) for r in fresh]))

    def _epoch(self, slot: Slot, message: Message) -> None:
        if slot.trial is None:
            return
        if not message["new"] and message["epoch"] <= self._boss.record.trial(slot.trial).epochs:
            return
        values = message["values"]
        if not self._boss.record.on:
            self._boss.book.write(te.Objective(time.time(), *objective(values)))
        elif not self._boss.crew.metrics_known and not self._knows_metric(values):
            self._unknown(slot, {"known": list(values)})
            return
        self._boss.crew.metrics_known = True
        self._boss.book.write(
            te.TrialEpoch(
                time.time(), slot.trial, message["epoch"], values,
                round(message["seconds"], 4), message["memory"],
            )
        )  # fmt: skip
        trial = self._boss.record.trial(slot.trial)
        if self._boss.search.ask_at(
            self._boss.record, trial
        ) is None and not self._boss.search.goes_on(self._boss.record, trial):
            self._boss.crew.stop(slot, PRUNED, "worse than the median of the others")

    def _knows_metric(self, values: dict[str, float]) -> bool:
        return self._boss.record.on in values or self._boss.record.on in self._boss.job["sets"]

    def _unknown(self, slot: Slot, message: Message) -> None:
        """End the search: the metric it should improve does not exist."""
        known, on = message["known"], self._boss.record.on
        text = f'There is no metric "{on}"; this training has {listing(known)}.{nearest(on, known)}'
        self._boss.finish("failed", text, {"kind": "UserError", "text": text})
        self._boss.crew.kill(slot)

    def _verdict(self, slot: Slot, message: Message) -> None:  # noqa: ARG002 - a taker
        if slot.trial is None:
            return
        trial = self._boss.record.trial(slot.trial)
        go = not slot.stopping and self._boss.search.goes_on(self._boss.record, trial)
        if not go and not slot.stopping:
            slot.then = (PRUNED, rungs.reason(self._boss.record, trial))
        self._boss.crew.tell(
            slot, {"do": "verdict", "go": go, "until": self._boss.agenda.until(trial)}
        )

    def _end(self, slot: Slot, message: Message) -> None:
        number, status, reason = slot.trial, message["status"], message["reason"]
        if number is None:
            return
        self._grow(message)
        trial = self._boss.record.trial(number)
        if status == PRUNED:
            status, reason = slot.then
        elif status != FAILED and trial.score is None and message["score"] is None:
            status, reason = FAILED, self._nothing(message)
        self._boss.book.write(
            te.TrialEnd(
                time.time(), number, status, reason, message["score"], message["seconds"],
                message.get("values"), message["fault"], cpu_seconds=message["cpu"],
            )
        )  # fmt: skip
        self._boss.crew.free(slot, message["memory"])
        self._after(number)

    def _nothing(self, message: Message) -> str:
        on = self._boss.record.on
        if not message["trained"]:
            return (
                f'the cell trained nothing and left no number in "{on}"'
                if on
                else "nothing was trained"
            )
        return f"{on} was never a finite number" if on else "it ended before its first epoch did"

    def _gone(self, slot: Slot, message: Message) -> None:
        number, why = slot.trial, slot.why or message["why"]
        fatal = self._boss.crew.gone(slot, message)
        if number is not None:
            trial = self._boss.record.trial(number)
            again = not slot.why and trial.crashes == 0 and not self._boss.ending
            peak = f", with {trial.memory_mb:,.0f} MB at its last epoch" if trial.memory_mb else ""
            reason = why if slot.why else f"its worker {why}{peak}"
            status = WAITING if again else FAILED
            if self._boss.ending and not slot.why:
                status, reason = PRUNED, "the search was stopped"
            self._boss.book.write(
                te.TrialEnd(time.time(), number, status, reason, crashed=not slot.why)
            )
            self._after(number)
        slot.why = ""
        if fatal:
            log = self._boss.folder / f"worker-{slot.number}.log"
            self._boss.finish(
                "failed", f"no worker is left, the last one {message['why']}; see {log}"
            )

    def _broken(self, slot: Slot, message: Message) -> None:  # noqa: ARG002 - a taker
        self._boss.finish("failed", f"workers cannot be started: {message['reason']}")

    def _after(self, number: int) -> None:
        """Look what the end of a trial means for the search."""
        self._boss.shelf.tidy(self._boss.record)
        trial = self._boss.record.trial(number)
        if trial.status == FAILED and not self._boss.ending:
            found = cell_fault(self._boss.record)
            if found:
                self._boss.finish("failed", found[0], found[1])
        self._boss.book.weigh()


def _without_numbers(text: str) -> str:
    return re.sub(r"\d+", "", text)
