"""The place where candidates become files and files become rows."""

from __future__ import annotations

import platform
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nb_optimizer.core.compression import export, timing, workers
from nb_optimizer.core.compression.data import Data
from nb_optimizer.core.compression.recipe import Recipe
from nb_optimizer.core.compression.resume import Memory
from nb_optimizer.core.compression.row import FAILED, MEASURED, Row
from nb_optimizer.core.compression.scoring import Metric, agreement, choose, compare
from nb_optimizer.core.compression.workers import WorkerError
from nb_optimizer.core.errors import UserError

Array = np.ndarray[Any, Any]
_LOOKS = 4  # at how fast a probe is


class Probe(NamedTuple):
    """What was measured of a file that is not kept: 0 as its speed where it was not timed."""

    drop: float
    change: float  # of the outputs, squared, on average
    speed: float = 0.0  # against the float file


class Bench:
    """Makes LiteRT files in ``folder`` and measures them on the held-out rows.

    Scratch files (the rows as arrays) live in ``folder/work`` until :meth:`close`.
    """

    def __init__(
        self,
        folder: Path,
        held_out: Data,
        calibration: Data,
        memory: Memory,
        tell: Callable[[str], None],
    ) -> None:
        self.folder, self.held_out, self.calibration = folder, held_out, calibration
        self._memory, self._tell = memory, tell
        self.pulse: Callable[[], None] = lambda: None  # called while a process works
        self._work = folder / "work"
        self._work.mkdir(mode=0o700, exist_ok=True)
        self._inputs = self._save("held", held_out)
        self._samples = self._save("calibration", calibration)
        self._float_out: Array | None = None
        self._others: dict[Path, Array] = {}  # what other files say of the rows scored now
        self._whole: tuple[Data, dict[str, str], Array] | None = None
        self.float_file: Path | None = None
        self.metric: Metric | None = None

    def close(self) -> None:
        """Remove the scratch files."""
        shutil.rmtree(self._work, ignore_errors=True)

    # ---- rows

    def baseline(
        self, model: Any, metric: str, compiled: list[str], known: Row | None = None
    ) -> Row:
        """Export and measure the float model: what everything is compared with.

        Where its row is ``known`` from before a resume, its file only predicts again.

        Raises:
            UserError: the model cannot be exported, its file does not run, or no metric fits.
        """
        start = time.perf_counter()
        path = self.folder / "0-float32.tflite"
        if known is None:
            export.export_float(model, self.calibration, path)
        try:
            answer, out = self._measure(path, None, seconds=0.0 if known else timing.SECONDS)
        except WorkerError as error:
            message = f"The exported float model does not run: {error}."
            raise UserError(message) from error
        labels = self._labels()
        self.metric = choose(metric, labels, out, compiled)
        self._float_out, self.float_file = out, path
        answer["reference_ms"] = answer["latency_ms"]
        return known or self._row(0, Recipe(), path, answer, out, start)

    def measured(
        self,
        number: int,
        recipe: Recipe,
        make: Callable[[Path], str],
        against: Row | None = None,
    ) -> Row:
        """Return the row of a file that ``make`` writes; a failure becomes a row with its reason.

        ``make`` takes the path and returns the engine that made the file. ``against`` is the row
        whose file the loss is counted against, if not the float model as it was handed in.
        """
        start = time.perf_counter()
        path = self.folder / f"{number}-{_slug(recipe.name)}.tflite"
        try:
            engine = make(path)
            answer, out = self._measure(path, self.float_file)
            return self._row(number, recipe, path, answer, out, start, engine, against)
        except (WorkerError, UserError) as error:
            reason = str(error)
        except OSError as error:
            reason = f"cannot be written to {self.folder} ({error.strerror})"
        kept = path.name if path.is_file() else ""
        return Row(
            number, recipe.to_dict(), recipe.name, file=kept, status=FAILED, reason=reason,
            seconds=time.perf_counter() - start,
        )  # fmt: skip

    # ---- files

    def scratch(self, name: str) -> Path:
        """Return where a file may lie that is not kept."""
        return self._work / name

    def quantize(self, source: Path, target: Path, recipe: Recipe, model: Any) -> str:
        """Write ``source`` in the recipe's number format to ``target``; return who did it."""
        request = {
            "task": "quantize", "source": str(source), "target": str(target),
            "format": recipe.quantize, "calibration": self._samples, "mixed": recipe.formats,
            "trained": recipe.qat,
        }  # fmt: skip
        try:
            told = self._call(request)["told"]
        except WorkerError as error:
            if recipe.quantize == "int4" or model is None or recipe.formats:
                message = f"the LiteRT quantizer failed: {error}"
                raise WorkerError(message) from error
            target.write_bytes(export.convert(model, self.calibration, recipe.quantize))
            return "converter"
        if told:
            self._tell(told)
        return "litert"

    def probe(
        self,
        source: Path,
        recipe: Recipe,
        make: Callable[[], None] = lambda: None,
        *,
        timed: bool = False,
    ) -> Probe:
        """Return what a number format does to a float file that ``make`` writes first.

        Nothing is kept of it but the figures, for a resume.
        """
        assert self.metric is not None and self._float_out is not None  # noqa: S101, PT018
        key = f"probe {source.name} {recipe.key}"
        if known := self._memory.get(key):
            return Probe(known["drop"], known["change"], known.get("speed", 0.0))
        make()
        path = source
        if recipe.quantize:
            path = self.scratch("probe.tflite")
            self.quantize(source, path, recipe, None)
        out = self._measure(path, None, seconds=0.0)[1]
        looks = self._looks(path, _LOOKS) if timed else []
        found = Probe(
            drop=compare(self.metric, self._labels(), self._float_out, out).drop,
            change=float(np.mean((out - self._float_out) ** 2)),
            speed=max((look.speed for look in looks), default=0.0),
        )
        self._memory.keep(key, **found._asdict())
        return found

    def narrow(self, rows: int, seed: int) -> None:
        """Score on a random part of the held-out rows, until :meth:`widen`."""
        assert self._float_out is not None  # noqa: S101 - the baseline comes first
        order = np.random.default_rng(seed).permutation(len(self.held_out))
        part = np.sort(order[:rows])
        self._whole = (self.held_out, self._inputs, self._float_out)
        self.held_out = self.held_out.take(part)
        self._inputs, self._float_out = self._save("part", self.held_out), self._float_out[part]
        self._others.clear()

    def widen(self) -> None:
        """Score on all held-out rows again."""
        if self._whole is not None:
            self.held_out, self._inputs, self._float_out = self._whole
            self._whole = None
            self._others.clear()

    def again(self, row: Row, against: Row | None = None) -> Row:
        """Measure a row's file once more, on the rows that are scored now.

        Its latency is what :func:`.timing.typical` makes of several looks.

        Raises:
            WorkerError: it no longer runs.
        """
        path = self.folder / row.file
        answer, out = self._measure(path, None, seconds=0.0)
        answer |= timing.typical(self._looks(path, timing.LOOKS))._asdict()
        made = self._row(
            row.number, Recipe.from_dict(row.recipe), path, answer, out, time.perf_counter(),
            row.engine, against,
        )  # fmt: skip
        made = replace(made, name=row.name, weights=row.weights, seconds=row.seconds)
        return replace(made, confirmed=True)

    def operations(self, path: Path) -> list[dict[str, Any]]:
        """List the operations of a file that have a kernel."""
        answer = self._call({"task": "describe", "file": str(path)})
        return list(answer["operations"])

    # ---- inside

    def _call(self, request: dict[str, Any]) -> dict[str, Any]:
        return workers.call(request, self._work, pulse=self.pulse)

    def _looks(self, path: Path, count: int) -> list[timing.Look]:
        assert self.float_file is not None  # noqa: S101 - the baseline comes first
        return timing.looks(self._call, path, self.float_file, self._inputs, count)

    def _measure(
        self, path: Path, reference: Path | None, seconds: float = timing.SECONDS
    ) -> tuple[dict[str, Any], Array]:
        predictions = self._work / "predictions.npy"
        request = {
            "task": "measure", "file": str(path), "inputs": self._inputs, "threads": timing.THREADS,
            "reference": str(reference) if reference else None, "seconds": seconds,
            "predictions": str(predictions),
        }  # fmt: skip
        answer = self._call(request)
        if answer["foreign_operations"]:
            kinds = ", ".join(answer["foreign_operations"])
            message = f"needs operations that the bare runtime does not have: {kinds}"
            raise WorkerError(message)
        out = np.load(predictions, allow_pickle=False)
        if not np.isfinite(out).all():
            message = "its predictions hold NaN or infinite values"
            raise WorkerError(message)
        return answer, out

    def _row(  # noqa: PLR0913, PLR0917 - everything that is known about one file
        self, number: int, recipe: Recipe, path: Path, answer: dict[str, Any], out: Array,
        start: float, engine: str = "litert", against: Row | None = None,
    ) -> Row:  # fmt: skip
        assert self.metric is not None and self._float_out is not None  # noqa: S101, PT018
        labels = self._labels()
        told = compare(self.metric, labels, self._said(against), out)
        known = {k: v for k, v in answer.items() if k != "foreign_operations"}
        return Row.from_dict({
            "number": number, "recipe": recipe.to_dict(), "name": recipe.name, "engine": engine,
            "file": path.name, "score": self.metric.score(labels, out), "drop": told.drop,
            "drop_low": told.low, "drop_high": told.high, "samples": len(labels),
            "agreement": agreement(self._float_out, out), "host": host(), "status": MEASURED,
            "against": against.number if against else 0,
            "seconds": time.perf_counter() - start, **known,
        })  # fmt: skip

    def _said(self, by: Row | None) -> Array:
        """Return the predictions of a row's file; without one, those of the float model."""
        assert self._float_out is not None  # noqa: S101 - the baseline comes first
        if by is None:
            return self._float_out
        path = self.folder / by.file
        if path not in self._others:
            self._others[path] = self._measure(path, None, seconds=0.0)[1]
        return self._others[path]

    def _labels(self) -> Array:
        assert self.held_out.labels is not None  # noqa: S101 - read() demands them
        return self.held_out.labels

    def _save(self, name: str, data: Data) -> dict[str, str]:
        files = {}
        for i, (key, array) in enumerate(data.inputs.items()):
            path = self._work / f"{name}-{i}.npy"
            np.save(path, array)
            files[key] = str(path)
        return files


def host() -> str:
    """Return the name of this host's processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _slug(name: str) -> str:
    clean = "".join(c if c.isalnum() or c == "." else "-" for c in name.lower())
    return "-".join(part for part in clean.split("-") if part)
