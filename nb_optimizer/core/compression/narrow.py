"""Which layers to narrow for speed, from what narrowing them gains and changes before training.

Kernels work on blocks of channels, so half a layer's channels can gain nearly all or nothing of
the time that arithmetic promises: it is measured. Each layer alone, with half its channels and
with a quarter, is timed beside the float file, and the change of its outputs tells what it would
cost. Timings of one file are up to 1.35 times apart, so one that says that a narrower layer is
slower is not believed: the two count as equally fast. The rungs add these steps up, the cheapest
for the time they gain first. The idea of choosing
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
_WORTH = 1.08  # times as fast as the rung before, or the next step comes with it
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
        return _rungs(_in_order(self._steps(whole))) if whole is not None else []

    def _steps(self, whole: Probe) -> list[list[_Step]]:
        """Return what each layer's steps gain, the gentler step first."""
        if not graph.has_graph(self._session.model):
            return []  # the ladder's first row says that such a model cannot be trained on
        model = self._session.trained.model(self._start)
        work = {layer.name: _work(layer) for layer in shrink.layers_of(model)}
        found = []
        for name in sorted(work, key=lambda n: -work[n])[:_MOST]:
            seen = [whole]
            for share in SHARES:
                look = self._look({name: share}) if self._has_time() else None
                if look is None:
                    break
                seen.append(look)
            found.append(_steps_of(name, seen))
        return found

    def _has_time(self) -> bool:
        return self._session.seconds_left() > self._until

    def _look(self, widths: dict[str, float]) -> Probe | None:
        """Time and score a narrower model that nobody has trained; ``None`` where that fails."""
        session = self._session
        recipe = Recipe(
            quantize=self._form.quantize, formats=self._form.formats, widths=widths,
            start=self._start.to_dict(), epochs=0,
        )  # fmt: skip
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


def _steps_of(layer: str, seen: list[Probe]) -> list[_Step]:
    """Return a layer's steps from looks at it, whole first and ever narrower."""
    from sklearn.isotonic import isotonic_regression  # noqa: PLC0415 - a second, only for a search

    speeds = isotonic_regression([math.log(look.speed) for look in seen])
    costs = [look.change for look in seen]
    return [
        _Step(layer, share, float(speeds[i + 1] - speeds[i]), costs[i + 1] - costs[i])
        for i, share in enumerate(SHARES[: len(seen) - 1])
    ]


def _rungs(steps: list[_Step]) -> list[dict[str, float]]:
    """Return the widths after every few steps that together gain enough to train them for."""
    rungs: list[dict[str, float]] = []
    widths: dict[str, float] = {}
    gain = 0.0
    for step in steps:
        widths, gain = {**widths, step.layer: step.share}, gain + step.gain
        if gain >= math.log(_WORTH):
            rungs.append(widths)
            gain = 0.0
    return rungs


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
