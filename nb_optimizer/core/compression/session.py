"""One compression from its arguments to its closed record."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from nb_optimizer.core import events as ev
from nb_optimizer.core import store as stores
from nb_optimizer.core.compression import checks, kernels, picks, resume
from nb_optimizer.core.compression import data as data_module
from nb_optimizer.core.compression.bench import Bench
from nb_optimizer.core.compression.opening import described, metric_names
from nb_optimizer.core.compression.plan import CompressPlan
from nb_optimizer.core.compression.recipe import Recipe
from nb_optimizer.core.compression.renewed import taken
from nb_optimizer.core.compression.result import CompressionResult
from nb_optimizer.core.compression.resume import Clock, Memory
from nb_optimizer.core.compression.row import FAILED, Row, name_among
from nb_optimizer.core.compression.scoring import ALIASES, resolution
from nb_optimizer.core.compression.spared import make
from nb_optimizer.core.compression.trained import Trained
from nb_optimizer.core.compression.watcher import Guarded, StoppedError, Watcher
from nb_optimizer.core.compression.workers import WorkerError
from nb_optimizer.core.devices import strategy
from nb_optimizer.core.errors import UserError
from nb_optimizer.core.journal import FILE, Journal
from nb_optimizer.core.record import RunRecord
from nb_optimizer.core.store import Store, this_process
from nb_optimizer.core.watching import ViewFactory, silent


class Compressing:
    """Makes and measures smaller versions of ``model``; the model itself is never changed.

    Args:
        plan: what was asked for.
        model: a built Keras 3 or tf_keras model.
        held_out: ``(x, y)`` or a data set, for scoring only.
        train: the same, for calibration and fine-tuning, or ``None``.
        recipe: a recipe to replay instead of the plan's own.
        store: where the run is kept.
        view: shows fine-tuning; ``watcher`` shows the rows.
        kind: the class of the result.
        path: where this run is kept, if it was begun elsewhere.
        key: what tells this line from others, for ``--resume``.
    """

    def __init__(  # noqa: PLR0913 - what differs between a notebook, a script and a test
        self,
        plan: CompressPlan,
        model: Any,
        held_out: Any,
        train: Any = None,
        *,
        recipe: dict[str, Any] | None = None,
        store: Store | None = None,
        view: ViewFactory = silent,
        watcher: Watcher | None = None,
        kind: type[CompressionResult] = CompressionResult,
        path: Path | None = None,
        key: str = "",
    ) -> None:
        self.plan, self.view = plan, view
        self.watcher = Guarded(watcher or Watcher())
        self.recipe = recipe
        self.recipes = plan.recipes() if recipe is None else [_recipe(recipe)]
        checks.check_model(model)
        if held_out is None:
            message = "--data x,y is needed: held-out inputs and labels to score on."
            raise UserError(message)
        twin, self.held_out = taken(model, lambda m: data_module.read(m, held_out, "--data"))
        self.model, self._of_model = twin.model, twin.note
        self.train = None if train is None else data_module.read(self.model, train, "--train")
        data_module.check_apart(self.held_out, self.train)
        if not plan.searches and self.train is None:
            checks.check_has_training([r for r in self.recipes if r.trains])
        self.devices = checks.devices(plan)
        self.store, self.key, self.clock = store or Store(), key, Clock()
        self._opening = described(self)
        earlier = resume.find(self.store, self._opening) if plan.resume and path is None else None
        self.path = path or earlier or self.store.create("compress")
        self.record = RunRecord()
        self.result = kind(self.path, self.record)
        self._faults: list[OSError] = []
        self._journal = Journal(self.path / FILE, self._faults.append)
        self.memory = Memory(self.path, self._journal.append)
        self.trained = Trained(self, view)

    # ---- the whole call

    def run(self, note: str = "") -> CompressionResult:
        """Make everything, keep what is there when time or patience ends, return the result.

        Where the devices cannot be had in this process, that happens in another one; ``note`` is
        what to tell of it.
        """
        if self.memory.is_complete(self.plan.seconds):
            self._journal.close()
            return self._finished_before()
        if checks.trains_here(self) and strategy.needs_fresh_process(self.devices):
            from nb_optimizer.core.compression.away import elsewhere  # noqa: PLC0415 - as needed

            self._journal.close()
            return elsewhere(self)
        stores.open_here.add(self.path.resolve())
        status, reason = "completed", ""
        try:
            self._begin()
            if note:
                self.note(note)
            rows = data_module.split(self.held_out, self.train, self.plan.seed, self.note)
            bench = Bench(self.path, *rows, self.memory, self.note)
            bench.pulse = self.watcher.pulse
            with contextlib.closing(bench) as self.bench:
                self._make()
        except KeyboardInterrupt as wish:
            by = "in the panel" if isinstance(wish, StoppedError) else "by the interrupt button"
            status, reason = "stopped", f"stopped {by}; what was made is kept"
        except BaseException as error:  # the one place that records a failed compression; raised on
            status, reason = "failed", f"{type(error).__name__}: {error}"
            raise
        finally:
            self._end(status, reason)
        return self.result

    def seconds_left(self) -> float:
        """How much of the search's time is left, in seconds."""
        return self.plan.seconds - self.clock.seconds

    # ---- telling

    def emit(self, event: ev.Event) -> None:
        """Fold an event into the record and append it to the journal."""
        self.record.apply(event)
        self._journal.append(event)

    def note(self, text: str, level: str = "info") -> None:
        """Tell the user something, once."""
        if text not in [n.text for n in self.record.notes]:
            self.emit(ev.Note(time.time(), text, level))

    def tell(self, row: Row) -> Row:
        """Record a row and show it."""
        self.emit(ev.Measured(time.time(), row.to_dict(), self.clock.seconds))
        self.watcher.show(self.result)
        return row

    def recall(self, event: ev.Measured) -> Row:
        """Take over a row that was measured before a resume; it is in the journal already."""
        self.clock.reach(event.elapsed)
        self.record.apply(event)
        self.watcher.show(self.result)
        return Row.from_dict(event.row)

    # ---- candidates

    def candidate(self, recipe: Recipe) -> Row:
        """Make one candidate and measure it, unless that was done before a resume."""
        if known := self.memory.row(recipe):
            return self.recall(known)
        self.watcher.begin(recipe.name)
        number = self.memory.number(recipe, self.result.rows)
        kept: dict[str, str] = {}

        def make(path: Path) -> str:
            model, source, kept["weights"] = self.trained.float_file(recipe)
            if not recipe.quantize:
                path.write_bytes(source.read_bytes())
                return self.trained.engine(recipe)
            finished = self.trained.finished_file(recipe)
            if finished is not None:
                path.write_bytes(finished.read_bytes())
                return "tfmot+converter"
            done_by = self.bench.quantize(source, path, recipe, model)
            return f"{self.trained.engine(recipe)}+{done_by}" if recipe.trains else done_by

        row = self.bench.measured(number, recipe, make, self.against(recipe.to_dict()))
        name = name_among(recipe, self.result.rows)
        return self._judge(replace(row, weights=kept.get("weights", ""), name=name))

    def confirm(self, row: Row) -> None:
        """Measure a row again, on all held-out rows."""
        if known := self.memory.confirmed(row.number):
            self.recall(known)
            return
        self.watcher.begin(f"{row.name}, on all held-out rows")
        try:
            again = self.bench.again(row, self.against(row.recipe))
        except WorkerError as error:
            again = replace(row, status=FAILED, reason=str(error))
        self._judge(again)

    def against(self, values: dict[str, Any]) -> Row | None:
        """Return the fine-tuned float model with which what begins with one is compared.

        It is the first that had as many epochs as this recipe, else the one that had the most.
        """
        recipe = Recipe.from_dict(values)
        if recipe.teacher is None or (recipe.tune and not recipe.quantize):
            return None
        tuned = picks.tuned(self.result.rows)
        return next((r for r in tuned if r.passes >= recipe.passes), tuned[-1] if tuned else None)

    # ---- inside

    def _finished_before(self) -> CompressionResult:
        for event in self.memory.events:
            self.record.apply(event)
        self.record.apply(ev.Note(time.time(), resume.COMPLETE))
        self.watcher.show(self.result)
        return self.result

    def _judge(self, row: Row) -> Row:
        """Record a row, as rejected where it may not be recommended."""
        # Who asks for one recipe, or for a size only, gets it whatever it loses.
        chosen = len(self.recipes) > 1 and not self.plan.max_size
        limits = bool(self.plan.budget) or chosen
        return self.tell(picks.judged(row, self.plan, limits_loss=limits))

    def _make(self) -> None:
        compiled = [ALIASES.get(n, n) for n in metric_names(self.model)]
        known = self.memory.row(Recipe())
        before = Row.from_dict(known.row) if known else None
        baseline = self.bench.baseline(self.model, self.plan.metric, compiled, before)
        self._tell_metric()
        self.recall(known) if known else self.tell(baseline)
        self.trained.float_file_of_model = self.bench.float_file
        if self.plan.searches:
            from nb_optimizer.core.compression.search import Search  # noqa: PLC0415 - as needed

            Search(self).run()
        else:
            for recipe in self.recipes:
                make(self, recipe)
        self._pick()

    def _pick(self) -> None:
        chosen = picks.choose(self.result.rows, self.plan)
        self.emit(ev.Picked(time.time(), chosen))
        self.watcher.show(self.result)
        if self.plan.out_dir and "best" in chosen:
            self.note(f"written to {self.result.best.export(self.plan.out_dir)}")

    def _begin(self) -> None:
        if self.memory.begin is None:
            self.emit(replace(self._opening, time=time.time(), run=self.path.name))
            self.emit(ev.Layers(time.time(), kernels.table(self.model)))
            if self.plan.resume:
                self.note(resume.NOTHING)
        else:
            for event in self.memory.events:
                if isinstance(event, ev.RunBegin | ev.Layers | ev.Note):
                    self.record.apply(event)
            self.emit(ev.Resumed(time.time(), 0, 1, *this_process()))
        if self._of_model:
            self.note(self._of_model)
        if few := data_module.few_rows(self.held_out):
            self.note(few, "warning")
        if self.devices and not (self.plan.searches or any(r.trains for r in self.recipes)):
            self.note("--devices changes nothing: nothing here is fine-tuned")

    def _tell_metric(self) -> None:
        metric, rows = self.bench.metric, len(self.bench.held_out)
        assert metric is not None  # noqa: S101 - the baseline has chosen it
        direction = "max" if metric.sign > 0 else "min"
        if self.record.begin.monitor != metric.name:
            self.emit(replace(self.record.begin, monitor=metric.name, direction=direction))
        if metric.relative or not self.plan.budget:
            return
        if resolution(rows) > self.plan.allowed_loss:
            self.note(
                f"{rows} held-out rows tell losses apart to about ±{resolution(rows):.1%}; "
                f"a budget of {self.plan.budget} needs about "
                f"{int(0.02 * (1.96 / self.plan.allowed_loss) ** 2):,} rows",
                "warning",
            )

    def _end(self, status: str, reason: str) -> None:
        if status != "completed" and not self.record.picks and self.result.rows:
            self.emit(ev.Picked(time.time(), picks.choose(self.result.rows, self.plan)))
        for error in self._faults[:1]:
            self.note(f"the run cannot be written ({error.strerror})", "warning")
        failed = [r for r in self.result.rows if r.status == FAILED]
        if status == "completed" and failed and not self.result.candidates:
            reason = f"no candidate could be made: {failed[0].reason}"
        self.emit(ev.RunEnd(time.time(), status, reason, self.clock.seconds))
        self._journal.close()
        stores.open_here.discard(self.path.resolve())
        self.watcher.show(self.result)


def _recipe(given: Any) -> Recipe:
    if not isinstance(given, dict):
        message = f"--recipe takes a compression's .recipe, got {type(given).__name__}."
        raise UserError(message)
    return Recipe.from_dict(given)
