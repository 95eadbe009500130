"""What ``%compress`` will do: one frozen value with every option in it, checked at birth.

The options of the magic, their help and their completion are derived from
:class:`CompressPlan`; what one candidate is made of is a ``Recipe`` (``recipe.py``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from typing import Any

from nb_optimizer.core.compression.recipe import SCHEDULES, TWO_OF_FOUR, Recipe
from nb_optimizer.core.devices import wish
from nb_optimizer.core.errors import UserError, check_names, nearest

QUANTIZE = ("float16", "dynamic", "int8", "int16x8", "int4", "qat")
ENGINES = ("auto", "native", "tfmot")
TARGETS = ("size", "gzip", "latency")
DEFAULT_BUDGET = 0.01  # the loss of the metric that a pick may have where none is given

_SIZE_UNITS = {"B": 1, "KB": 1e3, "MB": 1e6, "KIB": 1024, "MIB": 1024**2, "": 1}
_TIME_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "": 1}


def _option(default: Any, text: str, *, kind: type, **more: Any) -> Any:
    return field(default=default, metadata={"help": text, "kind": kind, **more})


@dataclass(frozen=True)
class CompressPlan:
    """The options of ``%compress`` and of ``nbo.compress(...)``."""

    metric: str = _option(
        "", "what is measured: accuracy, top5, mae, mse (default: what fits the labels)",
        kind=str, value="METRIC",
    )  # fmt: skip
    prune: str = _option(
        "", "share of the weights to set to zero, as 0.8, or 2:4", kind=str, value="0.8|2:4"
    )
    schedule: str = _option(
        SCHEDULES[0], "how pruning reaches its share: step by step, or all at once", kind=str,
        choices=SCHEDULES,
    )  # fmt: skip
    cluster: int | None = _option(None, "let each kernel have N different values only", kind=int)
    quantize: str = _option(
        "", f"number formats, one candidate each: {', '.join(QUANTIZE)}", kind=str,
        value="FORMAT[,FORMAT]",
    )  # fmt: skip
    shrink: float | None = _option(
        None, "take away this share of the channels, and train the smaller model", kind=float
    )
    budget: str = _option(
        "", "search for the best model that loses at most this much, as 1%", kind=str, value="1%"
    )
    target: str = _option("size", "what the search makes small", kind=str, choices=TARGETS)
    max_size: str = _option(
        "", "search for the most accurate file of at most this size", kind=str, value="500KB"
    )
    epochs: int | None = _option(None, "fine-tune for N epochs (default: 6)", kind=int)
    time: str = _option("", "stop searching after this long, as 90s, 10m", kind=str, value="10m")
    engine: str = _option("auto", "who prunes, clusters and trains", kind=str, choices=ENGINES)
    devices: str = _option(
        "", "fine-tune on several devices: auto, none, a number, cpu:N, gpu:0,1 or tpu", kind=str,
        value="WISH",
    )  # fmt: skip
    out_dir: str = _option("", "also write the recommended file here", kind=str, value="FOLDER")
    live: str = _option(
        "auto", "how to show fine-tuning", kind=str, choices=("auto", "html", "text", "off")
    )
    seed: int = _option(0, "seed of everything random", kind=int)
    resume: bool = _option(
        default=False, text="go on where this line's last compression ended", kind=bool
    )

    def __post_init__(self) -> None:
        """Check every value; one ``UserError`` names all that is wrong."""
        wrong = [text for check in _CHECKS for text in check(self) if text]
        if wrong:
            raise UserError("; ".join(wrong))

    @classmethod
    def of(cls, options: dict[str, Any]) -> CompressPlan:
        """Build a plan from keyword options; unknown ones are refused with the nearest name."""
        check_names(options, cls.__dataclass_fields__, "There is no option")
        given: dict[str, Any] = {n: str(v) if n in _WORDS else v for n, v in options.items()}
        return cls(**given)

    @property
    def searches(self) -> bool:
        """Whether a goal is given instead of a recipe."""
        return bool(self.budget or self.max_size)

    @property
    def allowed_loss(self) -> float:
        """The loss of the metric that a recommended model may have, as a share: 0.01."""
        return _percent(self.budget) if self.budget else DEFAULT_BUDGET

    @property
    def max_bytes(self) -> float | None:
        """The largest file allowed, in bytes, or ``None``."""
        return _bytes(self.max_size) if self.max_size else None

    @property
    def seconds(self) -> float:
        """How long a search may take, in seconds; ten minutes unless said otherwise."""
        return _seconds(self.time) if self.time else 600.0

    def recipes(self) -> list[Recipe]:
        """Return the recipes that the options spell out, one for each number format."""
        formats = self.quantize.split(",") if self.quantize else [""]
        trained = bool(self.prune or self.cluster or self.shrink)
        if not self.quantize and not trained:
            formats = ["float16", "dynamic", "int8", "int4"]  # the free ladder
        return [
            Recipe(
                shrink=self.shrink or 0.0,
                prune=self.prune,
                schedule=self.schedule,
                cluster=self.cluster or 0,
                qat=name == "qat",
                quantize="int8" if name == "qat" else name,
                engine=self.engine,
                epochs=self.epochs if self.epochs is not None else 6,
            )
            for name in formats
        ]


_WORDS = ("prune", "budget", "max_size", "time", "devices")  # numbers are welcome, too


def _percent(text: str) -> float:
    number = text.strip().removesuffix("%")
    return float(number) / 100 if text.strip().endswith("%") else float(number)


def _bytes(text: str) -> float:
    number, unit = _measure(text)
    return number * _SIZE_UNITS[unit.upper()]


def _seconds(text: str) -> float:
    number, unit = _measure(text)
    return number * _TIME_UNITS[unit.lower()]


def _measure(text: str) -> tuple[float, str]:
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text)
    if not found:
        raise ValueError(text)
    return float(found[1]), found[2]


def _reads(call: Any, text: str) -> bool:
    try:
        return bool(call(text) > 0)
    except (ValueError, KeyError):
        return False


def _check_numbers(plan: CompressPlan) -> list[str]:
    wrong = []
    if plan.prune and plan.prune != TWO_OF_FOUR and not _share(plan.prune):
        wrong.append(f"--prune takes a share between 0 and 1, as 0.8, or 2:4, got {plan.prune!r}")
    if plan.shrink is not None and not _share(plan.shrink):
        wrong.append(f"--shrink takes a share between 0 and 1, as 0.4, got {plan.shrink!r}")
    if plan.cluster is not None and not _whole(plan.cluster, 2, 256):
        wrong.append(f"--cluster takes a whole number from 2 to 256, got {plan.cluster!r}")
    if plan.epochs is not None and not _whole(plan.epochs, 1, 100_000):
        wrong.append(f"--epochs takes a whole number of at least 1, got {plan.epochs!r}")
    if not _whole(plan.seed, 0, 2**32 - 1):
        wrong.append(f"--seed takes a whole number of at least 0, got {plan.seed!r}")
    return wrong


def _check_words(plan: CompressPlan) -> list[str]:
    wrong = [
        f"--{f.name} takes {', '.join(f.metadata['choices'])}, got {getattr(plan, f.name)!r}."
        f"{nearest(str(getattr(plan, f.name)), f.metadata['choices'])}"
        for f in fields(plan)
        if "choices" in f.metadata and getattr(plan, f.name) not in f.metadata["choices"]
    ]
    if plan.devices and (fault := wish.fault(plan.devices)):
        wrong.append(fault)
    for name in plan.quantize.split(",") if plan.quantize else []:
        if name not in QUANTIZE:
            right = f"--quantize takes {', '.join(QUANTIZE)}, got {name!r}."
            wrong.append(right + nearest(name, QUANTIZE))
    return wrong


def _check_measures(plan: CompressPlan) -> list[str]:
    wrong = []
    if plan.budget and not (_reads(_percent, plan.budget) and _percent(plan.budget) < 1):
        wrong.append(f"--budget takes a loss as 1% or 0.01, got {plan.budget!r}")
    if plan.max_size and not _reads(_bytes, plan.max_size):
        wrong.append(f"--max-size takes a size as 500KB or 1.5MB, got {plan.max_size!r}")
    if plan.time and not _reads(_seconds, plan.time):
        wrong.append(f"--time takes a length of time as 90s, 10m or 1h, got {plan.time!r}")
    return wrong


def _check_together(plan: CompressPlan) -> list[str]:
    recipe = [n for n in ("prune", "cluster", "quantize", "shrink") if getattr(plan, n)]
    if plan.searches and recipe:
        named = ", ".join(f"--{n}" for n in recipe)
        return [f"a goal (--budget, --max-size) searches for the recipe itself: leave out {named}"]
    if plan.schedule != SCHEDULES[0] and (not plan.prune or plan.prune == TWO_OF_FOUR):
        return [f"--schedule {plan.schedule} needs a share to prune: --prune 0.8"]
    if plan.target != "size" and not plan.searches:
        return [f"--target {plan.target} needs a goal: --budget 1% or --max-size 500KB"]
    return []


_CHECKS = (_check_numbers, _check_words, _check_measures, _check_together)


def _share(value: Any) -> bool:
    try:
        return 0 < float(value) < 1
    except (TypeError, ValueError):
        return False


def _whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
