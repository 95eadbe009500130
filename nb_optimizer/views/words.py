"""Numbers, durations and sentences as people read them; every view speaks through this file."""

from __future__ import annotations

import math
from typing import Any

from nb_optimizer.core import events as ev
from nb_optimizer.core.record import RUNNING, RunRecord
from nb_optimizer.core.tuning.record import SEARCH

MINUTE, HOUR, DAY = 60, 3600, 86_400
_TINY, _HUGE, _THOUSAND = 1e-4, 1e7, 1000
_STATUS = {
    RUNNING: "running",
    "completed": "completed",
    "early_stopped": "early stopped",
    "stopped": "stopped",
    "failed": "failed",
    "interrupted": "interrupted",
}
_ORIGIN = {
    "panel": "from the panel",
    "interrupt": "by the interrupt button",
    "request": "by %runs stop",
}
_PHASE = {
    "compiling": "compiling the first batch",
    "validating": "validating",
    "paused": "paused",
}


# ---- numbers


def number(value: float | None) -> str:
    """Return a metric or a rate with four significant digits: ``0.3123``, ``1.2e-05``."""
    if value is None or math.isnan(value):
        return "-" if value is None else "NaN"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    size = abs(value)
    if size and (size < _TINY or size >= _HUGE):
        digits, exponent = f"{value:.3e}".split("e")
        return f"{digits.rstrip('0').rstrip('.')}e{exponent}"
    return f"{value:,.0f}" if size >= _THOUSAND else f"{value:.4g}"


def count(value: float) -> str:
    """Return a whole number with separators: ``12,345``."""
    return f"{value:,.0f}" if math.isfinite(value) else number(value)


def duration(seconds: float) -> str:
    """Return a length of time: ``250 ms``, ``2.1 s``, ``3 min 10 s``, ``2 h 05 min``."""
    if not math.isfinite(seconds):
        return "unknown time"
    whole = round(max(0.0, seconds))
    if whole >= DAY:
        return f"{whole // DAY} d {whole % DAY // HOUR:02d} h"
    if whole >= HOUR:
        return f"{whole // HOUR} h {whole % HOUR // MINUTE:02d} min"
    if whole >= MINUTE:
        return f"{whole // MINUTE} min {whole % MINUTE:02d} s"
    return _short(max(0.0, seconds))


def _short(seconds: float) -> str:
    if round(seconds, 1) >= 10:  # noqa: PLR2004 - two digits are enough
        return f"{seconds:.0f} s"
    milliseconds = round(seconds * 1000)
    if milliseconds >= _THOUSAND:
        return f"{seconds:.1f} s"
    return f"{milliseconds} ms" if milliseconds else "0 s"


def memory(megabytes: float) -> str:
    """Return an amount of memory: ``45 MB``, ``1.2 GB``."""
    if round(megabytes) >= _THOUSAND:
        return f"{megabytes / _THOUSAND:.1f} GB"
    return f"{megabytes:.0f} MB"


def speed(batches_per_second: float) -> str:
    """Return a throughput: ``1,234 batches/s``, ``0.21 batches/s``."""
    digits = f"{batches_per_second:.2g}" if batches_per_second < 10 else ""  # noqa: PLR2004
    return f"{digits or count(batches_per_second)} batches/s"


def many(amount: int, thing: str) -> str:
    """Return ``1 epoch``, ``5 epochs`` or ``5 batches``."""
    ending = "es" if thing.endswith("ch") and thing != "epoch" else "s"
    return f"{count(amount)} {thing}" + ("" if amount == 1 else ending)


def one_line(text: object, limit: int = 240) -> str:
    """Return foreign text as one printable line of at most ``limit`` characters."""
    words = " ".join(str(text).split())
    clean = "".join(c if c.isprintable() else "?" for c in words)
    return clean if len(clean) <= limit else clean[: limit - 3] + "..."


# ---- the run as a whole


def status_word(record: RunRecord) -> str:
    """Return the status in words: ``early stopped``."""
    return _STATUS.get(record.status, one_line(record.status, 30))


def status_rest(record: RunRecord) -> str:
    """Return what follows the status word in :func:`status`."""
    if record.status == RUNNING:
        return where(record)
    done, planned = len(record.epochs), record.planned_epochs
    how_far = f"{count(done)} of {many(planned, 'epoch')}" if done != planned else ""
    rest = ("" if record.status == "completed" else "after ") + (how_far or many(done, "epoch"))
    reason = one_line(record.reason) or _default_reason(record)
    rest += f": {reason}" if reason else ""
    if record.restored_epoch:
        rest += f"; the weights are those of epoch {record.restored_epoch}"
    return rest + ("; resume with --resume" if record.status == "interrupted" else "")


def status(record: RunRecord) -> str:
    """Return the sentence that says how the run stands or how it ended."""
    return f"{status_word(record)} {status_rest(record)}".rstrip()


def _default_reason(record: RunRecord) -> str:
    state = record.stopping
    if record.status == "early_stopped" and state:
        metric = one_line(state.get("monitor", ""), 40)
        return f"{metric} has not improved for {many(int(state.get('wait', 0)), 'epoch')}"
    return "its process is gone" if record.status == "interrupted" else ""


def where(record: RunRecord) -> str:
    """Return where a running run is: ``epoch 7 of 50, batch 120 of 400, 3 min 10 s left``."""
    now = record.progress
    if now is None:
        return f"{many(record.planned_epochs, 'epoch')} planned"
    parts = [f"epoch {now.epoch} of {record.planned_epochs}", _batch(record, now)]
    parts.append(_PHASE.get(now.phase, ""))
    if record.eta_seconds is not None and now.phase != "paused":
        parts.append(f"about {duration(record.eta_seconds)} left")
    return ", ".join(p for p in parts if p)


def _batch(record: RunRecord, now: ev.Progress) -> str:
    if not now.step:
        return ""
    total = f" of {count(record.begin.steps)}" if record.begin.steps else ""
    return f"batch {count(now.step)}{total}"


def title(record: RunRecord) -> str:
    """Return the run's id and, where it differs, the name the user gave it."""
    begin = record.begin
    named = begin.name and begin.name != begin.run
    return one_line(begin.run, 60) + (f' "{one_line(begin.name, 60)}"' if named else "")


def model(record: RunRecord) -> str:
    """Return the model and its size: ``sequential, 12,345 parameters``."""
    begin = record.begin
    size = many(begin.parameters, "parameter") if begin.parameters else ""
    return ", ".join(p for p in (one_line(begin.model, 60), size) if p)


def best(record: RunRecord) -> str:
    """Return the best epoch and its value, or an empty string."""
    top = record.best
    return (
        f"{one_line(top.metric, 40)} {number(top.value)} in {_unit(record)} {top.epoch}"
        if top
        else ""
    )


def _unit(record: RunRecord) -> str:
    return "trial" if record.begin.model == SEARCH else "epoch"  # a search in the list of runs


def see_again(record: RunRecord) -> str:
    """Return how to see this run again."""
    return f"%runs show {one_line(record.begin.run, 60)}"


# ---- early stopping, interventions, trouble


def meter(record: RunRecord) -> str:
    """Return how close the run is to being stopped early, or how long nothing has improved."""
    if record.stopping:
        return _meter(record.stopping, record.epochs[-1].epoch)
    waited = record.epochs_since_best
    if not record.best or len(record.epochs) == 1:
        return ""
    if not waited:
        return "the last epoch was the best"
    return f"no improvement for {many(waited, 'epoch')}"


def _meter(state: dict[str, Any], epoch: int) -> str:
    metric = one_line(state.get("monitor", ""), 40)
    first = int(state.get("first_epoch") or 0)
    if first > epoch:
        return f"{metric} is watched from epoch {first} on"
    parts = [f"patience {state.get('wait', 0)} of {state.get('patience', 0)} used"]
    if state.get("best") is not None and math.isfinite(state["best"]):
        parts.append(f"best {number(state['best'])} ({metric})")
    turn = "rise" if state.get("direction") == "max" else "drop"
    step = abs(float(state.get("min_delta") or 0.0))
    meant = f"a {turn} of more than {number(step)}" if step else f"any {turn}"
    return ", ".join([*parts, f"improvement means {meant}"])


def intervention(event: ev.Intervention) -> str:
    """Return what somebody did: ``learning rate set to 0.0003 at epoch 4, batch 12``."""
    value = number(event.value)
    told = {
        "stop": f"stopped {_ORIGIN.get(event.origin, '')}".rstrip(),
        "pause": "paused",
        "resume": "continued after the pause",
        "learning_rate": f"learning rate set to {value}",
        "epochs": f"planned epochs set to {value}",
        "back_to_best": "went back to the best weights",
    }.get(event.action, one_line(event.action, 40))
    batch = f", batch {count(event.step)}" if event.step else ""
    return f"{told} at epoch {event.epoch}{batch}"


def resumed(after_epoch: int) -> str:
    """Return that the run went on in another process."""
    return f"resumed after epoch {after_epoch}" if after_epoch else "started again from epoch 1"


def non_finite(event: ev.NonFinite) -> str:
    """Return where the loss was lost: ``loss became NaN in epoch 3, batches 12 to 18``."""
    batches = f"batch {count(event.first)}"
    if event.last > event.first:
        batches = f"batches {count(event.first)} to {count(event.last)}"
    kind = "NaN (not a number)" if math.isnan(event.value) else "infinite"
    return f"loss became {kind} in epoch {event.epoch}, {batches}"


def note(event: ev.Note) -> str:
    """Return a note with its weight: ``warning: ...`` or ``note: ...``."""
    return f"{'warning' if event.level == 'warning' else 'note'}: {one_line(event.text)}"
