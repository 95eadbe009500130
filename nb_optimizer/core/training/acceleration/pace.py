"""Which way of running steps is fastest here: tried on real steps, weighed against what is left.

Every trial trains: its steps count. A way costs a compilation first, so the next one is tried only
while enough training is left to earn that back, by what such models promise (``promises``).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from nb_optimizer.core.training.acceleration.promises import (
    DENSE,
    FUSED,
    LOOP,
    ON_CPU,
    PLAIN,
    XLA,
    Promises,
)

LONGEST = 0.2  # seconds that one call may take, so that a stop never waits longer
LARGEST = 1024  # steps in one call
_ENOUGH_SECONDS, _ENOUGH_STEPS = 0.1, 400  # of a trial
_FEWEST_CALLS = 3
_FIRST_CALL = {PLAIN: 1, LOOP: 4, FUSED: 2, XLA: 2}


@dataclass
class Trial:
    """The timing of one way: the first call compiles, the others tell the price of a step."""

    first_seconds: float | None = None
    seconds: float = 0.0
    steps: int = 0
    calls: int = 0
    # The least of all calls: short blocks pay for the call itself, others for a busy machine.
    per_step: float = math.inf
    lately: float = math.inf  # of the last call

    def add(self, seconds: float, steps: int) -> None:
        """Take in a call that did not compile."""
        self.seconds += seconds
        self.steps += steps
        self.calls += 1
        self.lately = seconds / steps
        self.per_step = min(self.per_step, self.lately)

    @property
    def is_enough(self) -> bool:
        """Whether the timing can be trusted."""
        long = self.seconds >= _ENOUGH_SECONDS or self.steps >= _ENOUGH_STEPS
        return self.calls >= _FEWEST_CALLS and long


class Pace:
    """Chooses among ``ways``; ``left`` tells how many steps are still to come."""

    def __init__(
        self,
        ways: tuple[str, ...],
        left: Callable[[], int],
        *,
        known: str = "",
        promises: Callable[[], Promises] = lambda: ON_CPU[DENSE],
        chosen: Callable[[], None] = lambda: None,
    ) -> None:
        self.way = known if known in ways else PLAIN
        self.is_final = known in ways  # an earlier run of the same cell has chosen
        self.reason = ""
        self.trials: dict[str, Trial] = {self.way: Trial()}
        self._untried = {w for w in ways if w != PLAIN}
        self._promises = promises
        self._left = left
        self._chosen = chosen

    def take_up(self, trials: dict[str, Trial]) -> None:
        """Go on with what earlier calls have tried, unless a way is chosen already."""
        if self.is_final or PLAIN not in trials:
            return
        self.trials = dict(trials)
        self._untried -= set(trials)
        if self.trials[PLAIN].is_enough:
            self._go_on()

    @property
    def compiles(self) -> bool:
        """Whether the next call compiles."""
        return self.trials[self.way].first_seconds is None

    def size(self, slower: float = 1.0) -> int:
        """How many steps the next call should take, if they take so many times longer."""
        trial = self.trials[self.way]
        if self.way == PLAIN:
            return 1
        if not trial.steps:
            return _FIRST_CALL[self.way]
        # Growing fourfold at most: one slow block must not take the time of a hundred.
        # By the last call, not the best: a machine that became busy must not delay a stop.
        fits = int(min(LONGEST / (slower * trial.lately), LARGEST)) if trial.lately else LARGEST
        return max(1, min(LARGEST, fits, 4 * trial.steps // trial.calls))

    def took(self, seconds: float, steps: int) -> None:
        """Tell how long a call of the current way took."""
        trial = self.trials[self.way]
        if trial.first_seconds is None:
            trial.first_seconds = seconds
            return
        trial.add(seconds, steps)
        if not self.is_final and (trial.is_enough or self._is_hopeless(trial)):
            self._go_on()

    def failed(self, reason: str) -> None:
        """Tell that the current way cannot run; another one takes over."""
        self.trials[self.way].per_step = math.inf
        self.reason = reason
        self.trials.setdefault(PLAIN, Trial())
        if self.is_final:
            self.way = PLAIN
        else:
            self._go_on()

    def give_up(self, reason: str) -> None:
        """Tell that only plain steps can run from now on."""
        self._untried.clear()
        self.trials = {PLAIN: self.trials.get(PLAIN, Trial())}
        self._settle(reason)

    @property
    def best(self) -> str:
        """The fastest way that was tried."""
        return min(self.trials, key=lambda w: self.trials[w].per_step)

    @property
    def gain(self) -> float:
        """How many times faster the chosen way runs a step than plain steps ran."""
        plain = self.trials.get(PLAIN)
        return plain.per_step / self.trials[self.way].per_step if plain else 0.0

    def _is_hopeless(self, trial: Trial) -> bool:
        others = [t.per_step for w, t in self.trials.items() if w != self.way]
        return bool(others) and trial.calls >= _FEWEST_CALLS and trial.per_step > 3 * min(others)

    def _go_on(self) -> None:
        self.way = self.best
        step = self.trials[self.way].per_step
        promises, tracing = self._promises(), self.trials[PLAIN].first_seconds or 0.0
        if self.trials[PLAIN].per_step > promises.slow_step:
            self._settle("a step takes so long that calling it costs nothing")
            return
        for candidate in sorted(self._untried, key=lambda w: -promises.gain(w)):
            hoped = self.trials[PLAIN].per_step / promises.gain(candidate)
            price = promises.price(candidate, tracing)
            if self._left() * (step - hoped) > 1.5 * price:
                self._untried.remove(candidate)
                self.way = candidate
                self.trials[candidate] = Trial()
                return
            if step > hoped:
                self.reason = "too little is left to train to earn a compilation back"
        self._settle(self.reason)

    def _settle(self, reason: str) -> None:
        self.way, self.is_final, self.reason = self.best, True, reason
        self._chosen()
