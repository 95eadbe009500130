"""The smallest model after gzip: how sparse it can be with a few shared values.

A rung is pruned to a share, layer by layer, and then takes few different values: sixteen, and
eight where sixteen leave room. The layers that hold few of the weights take more of them, for
there they cost nothing, and the last layer, which is not pruned, too. While rungs stay within the
allowed loss they get sparser; while none does they get denser; in the end the search halves what
lies between. Each begins with the fine-tuned float model, so that all are trained for equally long,
and another float model is, which they are compared with.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nb_optimizer.core.compression import kernels, lamp
from nb_optimizer.core.compression.recipe import Recipe
from nb_optimizer.core.compression.row import FAILED, MEASURED

if TYPE_CHECKING:
    from nb_optimizer.core.compression.search import Search
    from nb_optimizer.core.compression.session import Compressing

_DENSITY = 0.14  # of the first rung: share of the weights that stay
_FURTHER, _BACK, _CLOSE = 0.7, 1.8, 0.88  # largest steps of the density, and a closed gap
_LAST = 0.95  # the gentlest step
_POWER = 0.6  # of the density to which a loss is about inversely proportional, to the minus one
_DENSEST, _SPARSEST = 0.5, 0.01
_CLUSTERS = (16, 8)
_ROOM = 0.5  # of the allowed loss, up to which fewer values are tried
_FINER, _FINEST = 4, 64  # times as many values for small layers, and what a file has one scale for
_MINOR = 0.1  # of all weights, for a layer that counts as small
_SHARE, _EPOCHS = 0.13, 30  # of the time, and epochs at most, for pruning one rung
_HEAL = 2.0  # sharing values is training, too: it may heal this many times the allowed loss


class Sparse:
    """Climbs for one search; ``form`` is the number format behind every rung."""

    def __init__(self, search: Search, session: Compressing, form: Recipe) -> None:
        self._search, self._session, self._form = search, session, form
        self._start = search.base or Recipe()
        start = session.trained.model(search.base) if search.base else session.model
        self._chosen, self._left = kernels.choose(start)
        self._whole = sum(k.size for k in kernels.choose(session.model)[0])
        self._allowed = session.plan.allowed_loss

    def run(self) -> None:
        """Make rungs until the gap between the good and the bad is closed."""
        if not self._chosen:
            self._session.note("no ladder: no kernel is large enough to prune")
            return
        epochs = self._search.epochs(_SHARE, _EPOCHS)
        longest = self._pruned(_DENSITY, epochs)
        self._search.tune_on(longest.epochs + longest.short)
        good = bad = 0.0
        density = _DENSITY
        while density:
            tried = self._holds(self._pruned(density, epochs))
            if tried is None:
                return
            held, drop = tried
            good, bad = (density, bad) if held else (good, density)
            density = _next(good, bad, drop / self._allowed)

    def _pruned(self, density: float, epochs: int) -> Recipe:
        # Of the weights that the model was handed in with, idle channels among them.
        here = sum(k.size for k in self._chosen)
        share = round(max(0.0, 1 - density * self._whole / here), 3)
        return replace(
            self._form, prune=f"{share:g}", layers=lamp.sparsities(self._chosen, share),
            start=self._start.to_dict(), engine=self._session.plan.engine, epochs=epochs,
        )  # fmt: skip

    def _holds(self, rung: Recipe) -> tuple[bool, float] | None:
        """Return whether a rung stays within the allowed loss with few values, and what it loses.

        ``None`` if it failed.
        """
        row = self._search.attempt(rung)
        if row.status == FAILED:
            return None
        drop = row.drop
        if drop > _HEAL * self._allowed:
            return False, drop
        static, held = rung.quantize == "int8", False  # else activations are rounded as they come
        for count in _CLUSTERS:
            shared = replace(rung, cluster=count, values=self._finer(count), qat=static)
            row = self._search.attempt(shared)
            drop = row.drop if count == _CLUSTERS[0] else drop
            held = held or row.status == MEASURED
            if row.status != MEASURED or row.drop > _ROOM * self._allowed:
                break
        return held, drop

    def _finer(self, count: int) -> dict[str, int]:
        whole = sum(k.size for k in self._chosen)
        small = [k.name for k in self._chosen if k.size < _MINOR * whole]
        small += [name for name, why in self._left.items() if why == kernels.END]
        return dict.fromkeys(small, min(_FINEST, _FINER * count))


def _next(good: float, bad: float, loss: float) -> float:
    """Return the density of the next rung; 0 where no other is worth the time.

    Args:
        good: the lowest density that held, or 0.
        bad: the highest that did not, or 0.
        loss: what the last one lost, as a part of what is allowed.
    """
    step = max(loss, 0.0) ** _POWER  # to where the allowed loss is expected
    if not bad:
        further = good * min(max(step, _FURTHER), _LAST)
        return further if further >= _SPARSEST else 0.0
    if not good:
        back = bad * min(max(step, 1 / _LAST), _BACK) / _LAST
        return back if back <= _DENSEST else 0.0
    return (good * bad) ** 0.5 if bad / good < _CLOSE else 0.0
