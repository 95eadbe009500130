"""What the live panel shows, computed from the run record: small, bounded, in plain words.

The charts travel as numbers, everything else as finished text, so that the JavaScript only draws.
"""

from __future__ import annotations

import math
from typing import Any

from nb_optimizer.core import events as ev
from nb_optimizer.core.record import RUNNING, RunRecord
from nb_optimizer.views import words
from nb_optimizer.views.curves import CHARTS, RunCurves

MARKS = 40
NOTES = 4
BLOCKS = 20  # a longer patience is drawn as a bar
_UNKNOWN = "\u2013"
_PHASES = {
    "compiling": "compiling the first step, this can take a minute",
    "training": "training",
    "validating": "validating",
    "paused": "paused",
}


class Picture:
    """What is shown of one record; charts and values come from its ``curves``."""

    def __init__(self, record: RunRecord) -> None:
        self.record = record
        self.curves = RunCurves(record)

    # ---- what changes seldom

    def meta(self, hint: str) -> dict[str, Any]:
        """Return the charts' layout, marks, notes and the early-stopping meter."""
        record = self.record
        return {
            "title": words.title(record),
            "model": words.model(record),
            "charts": self.curves.drawn()[1],
            "more": self._more(),
            "best_epoch": record.best.epoch if record.best else 0,
            "planned": record.planned_epochs,
            "validates": record.begin.validates,
            "previous": words.title(record.ghost) if record.ghost else "",
            "marks": self._marks(),
            "changes": self._changes(),
            "meter": self._meter(),
            "alert": self._alert(),
            "notes": self._notes(),
            "hint": hint,
        }

    def _more(self) -> str:
        hidden = self.curves.names()[CHARTS:]
        if not hidden:
            return ""
        names = words.one_line(", ".join(hidden), 120)
        return f"{words.many(len(hidden), 'more metric')} in the run's history: {names}"

    def _marks(self) -> list[list[Any]]:
        steps = self.record.begin.steps or 0
        deeds = [
            [i.epoch - 1 + (min(1.0, i.step / steps) if steps else 0.5), words.intervention(i)]
            for i in self.record.interventions[-MARKS:]
        ]
        return [*deeds, *([e, words.resumed(e)] for e in self.record.resumed_after[-MARKS:])]

    def _changes(self) -> str:
        done = self.record.interventions
        told = [words.intervention(event) for event in done[-NOTES:]]
        if len(done) > NOTES:
            told.insert(0, f"{words.count(len(done) - NOTES)} earlier")
        told += [words.resumed(epoch) for epoch in self.record.resumed_after[-1:]]
        return f"Changes: {'; '.join(told)}" if told else ""

    def _meter(self) -> dict[str, Any]:
        state = self.record.stopping
        if not state:
            text = _capital(words.meter(self.record)) or "No epoch to compare with yet"
            return {"text": text, "used": 0, "of": 0, "blocks": False}
        wait, patience = int(state.get("wait") or 0), int(state.get("patience") or 0)
        text = _stopping(state, self.record.epochs[-1].epoch)
        return {"text": text, "used": wait, "of": patience, "blocks": patience <= BLOCKS}

    def _alert(self) -> dict[str, Any]:
        event = self.record.non_finite
        if event is None:
            return {}
        causes = [words.one_line(cause) for cause in event.causes[:NOTES]]
        return {"text": f"The {words.non_finite(event)}.", "causes": causes}

    def _notes(self) -> list[list[str]]:
        notes = self.record.notes
        shown = [[n.level, words.note(n)] for n in notes[-NOTES:]]
        if len(notes) > NOTES:
            shown.insert(0, ["info", f"and {words.many(len(notes) - NOTES, 'earlier note')}"])
        return shown

    # ---- what changes all the time

    def state(self, *, pausing: bool, stopping: bool) -> str:
        """Return one word for buttons, colours and the JupyterLab extension."""
        if self.record.status != RUNNING:
            return self.record.status
        phase = self.record.progress.phase if self.record.progress else ""
        if stopping:
            return "stopping"
        return "paused" if pausing or phase == "paused" else RUNNING

    def now(self, state: str, say: str, answer: str) -> dict[str, Any]:
        """Return where the run is and how fast."""
        return {
            "state": state,
            "word": self._word(state),
            "share": round(self._share(), 4),
            "where": self._where(),
            "facts": self._facts(),
            "say": say,
            "answer": answer,
        }

    def status(self, state: str) -> dict[str, Any]:
        """Return the few values that the JupyterLab extension reads off the wire."""
        record = self.record
        epoch = record.progress.epoch if record.progress else len(record.epochs)
        return {
            "nbopt": 1,
            "run": record.begin.run,
            "state": state,
            "epoch": epoch,
            "epochs": record.planned_epochs,
            "text": self._text(epoch),
        }

    def summary(self, event: ev.EpochEnd) -> str:
        """Return the sentence about an epoch that a screen reader speaks."""
        first = dict.fromkeys(("loss", "val_loss", self.record.begin.monitor, *event.values))
        names = [name for name in first if name in event.values][:CHARTS]
        values = [f"{words.one_line(n, 40)} {words.number(event.values[n])}" for n in names]
        best = self.record.best
        if best and best.epoch == event.epoch:
            values.append("the best so far")
        cut = " (cut short)" if event.partial else ""
        return f"Epoch {event.epoch}{cut}: {', '.join(values)}"

    def _word(self, state: str) -> str:
        if self.record.status != RUNNING:
            return words.status_word(self.record).capitalize()
        return {"stopping": "Stopping\u2026", "paused": "Paused"}.get(state, "Running")

    def _text(self, epoch: int) -> str:
        record, parts = self.record, []
        if record.status != RUNNING:
            return words.one_line(words.status(record), 120)
        parts.append(f"epoch {epoch}/{record.planned_epochs}")
        newest = self.curves.newest()
        name = record.begin.monitor if record.begin.monitor in newest else "loss"
        if name in newest:
            parts.append(f"{words.one_line(name, 40)} {words.number(newest[name])}")
        if record.eta_seconds is not None:
            parts.append(f"{words.duration(record.eta_seconds)} left")
        return " \u00b7 ".join(parts)

    def _share(self) -> float:
        record, now = self.record, self.record.progress
        planned = max(1, record.planned_epochs)
        done = float(record.epochs[-1].epoch if record.epochs else 0)
        if now and now.epoch > done and record.begin.steps:
            done = now.epoch - 1 + min(1.0, now.step / record.begin.steps)
        return min(1.0, done / planned)

    def _where(self) -> str:
        record, now = self.record, self.record.progress
        if record.status != RUNNING:
            return _capital(words.status_rest(record))
        if now is None:
            return f"{words.many(record.planned_epochs, 'epoch')} planned, about to start"
        total = f" of {words.count(record.begin.steps)}" if record.begin.steps else ""
        training = now.step and now.phase != "validating"
        batch = f"batch {words.count(now.step)}{total}" if training else ""
        phase = _PHASES.get(now.phase, words.one_line(now.phase, 40))
        if now.phase == "validating" and now.validation_step:
            phase += f", batch {words.count(now.validation_step)}"
        parts = (f"Epoch {now.epoch} of {record.planned_epochs}", batch, phase)
        return " \u00b7 ".join(part for part in parts if part)

    def _facts(self) -> list[list[str]]:
        record, now = self.record, self.record.progress
        speed = now.batches_per_second if now else 0.0
        size = record.begin.batch_size
        left = record.eta_seconds
        rate = record.learning_rate
        facts = [
            ["Time left", f"about {words.duration(left)}" if left is not None else _UNKNOWN],
            ["Elapsed", words.duration(record.seconds)],
            ["Speed", words.speed(speed) if speed else _UNKNOWN],
            ["Samples", f"{words.count(speed * size)} per s" if speed and size else _UNKNOWN],
            ["Memory", words.memory(now.memory_mb) if now and now.memory_mb else _UNKNOWN],
            ["Learning rate", words.number(rate) if rate is not None else _UNKNOWN],
        ]
        return facts if record.status == RUNNING else facts[1:]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _stopping(state: dict[str, Any], epoch: int) -> str:
    metric = words.one_line(state.get("monitor", ""), 40)
    first = int(state.get("first_epoch") or 0)
    if first > epoch:
        return f"Early stopping watches {metric} from epoch {first} on."
    wait = int(state.get("wait") or 0)
    told = f"{wait} of {words.many(int(state.get('patience') or 0), 'epoch')} without improvement."
    if state.get("best") is not None and math.isfinite(state["best"]):
        told += f" Best {metric} {words.number(state['best'])} at epoch {epoch - wait}."
    turn = "rise" if state.get("direction") == "max" else "drop"
    step = abs(float(state.get("min_delta") or 0.0))
    meant = f"a {turn} of more than {words.number(step)}" if step else f"any {turn}"
    return f"{told} An improvement is {meant}."
