"""What was measured of one candidate: a row of the table, and an event of the journal."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

from nb_optimizer.core.compression.recipe import Recipe

MEASURED, REJECTED, FAILED = "measured", "rejected", "failed"


@dataclass(frozen=True)
class Row:
    """One file and what was measured of it. Sizes in bytes, latencies in milliseconds.

    ``drop`` is the loss against the float model: a share for metrics that are shares (0.01 is
    one point of accuracy), relative to the float model's value for errors. ``against`` is the
    number of the row that this float model is: 0, or a fine-tuned one. ``drop_low`` and
    ``drop_high`` hold its 95 % interval from paired predictions on ``samples`` rows.
    ``reference_ms`` is the float file, timed by turns with this one in the same process.
    """

    number: int
    recipe: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    engine: str = ""
    file: str = ""
    weights: str = ""  # a Keras file with the compressed weights, where there is one
    bytes: int = 0
    gzip_bytes: int = 0
    score: float = 0.0
    drop: float = 0.0
    drop_low: float = 0.0
    drop_high: float = 0.0
    against: int = 0
    agreement: float = 0.0
    samples: int = 0
    latency_ms: float = 0.0
    latency_p90_ms: float = 0.0
    reference_ms: float = 0.0
    sparsity: float = 0.0
    values: int = 0
    float_operations: dict[str, int] = field(default_factory=dict)
    threads: int = 1
    runtime: str = ""
    host: str = ""
    seconds: float = 0.0  # what making it took
    confirmed: bool = False  # measured again, on all held-out rows
    status: str = MEASURED
    reason: str = ""

    @property
    def is_reference(self) -> bool:
        """Whether it is the float model, as it was or fine-tuned: for comparison only."""
        return not self.number or bool(self.recipe.get("tune") and not self.recipe.get("quantize"))

    @property
    def passes(self) -> int:
        """Epochs of all training behind it."""
        return Recipe.from_dict(self.recipe).passes

    @property
    def speedup(self) -> float:
        """How many times as fast as the float file, timed by turns; 0 where not measured."""
        return self.reference_ms / self.latency_ms if self.latency_ms else 0.0

    def cost(self, target: str) -> float:
        """Return what a search makes small: bytes, gzip bytes or relative latency."""
        if target == "latency":
            return 1 / self.speedup if self.speedup else float("inf")
        return self.gzip_bytes if target == "gzip" else self.bytes

    def to_dict(self) -> dict[str, Any]:
        """Return the row as plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Row:
        """Read what :meth:`to_dict` returned; unknown fields are left out."""
        known = {f.name for f in fields(cls)}
        return cls(**{k: v for k, v in values.items() if k in known})


def name_among(recipe: Recipe, rows: list[Row]) -> str:
    """Return a recipe in words, with the epochs behind it where another row has the same words."""
    others = [row for row in rows if row.recipe != recipe.to_dict()]
    if any(row.name == recipe.name for row in others):
        return f"{recipe.name}, {recipe.passes} epochs"
    return recipe.name
