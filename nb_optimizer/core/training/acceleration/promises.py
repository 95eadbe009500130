"""What each way to run steps may gain and what compiling it may cost, on the CPU and on a GPU.

That decides only which ways are worth a trial and in which order; the timing of real steps decides
which is used.
"""

from __future__ import annotations

from dataclasses import dataclass

PLAIN, LOOP, FUSED, XLA = "plain", "loop", "fused", "xla"
WORDS = {
    PLAIN: "one step per call",
    LOOP: "many steps per call",
    FUSED: "many steps per call, compiled as one by XLA",
    XLA: "many steps per call, each compiled by XLA",
}
DENSE, CONVOLUTION, RECURRENT, ATTENTION = "dense", "convolution", "recurrent", "attention"


@dataclass(frozen=True)
class Promises:
    """What is known beforehand of a kind of model on a device.

    ``gains``: how many times faster than plain steps a way may get. ``prices``: what compiling it
    may cost, as multiples of the plain step's tracing time plus seconds. Steps slower than
    ``slow_step`` seconds compute, they do not wait for Python.
    """

    gains: dict[str, float]
    prices: dict[str, tuple[float, float]]
    slow_step: float

    def gain(self, way: str) -> float:
        """Return how many times faster a way may be."""
        return max(1.0, self.gains.get(way, 0.0))

    def price(self, way: str, tracing: float) -> float:
        """Return the seconds that compiling may take where tracing took ``tracing``."""
        times, more = self.prices[way]
        return times * tracing + more


def _for_each(
    gains: dict[str, dict[str, float]], prices: dict[str, tuple[float, float]], slow_step: float
) -> dict[str, Promises]:
    return {kind: Promises(by_way, prices, slow_step) for kind, by_way in gains.items()}


ON_CPU = _for_each(
    {
        DENSE: {FUSED: 20.0, LOOP: 4.0, XLA: 4.0},
        # Convolutions in one loop under XLA are not the fast ones: they were 5 to 7 times slower.
        CONVOLUTION: {XLA: 2.5, LOOP: 1.2},
        RECURRENT: {FUSED: 4.0, XLA: 3.0, LOOP: 1.5},
        ATTENTION: {FUSED: 3.0, LOOP: 2.0, XLA: 2.0},
    },
    prices={LOOP: (1.2, 0.1), FUSED: (2.5, 0.5), XLA: (2.0, 0.4)},
    slow_step=0.04,
)
# Keras compiles plain steps by XLA there (so a loop of uncompiled ones is tried for others only),
# except recurrent layers, which are cuDNN's. Measured on one NVIDIA H100.
ON_GPU = _for_each(
    {
        DENSE: {FUSED: 25.0, XLA: 3.0, LOOP: 2.0},
        CONVOLUTION: {FUSED: 15.0, XLA: 3.0, LOOP: 2.0},
        RECURRENT: {FUSED: 5.0, XLA: 3.0, LOOP: 1.6},
        ATTENTION: {FUSED: 10.0, XLA: 3.0, LOOP: 2.0},
    },
    prices={LOOP: (1.2, 0.2), FUSED: (0.6, 0.5), XLA: (0.45, 0.3)},
    slow_step=0.02,
)
