"""How one candidate is made: the steps of ``%compress``, in order, as a value."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from nb_optimizer.core.errors import check_names

TWO_OF_FOUR = "2:4"
SCHEDULES = ("polynomial", "constant")
_NAMED = 2  # narrower layers that a name lists


@dataclass(frozen=True)
class Recipe:
    """How one candidate is made: trim, tune, shrink, prune, cluster, train, quantize, in order.

    ``trim`` takes away channels that are zero on all training data. ``tune`` fine-tunes the float
    model; what has that in its ``start`` learns from it and is compared with one. ``start`` is the
    recipe of the model that it begins with. ``widths`` are shares of single layers' channels that
    replace ``shrink``'s, ``layers`` sparsities of single layers that replace ``prune``'s,
    ``values`` numbers of values that replace ``cluster``'s, ``formats`` number formats of single
    operations of the file that replace ``quantize``'s, by operation index.
    """

    trim: bool = False
    tune: bool = False
    shrink: float = 0.0
    prune: str = ""
    schedule: str = SCHEDULES[0]
    cluster: int = 0
    qat: bool = False
    quantize: str = ""
    engine: str = "auto"
    epochs: int = 6
    widths: dict[str, float] = field(default_factory=dict)
    layers: dict[str, float] = field(default_factory=dict)
    values: dict[str, int] = field(default_factory=dict)
    formats: dict[str, str] = field(default_factory=dict)
    start: dict[str, Any] = field(default_factory=dict)

    @property
    def trains(self) -> bool:
        """Whether making it needs training data."""
        steps = (self.tune, self.narrows, self.prune, self.cluster, self.qat, self.layers)
        return self.trim or any(steps)

    @property
    def narrows(self) -> bool:
        """Whether channels are taken away."""
        return bool(self.shrink or self.widths)

    @property
    def teacher(self) -> Recipe | None:
        """How the fine-tuned float model was made with which this recipe starts, if it does."""
        if self.tune:
            return replace(self, quantize="", formats={})
        return self.teacher_of_start

    @property
    def teacher_of_start(self) -> Recipe | None:
        """How the fine-tuned float model was made with which its start begins, if it does."""
        return Recipe.from_dict(self.start).teacher if self.start else None

    @property
    def short(self) -> int:
        """Epochs of sharing values and of training with rounding, which are short steps."""
        return max(1, self.epochs // 2)

    @property
    def passes(self) -> int:
        """Epochs of all training behind it, that of its start counted in."""
        long = self.tune + self.narrows + bool(self.prune or self.layers)
        own = long * self.epochs + (bool(self.cluster) + self.qat) * self.short
        return own + (Recipe.from_dict(self.start).passes if self.start else 0)

    def values_of(self, kernel: str) -> int:
        """Return how many different values the kernel of this name may take."""
        return self.values.get(kernel, self.cluster)

    @property
    def name(self) -> str:
        """The recipe in a few words: ``prune 0.8 + cluster 16 + int8``."""
        if self.tune and not self.quantize:
            longer = f" for {self.passes} epochs" if self.teacher_of_start else ""
            return "fine-tuned float32" + longer
        parts = ["trim"] if self.trim else ["fine-tuned"] if self.tune else []
        if self.widths:
            single = ", ".join(f"{name} {share:g}" for name, share in self.widths.items())
            parts.append(f"shrink {single}" if len(self.widths) <= _NAMED else "shrink by layer*")
        elif self.shrink:
            parts.append(f"shrink {self.shrink:g}")
        if self.layers:
            parts.append(f"prune {self.prune or 'by layer'}*" + self._at_once)
        elif self.prune:
            parts.append(f"prune {self.prune}" + self._at_once)
        parts += [f"cluster {self.cluster}" + "*" * bool(self.values)] if self.cluster else []
        if self.qat:
            parts.append(f"QAT {self.quantize}" + ("*" if self.formats else ""))
        elif self.quantize:
            parts.append(self.quantize + ("*" if self.formats else ""))
        return " + ".join(parts) or "float32"

    @property
    def _at_once(self) -> str:
        return " at once" if self.schedule == "constant" else ""

    @property
    def key(self) -> str:
        """The recipe as one text, by which finished work is found again."""
        return json.dumps(self.to_dict(), sort_keys=True)

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as plain values, without what is at its default."""
        empty = asdict(Recipe())
        return {k: v for k, v in asdict(self).items() if v != empty[k]}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Recipe:
        """Read what :meth:`to_dict` returned. ``UserError`` for an unknown step."""
        check_names(values, cls.__dataclass_fields__, "A recipe has no step")
        return cls(**values)
