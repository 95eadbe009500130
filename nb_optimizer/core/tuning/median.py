"""The median rule: a trial that is worse than half of the others at the same epoch is ended.

After Golovin and others, "Google Vizier: a service for black-box optimization" (KDD 2017).
"""

from __future__ import annotations

from statistics import median

from nb_optimizer.core.tuning.record import FAILED, SearchRecord, Trial

_LEAST_TRIALS = 5
_SHARE = 0.15  # of the planned epochs that every trial gets


def goes_on(record: SearchRecord, trial: Trial) -> bool:
    """Whether the best score of a trial so far is no worse than the others' median at its epoch."""
    epoch, score = trial.epochs, trial.score_at(trial.epochs)
    if score is None or epoch < max(2, _SHARE * (trial.planned or 0)):
        return True
    others = [
        value
        for t in record.trials
        if t is not trial and t.status != FAILED and t.epochs >= epoch
        if (value := t.score_at(epoch)) is not None
    ]
    return len(others) < _LEAST_TRIALS or not record.better(median(others), score)
