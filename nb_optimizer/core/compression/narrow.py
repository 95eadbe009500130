"""Which layers to narrow for speed, from what narrowing them gains and changes before training.

Kernels work on blocks of channels, so half a layer's channels can gain nearly all or nothing of
the time that arithmetic promises: it is measured. Each layer alone, with half its channels and
with a quarter, is timed beside the float file, and the change of its outputs tells what it would
cost. The rungs add these steps up, the cheapest for the time they gain first. The idea of choosing
widths by measured speed is that of Yang et al. 2018, "NetAdapt: Platform-Aware Neural Network
Adaptation for Mobile Applications"; there each proposal is trained for a while, here rungs only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nb_optimizer.core.compression import export, graph, shrink
from nb_optimizer.core.compression.recipe import Recipe
from nb_optimizer.core.compression.workers import WorkerError
from nb_optimizer.core.errors import UserError

if TYPE_CHECKING:
    from nb_optimizer.core.compression.bench import Probe
    from nb_optimizer.core.compression.session import Compressing

SHARES = (0.5, 0.75)  # of a layer's channels
_MOST = 8  # layers that are tried one by one, those with the most work
_TIME = 0.15  # of the search's time, for looking
_WORTH = 1.08  # times as fast as the rung before, or it is none
_NOTHING = 1e-9
_KEY = "rungs"  # by which they are found again


@dataclass(frozen=True)
class _Step:
    """One layer made narrower: what the logarithm of the speed gains, and what that costs."""

    layer: str
    share: float
    gain: float
    cost: float

    @property
    def worth(self) -> float:
        return self.gain / max(self.cost, _NOTHING)


class Narrow:
    """Finds the rungs for one model; ``form`` is the number format that they are timed in."""

    def __init__(self, session: Compressing, start: Recipe, form: Recipe) -> None:
        self._session, self._form = session, form
        self._start = start
        self._until = session.seconds_left() - _TIME * session.memory.seconds(session.plan)

    def rungs(self) -> list[dict[str, float]]:
        """Return the shares of channels to take away by layer, for each rung, the first first.

        Empty where narrowing single layers gains nothing. A resume takes what was found before:
        another look might decide otherwise, and repeat what was trained.
        """
        memory = self._session.memory
        if not memory.get(_KEY):
            memory.keep(_KEY, rungs=self._found())
        return list((memory.get(_KEY) or {})["rungs"])

    def _found(self) -> list[dict[str, float]]:
        whole = self._look({})
        if whole is None:
            return []
        rungs: list[dict[str, float]] = []
        widths: dict[str, float] = {}
        fastest = whole.speed
        for step in _in_order(self._steps(whole)):
            widths = {**widths, step.layer: step.share}
            seen = self._look(widths)
            if seen is not None and seen.speed >= _WORTH * fastest:
                rungs.append(widths)
                fastest = seen.speed
        return rungs

    def _steps(self, whole: Probe) -> list[list[_Step]]:
        """Return what each layer's steps gain, the gentler step first."""
        if not graph.has_graph(self._session.model):
            return []  # the ladder's first row says that such a model cannot be trained on
        model = self._session.trained.model(self._start)
        work = {layer.name: _work(layer) for layer in shrink.layers_of(model)}
        found = []
        for name in sorted(work, key=lambda n: -work[n])[:_MOST]:
            before, steps = whole, []
            for share in SHARES:
                seen = self._look({name: share}) if self._has_time() else None
                if seen is None:
                    break
                gain = math.log(seen.speed / before.speed)
                steps.append(_Step(name, share, gain, seen.change - before.change))
                before = seen
            found.append(steps)
        return found

    def _has_time(self) -> bool:
        return self._session.seconds_left() > self._until

    def _look(self, widths: dict[str, float]) -> Probe | None:
        """Time and score a narrower model that nobody has trained; ``None`` where that fails."""
        session = self._session
        recipe = Recipe(
            quantize=self._form.quantize, widths=widths, start=self._start.to_dict(), epochs=0
        )
        file = session.bench.scratch("narrow.tflite")

        def make() -> None:
            model = session.trained.model(self._start)
            if widths:
                model = shrink.smaller(model, 0.0, widths)[0]
            export.export_float(model, session.bench.calibration, file)

        try:
            return session.bench.probe(file, recipe, make, timed=True)
        except (WorkerError, UserError):
            return None


def _work(layer: Any) -> int:
    """Return about how many multiplications a layer does for one row."""
    places = [size or 1 for size in layer.output.shape[1:-1]]
    return int(layer.count_params()) * math.prod(places)


def _in_order(layers: list[list[_Step]]) -> list[_Step]:
    """Return the steps that gain time, the best for its cost first, a layer's own in order."""
    left, ordered = [list(steps) for steps in layers if steps], []
    while left:
        best = max(left, key=_promise)
        if _promise(best) <= 0:
            break
        ordered.append(best.pop(0))
        left = [steps for steps in left if steps]
    return ordered


def _promise(steps: list[_Step]) -> float:
    """Return what a layer's next step is worth; one that gains nothing alone may with the next."""
    both = _Step("", 0.0, sum(s.gain for s in steps), sum(s.cost for s in steps))
    return max(steps[0].worth, both.worth)
