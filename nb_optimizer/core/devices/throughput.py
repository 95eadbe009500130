"""How much several devices gained: rows per second, against an earlier run on one device."""

from __future__ import annotations

import time
from pathlib import Path

from nb_optimizer.core import events as ev
from nb_optimizer.core.record import RunRecord
from nb_optimizer.core.store import Store, read_begin, read_record

_FEWEST = 2  # epochs: the first one compiles


def rows_per_second(record: RunRecord) -> float | None:
    """Return the training rows per second, validation and the first epoch left out."""
    size = record.distributed.batch_size if record.distributed else record.begin.batch_size
    timed = [e for e in record.epochs if e.epoch > 1]
    seconds = sum(e.seconds - e.validation_seconds for e in timed)
    if not size or len(record.epochs) < _FEWEST or seconds <= 0:
        return None
    return sum(e.steps for e in timed) * size / seconds


def scaling(record: RunRecord, store: Store, path: Path) -> ev.Scaling | None:
    """Return what this run's devices gained, ``None`` where too little was timed.

    The efficiency is rows per second and device, as a part of what the newest earlier run of the
    same cell reached on one device; it is ``None`` where there is no such run.
    """
    rate, there = rows_per_second(record), record.distributed
    if rate is None or there is None:
        return None
    each = rate / there.replicas
    before = _on_one(record, store, path)
    alone = rows_per_second(before) if before else None
    text = f"{rate:,.0f} rows per second, {each:,.0f} on each of {there.replicas} devices"
    if before is None or alone is None:
        text += "; for the scaling efficiency, run the cell once on one device"
        return ev.Scaling(time.time(), rate, each, text=text)
    text += f": {each / alone:.0%} of {alone:,.0f} on one device ({before.begin.run})"
    return ev.Scaling(time.time(), rate, each, each / alone, before.begin.run, text)


def _on_one(record: RunRecord, store: Store, path: Path) -> RunRecord | None:
    for other in reversed(store.paths()):
        if other != path and read_begin(other).key == record.begin.key:
            found = read_record(other)
            if found.distributed is None and rows_per_second(found) is not None:
                return found
    return None
