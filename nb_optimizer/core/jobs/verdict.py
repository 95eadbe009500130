"""Whether failures are the values' fault or the cell's own."""

from __future__ import annotations

from typing import Any

from nb_optimizer.core.tuning.record import COMPLETED, FAILED, SearchRecord, Trial

_SAME, _LATE, _ROW = 2, 3, 10


def cell_fault(record: SearchRecord) -> tuple[str, dict[str, Any] | None] | None:
    """Return why the search should end because of its failures, and the exception to show.

    Values may be bad, and then only their trial fails. But when nothing has been trained and two
    trials fail at the same line, or when whatever comes after the training fails each time, more
    trials would teach nothing.
    """
    failed = record.of_status(FAILED)
    last = failed[-1] if failed else None
    if last is not None and last.fault is not None and not record.of_status(COMPLETED):
        alike = [t for t in failed if _place(t) == _place(last)]
        early = record.epochs_done == 0 and len(alike) >= min(_SAME, record.planned_trials or _SAME)
        late = [t for t in alike if t.planned is not None and t.epochs >= t.planned]
        if early or len(late) >= _LATE:
            kind, line = last.fault["kind"], last.fault["line"]
            where = f" in line {line}" if line else ""
            return f"the cell itself fails: {kind}{where}", last.fault
    over = [t for t in record.trials if t.is_over]
    row = sorted(over, key=lambda t: t.began)[-_ROW:]
    if len(row) == _ROW and all(t.status == FAILED for t in row):
        return f"the last {_ROW} trials failed; the last one because {row[-1].reason}", row[
            -1
        ].fault
    return None


def _place(trial: Trial) -> tuple[str, int | None] | None:
    return None if trial.fault is None else (trial.fault["kind"], trial.fault["line"])
