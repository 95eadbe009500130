"""The search for the smallest or fastest model within an allowed loss, cheapest steps first.

1. Number formats that need no training.
2. Four bits for the operations that bear them.
3. With training data, a ladder of ever sparser models (target ``gzip``), each started from the
   one before, or of ever narrower ones (``size``, ``latency``), until one loses too much; then
   one rung in between.
4. Shared values and quantization-aware training on the last good rungs.
5. The best are measured again on all held-out rows, by the file, in a fresh process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nb_optimizer.core.compression import kernels, lamp, picks
from nb_optimizer.core.compression.finetune import TimeIsUpError
from nb_optimizer.core.compression.mixed import Sensitivity
from nb_optimizer.core.compression.recipe import Recipe
from nb_optimizer.core.compression.row import FAILED, MEASURED, Row
from nb_optimizer.core.errors import UserError

if TYPE_CHECKING:
    from nb_optimizer.core.compression.session import Compressing

Rung = Callable[[float, Recipe | None], Recipe]
_FORMATS = {
    "size": ("float16", "dynamic", "int8", "int4"),
    "gzip": ("dynamic", "int8", "int4"),
    "latency": ("dynamic", "int8"),
}
_SPARSE = (0.8, 0.9, 0.94, 0.96, 0.975, 0.985)
_NARROW = (0.25, 0.4, 0.55, 0.7, 0.8)
_CLUSTERS = (16, 8)
_SUBSET = 4000  # rows for choosing, where there are twice as many
_CONFIRMED = 3
_EIGHT = ("int8", "dynamic")
_EQUAL = 1.03  # sizes that are as good as equal
_SHARE = 0.1  # of the time, for one rung
_FINISH = 0.4  # of the time, kept for what comes after the ladder
_EPOCHS = (2, 14)  # least and most for one rung
_SMALL = 1024  # weights of a convolution
_FIRST = 4  # epochs of the first rung, which tells how long one takes
_SLACK = 2.0  # a rung may lose this many times the budget before the ladder ends


class Search:
    """Searches for one session; every step is a row of the table."""

    def __init__(self, session: Compressing) -> None:
        self._session, self._plan = session, session.plan
        self._target = session.plan.target
        self._epochs = session.plan.epochs
        self._slow: float | None = None  # seconds of one epoch
        self._missed: Recipe | None = None  # the last rung that lost too much
        self._form = Recipe(quantize="int8")  # the number format behind every rung

    def run(self) -> None:
        """Do every step that time allows, then confirm the best."""
        session = self._session
        rows = len(session.bench.held_out)
        if rows >= 2 * _SUBSET:
            session.bench.narrow(_SUBSET, self._plan.seed)
            session.note(f"chosen on {_SUBSET:,} held-out rows, confirmed on all {rows:,}")
        try:
            self._formats()
            self._trained()
        except TimeIsUpError:
            session.note(f"the time of {self._plan.time or '10m'} was over before every step")
        session.bench.widen()
        self._confirm()

    # ---- steps

    def _formats(self) -> None:
        for form in _FORMATS[self._target]:
            self._try(Recipe(quantize=form))
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
            self._try(Recipe(quantize="int8", formats=spared))

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
            self._try(replace(base, formats=formats))

    def _trained(self) -> None:
        session = self._session
        if session.train is None:
            session.note("without --train only number formats were tried")
            return
        gzip = self._target == "gzip"
        rung = self._sparser if gzip else self._narrower
        self._finish(self._climb(_SPARSE if gzip else _NARROW, rung))
        while self._missed is not None:
            self._finish(self._longer(self._missed))

    def _climb(self, ladder: tuple[float, ...], rung: Rung) -> list[Recipe]:
        """Go up until a rung loses too much; return the good rungs, the best last."""
        good: list[Recipe] = []
        last: Recipe | None = None
        passed = 0.0
        for share in ladder:
            if good and self._session.seconds_left() < _FINISH * self._plan.seconds:
                break
            try:
                recipe = rung(share, last)
            except UserError as reason:
                self._session.note(f"no ladder: {reason}")
                break
            row = self._try(recipe)
            if row.status == FAILED:
                break
            last = recipe
            if row.status == MEASURED:
                good.append(recipe)
                self._missed, passed = None, share
                continue
            near = row.drop <= _SLACK * self._plan.allowed_loss
            self._missed = recipe if near else None
            if good:
                between = rung((passed + share) / 2, good[-1])
                if self._try(between).status == MEASURED:
                    good.append(between)
            if good or not near:
                break
        return good

    def _longer(self, missed: Recipe) -> list[Recipe]:
        """Train the rung that lost too much for twice as long; return it if that was enough."""
        self._missed = None
        if self._plan.epochs is not None or missed.epochs > 2 * _EPOCHS[1]:
            return []
        recipe = replace(missed, epochs=2 * missed.epochs)
        if self._try(recipe).status != MEASURED:
            self._missed = recipe
            return []
        return [recipe]

    def _sparser(self, share: float, last: Recipe | None) -> Recipe:
        chosen, _ = kernels.choose(self._session.model)
        if not chosen:
            message = "no kernel is large enough to prune"
            raise UserError(message)
        layers = lamp.sparsities(chosen, share)
        start = replace(last, quantize="", formats={}).to_dict() if last else {}
        return replace(
            self._form, prune=f"{share:g}", layers=layers, start=start, engine=self._plan.engine,
            epochs=self._rung_epochs(),
        )  # fmt: skip

    def _narrower(self, share: float, last: Recipe | None) -> Recipe:  # noqa: ARG002 - a rung
        return replace(self._form, shrink=share, epochs=self._rung_epochs())

    def _finish(self, good: list[Recipe]) -> None:
        """Share values and train with rounding, from the furthest rung downwards.

        A rung that lost a little too much is among them: this is training, too, and may heal it.
        """
        near = [self._missed] if self._missed is not None else []
        for base in (*near, *good[:-3:-1]):
            for recipe in self._refined(base):
                row = self._try(recipe)
                if row.status == FAILED or row.drop > _SLACK * self._plan.allowed_loss:
                    break

    def _refined(self, base: Recipe) -> list[Recipe]:
        static = base.quantize == "int8"  # dynamic formats round activations as they come
        if self._target == "gzip":
            return [replace(base, cluster=count, qat=static) for count in _CLUSTERS]
        rounded = replace(base, quantize="int8", qat=True)
        four = replace(base, quantize="int4", qat=True, formats={})
        return [rounded, four] if self._target == "size" else [rounded]

    def _confirm(self) -> None:
        """Measure the best again on all rows, until one of them holds."""
        session = self._session
        for _ in range(_CONFIRMED):
            made = picks.choose(session.result.rows, self._plan)
            row = next((r for r in session.result.rows if r.number == made.get("best")), None)
            if row is None or row.confirmed:
                return
            session.confirm(row)

    # ---- inside

    def _try(self, recipe: Recipe) -> Row:
        if self._session.seconds_left() <= 0:
            raise TimeIsUpError
        row = self._session.candidate(recipe)
        if recipe.trains and row.status != FAILED and self._slow is None:
            self._slow = row.seconds / recipe.epochs  # by the row: a resume decides as before
        return row

    def _rung_epochs(self) -> int:
        """Return how many epochs a rung may take: a share of the time, from what was measured."""
        if self._epochs is not None:
            return self._epochs
        if self._slow is None:
            return _FIRST
        least, most = _EPOCHS
        return max(least, min(most, int(_SHARE * self._plan.seconds / self._slow)))


def _is_small(operation: dict[str, Any]) -> bool:
    return bool(operation["kind"] == "CONV_2D" and operation["weights"] < _SMALL)


def _has_four(row: Row) -> bool:
    return "int4" in row.recipe.get("formats", {}).values()
