"""A compression as Python code sees it: what was measured, and the files behind it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Self

from nb_optimizer.core import store
from nb_optimizer.core.compression.recipe import Recipe
from nb_optimizer.core.compression.row import FAILED, REJECTED, Row
from nb_optimizer.core.errors import UserError
from nb_optimizer.core.record import RunRecord
from nb_optimizer.core.recorded import Recorded


class CandidateResult:
    """One compressed model: its row, its file, its weights."""

    def __init__(self, folder: Path, row: Row) -> None:
        self._folder, self.row = folder, row

    def __getattr__(self, name: str) -> Any:
        # bytes, gzip_bytes, score, drop, latency_ms, sparsity, status, reason, ...
        if not name.startswith("_") and name in Row.__dataclass_fields__:
            return getattr(self.row, name)
        message = f"a candidate has no {name!r}"
        raise AttributeError(message)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *Row.__dataclass_fields__})

    @property
    def recipe(self) -> dict[str, Any]:
        """How it was made; ``nbo.compress(..., recipe=...)`` makes it again."""
        return dict(self.row.recipe)

    @property
    def speedup(self) -> float:
        """How many times as fast as the float file, timed by turns; 0 where not measured."""
        return self.row.speedup

    @property
    def path(self) -> Path | None:
        """The LiteRT file, or ``None`` where it could not be made."""
        return self._folder / self.row.file if self.row.file else None

    @property
    def drop_interval(self) -> tuple[float, float]:
        """The 95 % interval of ``drop``."""
        return self.row.drop_low, self.row.drop_high

    def load(self) -> Any:
        """Return a Keras model with the compressed weights.

        Raises:
            UserError: the method leaves no Keras weights: number formats live in the file only.
        """
        if not self.row.weights:
            message = (
                f"{self.row.name} changes number formats only, which a Keras model cannot hold; "
                "its file is candidate.path."
            )
            raise UserError(message)
        import keras  # noqa: PLC0415 - loads on first use

        return keras.models.load_model(self._folder / self.row.weights, compile=False)

    def export(self, path: str | Path, *, overwrite: bool = True) -> Path:
        """Copy the LiteRT file to ``path``; a folder gets it under its own name.

        Raises:
            UserError: there is no file that runs, ``path`` cannot be written, or something is
                there that must not be overwritten.
        """
        if self.path is None or self.row.status == FAILED:
            message = f"{self.row.name} has no file that runs: {self.row.reason}."
            raise UserError(message)
        target = Path(path).expanduser()
        try:
            if target.is_dir() or not target.suffix:
                target /= self.path.name
            if target.exists() and not overwrite:
                message = f"{target} is there already; give another name."
                raise UserError(message)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.path, target)
        except OSError as error:
            message = f"{target} cannot be written ({error.strerror})."
            raise UserError(message) from error
        return target


class CompressionResult(Recorded):
    """All candidates of one ``%compress``, live or read back from disk."""

    def __init__(self, path: Path, record: RunRecord) -> None:
        self.path, self.record = path, record

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read a compression back from its directory."""
        return cls(path, store.read_record(path))

    @property
    def rows(self) -> list[Row]:
        """All rows, the float model first; what was measured again replaces what was before."""
        found = [Row.from_dict(e.row) for e in self.record.measured]
        return sorted({r.number: r for r in found}.values(), key=lambda r: r.number)

    @property
    def baseline(self) -> CandidateResult:
        """The float model."""
        if not self.rows:
            message = f"{self.id} measured nothing: {self.reason or 'it has just begun'}."
            raise UserError(message)
        return CandidateResult(self.path, self.rows[0])

    @property
    def candidates(self) -> list[CandidateResult]:
        """Everything that was made and runs, in the order it was made."""
        made = [r for r in self.rows if r.status != FAILED and not r.is_reference]
        return [CandidateResult(self.path, r) for r in made]

    @property
    def rejected(self) -> list[CandidateResult]:
        """What was refused or could not be made; ``.reason`` says why."""
        return [CandidateResult(self.path, r) for r in self.rows if r.status in (REJECTED, FAILED)]

    @property
    def picks(self) -> dict[str, CandidateResult]:
        """Up to three recommendations: ``quality``, ``balanced``, ``compact``."""
        by_number = {r.number: r for r in self.rows}
        chosen = self.record.picks
        return {
            k: CandidateResult(self.path, by_number[n]) for k, n in chosen.items() if k != "best"
        }

    @property
    def best(self) -> CandidateResult:
        """The recommended model.

        Raises:
            UserError: nothing stayed within the allowed loss; ``.rejected`` says by how much.
        """
        number = self.record.picks.get("best")
        if number is None:
            message = f"{self.id} recommends nothing: {self.reason or self._why_none()}"
            raise UserError(message)
        return CandidateResult(self.path, next(r for r in self.rows if r.number == number))

    @property
    def recipe(self) -> dict[str, Any]:
        """The recipe of the recommended model."""
        return self.best.recipe

    @property
    def layers(self) -> list[dict[str, Any]]:
        """Every kernel of the model: ``layer``, ``kind``, ``weights``, ``share``, ``left_alone``.

        ``left_alone`` says why pruning and shared values pass it by; empty where they do not.
        """
        return list(self.record.layers)

    def table(self) -> list[dict[str, Any]]:
        """Return all rows as dicts, for a data frame."""
        return [r.to_dict() for r in self.rows]

    def plot(self) -> Any:
        """Return size and latency against the loss as a matplotlib ``Figure``."""
        from nb_optimizer.core.compression.figure import figure  # noqa: PLC0415 - loads matplotlib

        return figure(self)

    def recipes(self) -> list[Recipe]:
        """Return what was tried."""
        return [Recipe.from_dict(r.recipe) for r in self.rows[1:]]

    def _why_none(self) -> str:
        reasons = [f"{c.name}: {c.reason}" for c in self.rejected]
        return "; ".join(reasons[:3]) or "nothing was made."
