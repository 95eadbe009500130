"""What trials keep on disk: weights of the best three, state of what may go on, a budget."""

from __future__ import annotations

from pathlib import Path

from nb_optimizer.core.training.state_files import BEST, LATEST
from nb_optimizer.core.tuning.record import PRUNED, SearchRecord, Trial

KEPT = 3  # best trials whose weights stay
BY_HAND = "skipped by hand"


class Shelf:
    """The folders of the trials, ``trials/7/runs/train-1/`` and so on."""

    def __init__(self, root: Path, budget: float) -> None:
        self._root, self._budget = root, budget

    def held(self, record: SearchRecord) -> set[int]:
        """Return the paused trials that may go on.

        One whose state was lost with its worker, or to the budget, trains its epochs again.
        """
        return {t.number for t in record.of_status(PRUNED) if t.reason != BY_HAND}

    def tidy(self, record: SearchRecord, *, is_over: bool = False) -> None:
        """Remove what no trial needs; ``is_over`` once nothing will be taken up again."""
        ranked = record.ranked()
        top = {t.number for t in ranked[:KEPT]}
        for trial in record.trials:
            if not trial.is_over:
                continue
            if trial.status != PRUNED or is_over or trial.reason == BY_HAND:
                self._remove(trial, LATEST)
            if trial.number not in top and (trial.status != PRUNED or is_over):
                self._remove(trial, BEST)
        worst_first = [t for t in reversed(ranked) if t.is_over]
        while worst_first and self.size() > self._budget:
            trial = worst_first.pop(0)
            self._remove(trial, LATEST)
            if trial is not record.best:
                self._remove(trial, BEST)

    def size(self) -> float:
        """Return the bytes that weights and states take; two names of one file count once."""
        files = [f.stat() for f in self._root.glob("*/runs/*/*.npz")]
        return float(sum({(s.st_dev, s.st_ino): s.st_size for s in files}.values()))

    def _files(self, trial: Trial, name: str) -> list[Path]:
        return list((self._root / str(trial.number)).glob(f"runs/*/{name}"))

    def _remove(self, trial: Trial, name: str) -> None:
        for file in self._files(trial, name):
            file.unlink(missing_ok=True)
