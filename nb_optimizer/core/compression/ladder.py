"""The smallest or the fastest model: ever narrower ones, and training with rounding on the best.

A rung takes channels away and is trained. While rungs stay within the allowed loss the next one
follows; what lost a little too much is trained for longer, and where that is enough the ladder
goes on from there. For the target ``latency`` single layers get narrower (``narrow``) and each
good rung is timed in every format; else all layers do alike.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nb_optimizer.core.compression.narrow import SHARES, Narrow
from nb_optimizer.core.compression.recipe import Recipe
from nb_optimizer.core.compression.row import FAILED, MEASURED, Row

if TYPE_CHECKING:
    from nb_optimizer.core.compression.search import Search
    from nb_optimizer.core.compression.session import Compressing

_SHARES = (0.25, 0.4, 0.55, 0.7, 0.8)  # of all channels
_SHARE, _EPOCHS = 0.1, 16  # of the time, and epochs at most, for one rung at first
_FINISH = 0.4  # of the time, kept for what comes after the ladder
_SLACK = 2.0  # this many times the allowed loss may be healed, with rounding or for longer
_FAR = 4.0  # and much longer training this many times
_LONGER = (4, 2)  # times as many epochs, where they fit into
_REST = 0.8  # of the time that is left
_WHOLE = Recipe()  # from which nothing was taken away
_EQUAL = 1.05  # costs that are as good as equal, as far as one timing tells
_MISSES = 3  # rungs that may lose too much before the ladder ends


class Ladder:
    """Climbs for one search.

    Args:
        search: who makes the rows.
        session: where they are kept.
        form: the number format behind every rung.
        forms: the others, which may be faster for a narrower model.
    """

    def __init__(
        self, search: Search, session: Compressing, form: Recipe, forms: list[Recipe]
    ) -> None:
        self._search, self._session = search, session
        self._plan, self._allowed = session.plan, session.plan.allowed_loss
        self._form, self._forms = form, forms
        self._base: Recipe | None = None  # the float model that rungs begin with and learn from
        self._rungs: list[Recipe] = []
        self._missed: list[Row] = []  # rungs that lost too much, but not by far
        self._refinements: set[str] = set()  # made already

    def run(self) -> None:
        """Make rungs until none is left, or until too many have lost too much."""
        self._rungs = [Recipe(shrink=share) for share in _SHARES]
        if self._plan.target == "latency":
            found = Narrow(self._session, self._search.base or Recipe(), self._form).rungs()
            self._rungs = [Recipe(widths=widths) for widths in found] or self._rungs
        first = self._trained(_WHOLE)
        self._search.tune_on(first.epochs + first.short)
        self._base = self._search.best_float()
        self._finish(self._climb(self._rungs))
        while (missed := self._promising()) is not None:
            self._finish(self._longer(missed), longer=True)

    def _climb(
        self, rungs: list[Recipe], passed: Recipe = _WHOLE, epochs: int | None = None
    ) -> list[Recipe]:
        """Go up from what has ``passed`` until too many rungs lose too much.

        Returns the good ones, the best last.
        """
        good: list[Recipe] = []
        misses, left = 0, list(rungs)
        while left and misses < _MISSES:
            if (good or epochs) and self._is_late(epochs):
                break
            rung = left.pop(0)
            row = self._made(self._trained(rung, epochs))
            if row.status == FAILED:
                break
            if row.status == MEASURED:
                good.append(self._fastest(row))
                passed = rung
                continue
            misses += 1
            near = row.drop <= _FAR * self._allowed
            if near:
                self._missed.append(row)
            left = _around(passed, rung, left, near=near)
        return good

    def _is_late(self, epochs: int | None) -> bool:
        """Whether another rung leaves too little time for what comes after it.

        That is training with rounding; or, after long training for so many ``epochs``, the float
        model's own, without which nobody knows what the best has really lost.
        """
        left = self._session.seconds_left()
        if epochs:
            return _REST * left < 2 * self._search.tuning(epochs)
        return left < _FINISH * self._plan.seconds

    def _promising(self) -> Row | None:
        """Return the missed rung to train for longer, of those that would be the best.

        It is the cheapest of those that longer training is likely to heal, else the one that needs
        the least of it. It is missed no more; what would not be the best is left out for good.
        """
        self._missed = [row for row in self._missed if self._leads(row)]
        if not self._missed:
            return None
        near = [row for row in self._missed if row.drop <= _SLACK * self._allowed]
        if near:
            row = min(near, key=lambda r: r.cost(self._plan.target))
        else:
            row = min(self._missed, key=lambda r: r.drop)
        self._missed.remove(row)
        return row

    def _fastest(self, row: Row) -> Recipe:
        """Return a good rung in the fastest of the formats that need no training."""
        rung = Recipe.from_dict(row.recipe)
        others = [replace(rung, quantize=f.quantize, formats=f.formats) for f in self._forms]
        rows = [row, *(self._made(other, free=True) for other in others)]
        fastest = max((r for r in rows if r.status == MEASURED), key=lambda r: r.speedup)
        return Recipe.from_dict(fastest.recipe)

    def _longer(self, missed: Row) -> list[Recipe]:
        """Train a rung that lost too much for longer; go on from there if that is enough."""
        recipe = Recipe.from_dict(missed.recipe)
        left = _REST * self._session.seconds_left()
        of_float = self._search.tuning(recipe.epochs)  # which is trained as long in the end
        fits = [n for n in _LONGER if n * (missed.seconds + of_float) < left]
        if self._plan.epochs is not None or not fits:
            return []
        recipe = replace(recipe, epochs=fits[0] * recipe.epochs)
        row = self._made(recipe)
        if row.status != MEASURED:
            if row.status != FAILED and row.drop <= _SLACK * self._allowed:
                self._missed.append(row)
            return []
        beyond = [r for r in self._rungs if _is_narrower(r, recipe)]
        return [self._fastest(row), *self._climb(beyond, recipe, recipe.epochs)]

    def _made(self, recipe: Recipe, *, free: bool = False) -> Row:
        """Return the row of a rung; two climbs may come to the same one."""
        rows = self._session.result.rows
        known = next((row for row in rows if row.recipe == recipe.to_dict()), None)
        return known or self._search.attempt(recipe, free=free)

    def _leads(self, missed: Row) -> bool:
        """Whether a rung that lost too much would be the best, if it lost less."""
        target, rows = self._plan.target, self._session.result.rows
        made = [r for r in rows if r.status == MEASURED and not r.is_reference]
        return all(missed.cost(target) < _EQUAL * r.cost(target) for r in made)

    def _trained(self, rung: Recipe, epochs: int | None = None) -> Recipe:
        return replace(
            self._form, shrink=rung.shrink, widths=rung.widths,
            start=self._base.to_dict() if self._base else {},
            epochs=epochs or self._search.epochs(_SHARE, _EPOCHS),
        )  # fmt: skip

    def _finish(self, good: list[Recipe], *, longer: bool = False) -> None:
        """Train with rounding, from the furthest rung downwards.

        A rung that lost a little too much is among them: this is training, too, and may heal it.
        After ``longer`` training it must leave time for the float model's own.
        """
        most = _SLACK * self._allowed
        near = sorted((r for r in self._missed if r.drop <= most), key=lambda r: r.drop)
        for base in (*(Recipe.from_dict(r.recipe) for r in near[:1]), *good[:-3:-1]):
            for recipe in self._refined(base):
                if longer and self._is_late(recipe.epochs + recipe.short):
                    return
                row = self._search.attempt(recipe)
                if row.status == FAILED or row.drop > most:
                    break

    def _refined(self, base: Recipe) -> list[Recipe]:
        if not self._form.quantize:  # float is the fastest here, and rounding gains nothing
            return []
        made = [replace(base, quantize="int8", qat=True)]
        if self._plan.target == "size":
            made.append(replace(base, quantize="int4", qat=True, formats={}))
        new = [recipe for recipe in made if recipe.key not in self._refinements]
        self._refinements.update(recipe.key for recipe in new)
        return new


def _is_narrower(rung: Recipe, than: Recipe) -> bool:
    """Whether a rung takes away all that another one does, and more."""
    if not than.widths:
        return rung.shrink > than.shrink
    return rung.widths != than.widths and all(
        rung.widths.get(name, 0.0) >= share for name, share in than.widths.items()
    )


def _around(
    passed: Recipe, missed: Recipe, left: list[Recipe], *, near: bool = False
) -> list[Recipe]:
    """Return what to try after a rung that lost too much.

    Between two shares of all channels there is one. The step of a single layer is left out of
    what is left, and halved once before that where its loss was ``near`` to what is allowed.
    """
    if not missed.widths:
        middle = (passed.shrink + missed.shrink) / 2
        return [Recipe(shrink=middle)] if passed.shrink else []
    before = passed.widths
    refused = {n for n, share in missed.widths.items() if share != before.get(n)}
    halves = {n: (before.get(n, 0.0) + missed.widths[n]) / 2 for n in refused}
    once = near and all(missed.widths[n] in SHARES for n in refused)
    others = [Recipe(widths={**before, **halves})] if once else []
    for rung in left:
        widths = {n: s for n, s in rung.widths.items() if n not in refused}
        widths |= {n: s for n, s in before.items() if n in refused}
        if widths != before and Recipe(widths=widths) not in others:
            others.append(Recipe(widths=widths))
    return others
