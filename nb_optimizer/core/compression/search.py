"""The search for the smallest or fastest model within an allowed loss, cheapest steps first.

1. Number formats that need no training.
2. Four bits for the operations that bear them.
3. With training data, the float model is fine-tuned: where that makes it better, what is trained
   afterwards begins with it, learns from it and is compared with it, like with like.
4. Target ``gzip``: ever sparser models with shared values (``sparse``). Else a ladder of ever
   narrower ones until one loses too much, then one in between, and training with rounding on the
   last good ones. What lost a little too much is trained for longer, and where that is enough the
   ladder goes on from there. For the target ``latency`` each good rung is timed in every format.
5. The best are measured again on all held-out rows, by the file, in a fresh process.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nb_optimizer.core.compression import picks
from nb_optimizer.core.compression.finetune import TimeIsUpError
from nb_optimizer.core.compression.mixed import Sensitivity
from nb_optimizer.core.compression.recipe import Recipe
from nb_optimizer.core.compression.resume import OVER
from nb_optimizer.core.compression.row import FAILED, MEASURED, Row
from nb_optimizer.core.compression.sparse import Sparse

if TYPE_CHECKING:
    from nb_optimizer.core.compression.session import Compressing

_FORMATS = {
    "size": ("float16", "dynamic", "int8", "int4"),
    "gzip": ("dynamic", "int8", "int4"),
    "latency": ("dynamic", "int8"),
}
_NARROW = (0.25, 0.4, 0.55, 0.7, 0.8)
_SUBSET = 4000  # rows for choosing at least, where there are twice as many
_LOOK = 2.0  # seconds that predicting them may take
_CONFIRMED = 3
_EIGHT = ("int8", "dynamic")
_EQUAL = 1.03  # sizes that are as good as equal
_SHARE = 0.1  # of the time, for one rung
_TUNING = 0.2  # of the time, for fine-tuning the float model
_FINISH = 0.4  # of the time, kept for what comes after the ladder
_EPOCHS = (2, 16)  # least and most for one rung, at first
_SMALL = 1024  # weights of a convolution
_TUNED = 40  # epochs of fine-tuning the float model, at most
_SLACK = 2.0  # training with rounding may heal this many times the budget
_FAR = 4.0  # and much longer training this many times
_LONGER = (4, 2)  # times as many epochs, where they fit into
_REST = 0.8  # of the time that is left


class Search:
    """Searches for one session; every step is a row of the table."""

    def __init__(self, session: Compressing) -> None:
        self._session, self._plan = session, session.plan
        self._target = session.plan.target
        self._slow: float | None = None  # seconds of one epoch
        self.base: Recipe | None = None  # the fine-tuned float model that all training begins with
        self._missed: Row | None = None  # the last rung that lost too much
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
        self._spare_small()
        self._form = self._choose_format()
        if self._target != "latency" and not self._plan.max_size:
            self._mixed(Recipe(quantize="int8"))

    def _spare_small(self) -> None:
        """Leave small convolutions in float: 8 bits save nothing there and can slow them down."""
        session = self._session
        _, source, _ = session.trained.float_file(Recipe())
        small = [o for o in session.bench.operations(source) if _is_small(o)]
        if small:
            spared = {str(o["index"]): "float32" for o in small}
            self.attempt(Recipe(quantize="int8", formats=spared))

    def _choose_format(self) -> Recipe:
        """Return what behind every rung comes: of equally small 8-bit formats the gentlest.

        For the target latency it is the fastest.
        """
        rows = [r for r in self._session.result.rows if r.status != FAILED and r.number]
        every = [r for r in rows if r.recipe.get("quantize") in _EIGHT and not _has_four(r)]
        if not every:
            return Recipe(quantize="dynamic")
        if self._target == "latency":
            chosen = max(every, key=lambda r: r.speedup)
            self._forms = [Recipe.from_dict(r.recipe) for r in every if r is not chosen]
        else:
            least = min(r.cost(self._target) for r in every)
            equal = [r for r in every if r.cost(self._target) <= _EQUAL * least]
            chosen = min(equal, key=lambda r: r.drop)
        return Recipe.from_dict(chosen.recipe)

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
        self._tune()
        if self._target == "gzip":
            Sparse(self, session, self._form).run()
            return
        self._finish(self._climb())
        while self._missed is not None:
            self._finish(self._longer(self._missed))

    def _tune(self) -> None:
        """Fine-tune the float model, where that makes it better: what is trained is held to it."""
        recipe = Recipe(tune=True, epochs=self.epochs(_TUNING, _TUNED))
        row = self.attempt(recipe)
        if row.status != FAILED and row.drop < 0:
            self.base = recipe
        elif row.status != FAILED:
            self._session.note("fine-tuning alone does not make the float model better")

    def _climb(self, passed: float = 0.0, epochs: int | None = None) -> list[Recipe]:
        """Go up from what has ``passed`` until a rung loses too much.

        Returns the good rungs, the best last.
        """
        good: list[Recipe] = []
        for share in [s for s in _NARROW if s > passed]:
            if good and self._session.seconds_left() < _FINISH * self._plan.seconds:
                break
            row = self.attempt(self._narrower(share, epochs))
            if row.status == FAILED:
                break
            if row.status == MEASURED:
                good.append(self._fastest(row))
                self._missed, passed = None, share
                continue
            near = row.drop <= _FAR * self._plan.allowed_loss
            self._missed = row if near else None
            if good:
                between = self.attempt(self._narrower((passed + share) / 2, epochs))
                if between.status == MEASURED:
                    good.append(self._fastest(between))
            break
        return good

    def _fastest(self, row: Row) -> Recipe:
        """Return a good rung in the fastest of the formats that need no training."""
        rung = Recipe.from_dict(row.recipe)
        others = [replace(rung, quantize=f.quantize, formats=f.formats) for f in self._forms]
        slow = self._slow
        rows = [row, *(self.attempt(other) for other in others)]
        self._slow = slow  # these took what was trained already
        fastest = max((r for r in rows if r.status == MEASURED), key=lambda r: r.speedup)
        return Recipe.from_dict(fastest.recipe)

    def _longer(self, missed: Row) -> list[Recipe]:
        """Train the rung that lost too much for longer; go on from there if that is enough."""
        self._missed = None
        recipe = Recipe.from_dict(missed.recipe)
        fits = [n for n in _LONGER if n * missed.seconds < _REST * self._session.seconds_left()]
        if self._plan.epochs is not None or not fits:
            return []
        recipe = replace(recipe, epochs=fits[0] * recipe.epochs)
        row = self.attempt(recipe)
        if row.status != MEASURED:
            near = row.status != FAILED and row.drop <= _SLACK * self._plan.allowed_loss
            self._missed = row if near else None
            return []
        return [self._fastest(row), *self._climb(recipe.shrink, recipe.epochs)]

    def _narrower(self, share: float, epochs: int | None = None) -> Recipe:
        start = self.base.to_dict() if self.base else {}
        epochs = epochs or self.epochs(_SHARE, _EPOCHS[1])
        return replace(self._form, shrink=share, start=start, epochs=epochs)

    def _finish(self, good: list[Recipe]) -> None:
        """Train with rounding, from the furthest rung downwards.

        A rung that lost a little too much is among them: this is training, too, and may heal it.
        """
        missed, most = self._missed, _SLACK * self._plan.allowed_loss
        near = [Recipe.from_dict(missed.recipe)] if missed and missed.drop <= most else []
        for base in (*near, *good[:-3:-1]):
            for recipe in self._refined(base):
                row = self.attempt(recipe)
                if row.status == FAILED or row.drop > most:
                    break

    def _refined(self, base: Recipe) -> list[Recipe]:
        rounded = replace(base, quantize="int8", qat=True)
        four = replace(base, quantize="int4", qat=True, formats={})
        return [rounded, four] if self._target == "size" else [rounded]

    def _confirm(self) -> None:
        """Measure the best again on all rows, until one of them holds."""
        session = self._session
        wanted = self.base.to_dict() if self.base else None
        for tuned in [r for r in session.result.rows if r.recipe == wanted]:
            session.confirm(tuned)
        for _ in range(_CONFIRMED):
            made = picks.choose(session.result.rows, self._plan)
            row = next((r for r in session.result.rows if r.number == made.get("best")), None)
            if row is None or row.confirmed:
                return
            session.confirm(row)

    # ---- what every step asks for

    def attempt(self, recipe: Recipe) -> Row:
        """Return the row of a recipe; ``TimeIsUpError`` where no time is left for it."""
        if self._session.seconds_left() <= 0:
            raise TimeIsUpError
        row = self._session.candidate(recipe)
        one_step = recipe.trains and not (recipe.cluster or recipe.qat)
        if one_step and row.status != FAILED:
            self._slow = row.seconds / recipe.epochs  # by the row: a resume decides as before
        return row

    def epochs(self, share: float, most: int) -> int:
        """Return how many epochs take this share of the time, from what one has taken."""
        if self._plan.epochs is not None:
            return self._plan.epochs
        if self._slow is None:
            self._slow = self._session.trained.pace()
        seconds = self._session.memory.seconds(self._plan)
        return max(_EPOCHS[0], min(most, int(share * seconds / self._slow)))


def _is_small(operation: dict[str, Any]) -> bool:
    return bool(operation["kind"] == "CONV_2D" and operation["weights"] < _SMALL)


def _has_four(row: Row) -> bool:
    return "int4" in row.recipe.get("formats", {}).values()
