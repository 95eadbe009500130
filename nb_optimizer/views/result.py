"""Runs and tables of runs as notebooks and terminals show them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nb_optimizer.core.errors import UserError
from nb_optimizer.core.record import RunRecord
from nb_optimizer.core.run import RunResult
from nb_optimizer.core.store import is_search
from nb_optimizer.views import html, text
from nb_optimizer.views.compression import Compression


class Run(RunResult):
    """A training run: its record with a picture."""

    def __repr__(self) -> str:
        """Return the run as text."""
        try:
            return text.summary(self.record)
        except UserError as nothing:
            return f"<{nothing}>"

    def _repr_html_(self) -> str | None:
        return html.page(self._record) if self._record else None


def open_result(path: Path) -> Any:
    """Read back what a run's directory holds, as the result of the magic that made it."""
    if is_search(path):
        from nb_optimizer.views.search import Search  # noqa: PLC0415 - that file draws this one

        return Search.open(path)
    return RESULTS.get(path.name.rpartition("-")[0], Run).open(path)


class RunTable:
    """A table of runs; iterating gives each as its result."""

    def __init__(self, rows: list[tuple[Path, RunRecord]], root: Path) -> None:
        self._rows = rows
        self._root = root

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Any:
        return open_result(self._rows[index][0])

    def __repr__(self) -> str:
        """Return the table as text."""
        if not self._rows:
            return f"There are no runs in {self._root} yet. %%train makes the first."
        return text.table([(path.name, record) for path, record in self._rows])

    def _repr_html_(self) -> str | None:
        if not self._rows:
            return None
        return html.runs_table([(path.name, record) for path, record in self._rows])


class Comparison:
    """Several runs over each other."""

    def __init__(self, records: list[RunRecord]) -> None:
        self.records = records

    def __repr__(self) -> str:
        """Return the comparison as text."""
        return text.table([(record.begin.run, record) for record in self.records])

    def _repr_html_(self) -> str:
        return html.comparison(self.records)


# The first part of a run's id to its result; all else is a training run.
RESULTS: dict[str, Any] = {"compress": Compression}
