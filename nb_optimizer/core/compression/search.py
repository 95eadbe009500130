"""The search for the smallest or fastest model within an allowed loss, cheapest steps first.

1. Number formats that need no training.
2. Four bits for the operations that bear them.
3. With training data, channels that are zero on all of it go, and the float model is fine-tuned:
   where that makes it better, what is trained afterwards begins with it, learns from it and is
   compared with it, or with one that was fine-tuned for as long: like with like.
4. Target ``gzip``: ever sparser models with shared values (``sparse``). Else ever narrower ones,
   and training with rounding on the last good ones (``ladder``).
5. The best are measured again on all held-out rows, by the file, in a fresh process.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

from nb_optimizer.core.compression import graph, idle, picks
from nb_optimizer.core.compression.finetune import TimeIsUpError
from nb_optimizer.core.compression.ladder import Ladder
from nb_optimizer.core.compression.mixed import Sensitivity
from nb_optimizer.core.compression.recipe import Recipe
from nb_optimizer.core.compression.resume import OVER
from nb_optimizer.core.compression.row import FAILED, MEASURED, Row
from nb_optimizer.core.compression.spared import spared
from nb_optimizer.core.compression.sparse import Sparse
from nb_optimizer.core.errors import UserError, listing

if TYPE_CHECKING:
    from nb_optimizer.core.compression.session import Compressing

_FORMATS = {
    "size": ("float16", "dynamic", "int8", "int4"),
    "gzip": ("dynamic", "int8", "int4"),
    "latency": ("dynamic", "int8"),
}
_SUBSET = 4000  # rows for choosing at least, where there are twice as many
_LOOK = 2.0  # seconds that predicting them may take
_CONFIRMED = 8  # of a kind are measured again at most; each may fall, and another follow
_BRIEF = 20.0  # seconds that predicting all rows may take, for a pick that is not the best
_EIGHT = ("int8", "dynamic")
_EQUAL = 1.03  # sizes that are as good as equal
_TUNING = 0.13  # of the time, for fine-tuning the float model
_EPOCHS = 2  # of one rung, at least
_PAYS = 1.2  # times as fast as float: with less, a narrower float model may be the fastest
_TUNED = 30  # epochs of fine-tuning the float model, at most
_REST = 0.8  # of what is left, for fine-tuning the float model as long as the best in the end
_LOOKING = 0.05  # of the time, for finding idle channels


class Search:
    """Searches for one session; every step is a row of the table."""

    def __init__(self, session: Compressing) -> None:
        self._session, self._plan = session, session.plan
        self._target = session.plan.target
        self._slow: float | None = None  # seconds of one epoch
        self.base: Recipe | None = None  # the float model that all training begins with
        self._form = Recipe(quantize="int8")  # the number format behind every rung
        self._forms: list[Recipe] = []  # the others, which may be faster for a narrower model

    def run(self) -> None:
        """Do every step that time allows, then confirm the best."""
        session = self._session
        rows, enough = len(session.bench.held_out), self._enough()
        if rows >= 2 * enough:
            session.bench.narrow(enough, self._plan.seed)
            session.note(f"chosen on {enough:,} held-out rows, confirmed on all {rows:,}")
        try:
            self._formats()
            self._trained()
        except TimeIsUpError:
            session.memory.keep(OVER, seconds=self._plan.seconds)
            session.note(f"the time of {self._plan.time or '10m'} was over before every step")
        else:
            if session.memory.get(OVER):  # it was before a resume, and is no more
                session.memory.keep(OVER, seconds=self._plan.seconds)
        self._tune_as_long()
        session.bench.widen()
        self._confirm()

    def _enough(self) -> int:
        """Return how many rows to choose on: as many as the float file takes in two seconds."""
        slow = self._session.result.rows[0].latency_ms / 1000
        return max(_SUBSET, int(_LOOK / max(slow, 1e-6)))

    # ---- steps

    def _formats(self) -> None:
        for form in _FORMATS[self._target]:
            self.attempt(Recipe(quantize=form))
        if (other := spared(self._session, Recipe(quantize="int8"))) is not None:
            self.attempt(other)
        self._form = self._choose_format()
        if self._target != "latency" and not self._plan.max_size:
            self._mixed(Recipe(quantize="int8"))

    def _choose_format(self) -> Recipe:
        """Return what behind every rung comes: of equally small 8-bit formats the gentlest.

        For the target latency it is the fastest, which may be float. For gzip it is ``dynamic``
        where that serves: it rounds activations by the range that each run has, so that few
        values need no training with rounding on top.
        """
        rows = [r for r in self._session.result.rows if r.status != FAILED and r.number]
        every = [r for r in rows if r.recipe.get("quantize") in _EIGHT and not _has_four(r)]
        if not every:
            return Recipe(quantize="dynamic")
        if self._target == "latency":
            fastest, *self._forms = _by_speed(every)
            return fastest
        least = min(r.cost(self._target) for r in every)
        equal = [r for r in every if r.cost(self._target) <= _EQUAL * least]
        return Recipe.from_dict(min(equal, key=self._order).recipe)

    def _order(self, row: Row) -> tuple[bool, float]:
        """Return by what formats of the same size are chosen: the least first."""
        spares = self._target == "gzip" and row.recipe["quantize"] == "dynamic"
        return not (spares and row.drop <= self._plan.allowed_loss), row.drop

    def _mixed(self, base: Recipe) -> None:
        session = self._session
        every = [r for r in session.result.rows if r.name == "int4"]
        if every and every[0].status == MEASURED:
            return  # all of it bears 4 bits
        _, source, _ = session.trained.float_file(base)
        found = Sensitivity(session.bench, source, base, self._plan.allowed_loss)
        formats = found.best(session.seconds_left)
        if formats:
            self.attempt(replace(base, formats=formats))

    def _trained(self) -> None:
        session = self._session
        if session.train is None:
            session.note("without --train only number formats were tried")
            return
        self._trim()
        self._tune()
        if self._target == "gzip":
            Sparse(self, session, self._form).run()
            return
        Ladder(self, session, self._form, self._forms).run()

    def _trim(self) -> None:
        """Take away the channels that do nothing, if there are any."""
        session = self._session
        if not graph.has_graph(session.model):
            return  # the first row of a ladder says that such a model cannot be trained on
        found = idle.known(session, _LOOKING * self._plan.seconds)
        if not found:
            return
        told = listing(f"{name} ({len(which)})" for name, which in found.items())
        session.note(f"zero on all training data, so these channels go: {told}")
        trimmed = Recipe(trim=True)
        row = self.attempt(replace(self._form, trim=True), free=True)
        if row.status == MEASURED:
            self.base = trimmed

    def _tune(self) -> None:
        """Fine-tune the float model, where that makes it better: what is trained is held to it."""
        start = self.base.to_dict() if self.base else {}
        recipe = Recipe(tune=True, epochs=self.epochs(_TUNING, _TUNED), start=start)
        row = self.attempt(recipe)
        if row.status != FAILED and row.drop < 0:
            self.base = recipe
        elif row.status != FAILED:
            self._session.note("fine-tuning alone does not make the float model better")

    def tune_on(self, epochs: int, start: Recipe | None = None) -> None:
        """Fine-tune the float model for as long as what will be held against it."""
        start = start or self.base
        if start is not None and start.teacher is not None:
            self.attempt(Recipe(tune=True, epochs=epochs, start=start.to_dict()))

    def tuning(self, epochs: int) -> float:
        """Return how many seconds :meth:`tune_on` takes for so many epochs."""
        tuned = picks.tuned(self._session.result.rows)
        if not tuned:
            return 0.0
        return epochs * tuned[0].seconds / Recipe.from_dict(tuned[0].recipe).epochs

    def best_float(self) -> Recipe | None:
        """Return how the most accurate of the fine-tuned float models was made, if there is one."""
        if self.base is None or self.base.teacher is None:
            return self.base
        best = min(picks.tuned(self._session.result.rows), key=lambda r: r.drop)
        return Recipe.from_dict(best.recipe)

    def _tune_as_long(self) -> None:
        """Give the float model that the best began with as many epochs, or say why not."""
        row, tuned = self._best(), picks.tuned(self._session.result.rows)
        if row is None or self.base is None or not row.against or not tuned:
            return
        if tuned[-1].passes >= row.passes:
            return
        start = Recipe.from_dict(row.recipe).teacher_of_start or self.base
        epochs = row.passes - start.passes
        with contextlib.suppress(TimeIsUpError):
            if self.tuning(epochs) < _REST * self._session.seconds_left():
                self.tune_on(epochs, start)
                return
        self._session.note(
            f"too little time to fine-tune the float model for as long as {row.name}"
        )

    def _best(self) -> Row | None:
        made = picks.choose(self._session.result.rows, self._plan)
        return next((r for r in self._session.result.rows if r.number == made.get("best")), None)

    def _confirm(self) -> None:
        """Measure the best again on all rows, until one of them holds; then the other picks.

        Of one timing each, the fastest is often the luckiest, so all that come near are measured.
        """
        session = self._session
        for tuned in picks.tuned(session.result.rows):
            session.confirm(tuned)
        if self._target == "latency":
            for rival in picks.rivals(session.result.rows, self._target)[:_CONFIRMED]:
                if self._is_brief(rival):
                    session.confirm(rival)
        for _ in range(_CONFIRMED):
            row = self._best()
            if row is None or row.confirmed:
                break
            session.confirm(row)
        for _ in range(_CONFIRMED):
            waiting = [r for r in self._picked() if self._is_worth_confirming(r)]
            if not waiting:
                return
            session.confirm(waiting[0])

    def _picked(self) -> list[Row]:
        rows = self._session.result.rows
        numbers = set(picks.choose(rows, self._plan).values())
        return [r for r in rows if r.number in numbers]

    def _is_worth_confirming(self, row: Row) -> bool:
        """Whether a pick has more to tell, and all rows take little time.

        It was chosen on a part of them, or held to a float model that was trained for less long
        than the one that there is now.
        """
        rows, against = len(self._session.bench.held_out), self._session.against(row.recipe)
        other = against is not None and against.number != row.against
        left = not row.confirmed and (row.samples < rows or other)
        return left and self._is_brief(row)

    def _is_brief(self, row: Row) -> bool:
        return len(self._session.bench.held_out) * row.latency_ms / 1000 < _BRIEF

    # ---- what every step asks for

    def attempt(self, recipe: Recipe, *, free: bool = False) -> Row:
        """Return the row of a recipe; ``TimeIsUpError`` where no time is left for it.

        One that is ``free`` takes what was trained already, so its time tells nothing of epochs.
        """
        if self._session.seconds_left() <= 0:
            raise TimeIsUpError
        row = self._session.candidate(recipe)
        one_step = recipe.trains and not (free or recipe.cluster or recipe.qat)
        if one_step and row.status != FAILED:
            self._slow = row.seconds / recipe.epochs  # by the row: a resume decides as before
        return row

    def epochs(self, share: float, most: int) -> int:
        """Return how many epochs take this share of the time, from what one has taken."""
        if self._plan.epochs is not None:
            return self._plan.epochs
        if self._slow is None:
            try:
                self._slow = self._session.trained.pace()
            except UserError:  # it cannot be trained on: the first row that tries says why
                return _EPOCHS
        seconds = self._session.memory.seconds(self._plan)
        return max(_EPOCHS, min(most, int(share * seconds / self._slow)))


def _by_speed(rows: list[Row]) -> list[Recipe]:
    """Return formats, the fastest first; float among them where 8 bits gain little or lose."""
    speeds = [(row.speedup, Recipe.from_dict(row.recipe)) for row in rows]
    if max(speed for speed, _ in speeds) < _PAYS:
        speeds.append((1.0, Recipe()))
    return [recipe for _, recipe in sorted(speeds, key=lambda pair: -pair[0])]


def _has_four(row: Row) -> bool:
    return "int4" in row.recipe.get("formats", {}).values()
