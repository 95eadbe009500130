"""What ``%%train`` will do: one frozen value with every option in it, checked at birth.

The options of the magic, their help and their completion are derived from :class:`TrainPlan`,
so each exists once. A field's metadata holds its help and, where it is limited, its choices.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, fields
from numbers import Integral, Real
from typing import Any

from nb_optimizer.core.devices import wish
from nb_optimizer.core.errors import UserError, check_names, nearest

ACCELERATE = ("auto", "off")
LIVE = ("auto", "widget", "html", "text", "off")
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")

PER_DEVICE = "/device"  # behind a batch size

# Options of the fixed interface that this version does not serve.
LATER: dict[str, str] = {}


def _option(default: Any, text: str, *, kind: type, **more: Any) -> Any:
    return field(default=default, metadata={"help": text, "kind": kind, **more})


@dataclass(frozen=True)
class TrainPlan:
    """The options of ``%%train`` and of ``nbo.train(...)``; ``None`` leaves it to the cell."""

    name: str = _option("", "a name for the run, to find it by later", kind=str, value="NAME")
    monitor: str | None = _option(
        None, "metric that decides which epoch is best (default: val_loss, else loss)", kind=str,
        value="METRIC",
    )  # fmt: skip
    patience: int | None = _option(
        None, "stop after N epochs without improvement, and restore the best weights", kind=int
    )
    min_delta: float = _option(0.0, "smallest change that counts as an improvement", kind=float)
    restore_best: bool | None = _option(
        None, "always (or never) end with the best weights; by default after a stop", kind=bool
    )
    epochs: int | None = _option(None, "train for N epochs instead of the cell's", kind=int)
    batch_size: int | str | None = _option(
        None, "batch size for array input, of all devices; N/device: of each", kind=int, auto=True
    )
    lr: float | None = _option(
        None, "learning rate; a schedule is scaled so that it starts there", kind=float, auto=True
    )
    scale_lr: bool = _option(
        default=False, text="scale the learning rate with the batch, after a warm-up", kind=bool
    )
    l1: float = _option(0.0, "L1 penalty on the kernels of the model", kind=float)
    l2: float = _option(0.0, "L2 penalty on the kernels of the model", kind=float)
    dropout: float = _option(0.0, "drop this share of the inputs of Dense layers", kind=float)
    reduce_lr: int | None = _option(
        None, "multiply the learning rate by 0.1 after N epochs without improvement", kind=int
    )
    accelerate: str = _option(
        "auto", "run many steps in one call where that is faster", kind=str, choices=ACCELERATE
    )
    precision: str | None = _option(
        None, "number format for the models built in the cell", kind=str, choices=PRECISIONS
    )
    devices: str | None = _option(
        None, "train on several devices: auto, none, a number, cpu:N, gpu:0,1 or tpu", kind=str,
        value="DEVICES",
    )  # fmt: skip
    machines: str | None = _option(
        None, "train on the engines of an ipyparallel profile (experimental)", kind=str,
        value="PROFILE",
    )  # fmt: skip
    detach: bool = _option(default=False, text="train in a process of its own", kind=bool)
    live: str = _option("auto", "how to show the run while it trains", kind=str, choices=LIVE)
    resume: bool = _option(default=False, text="go on where this cell's last run ended", kind=bool)
    checkpoint: bool = _option(default=True, text="keep state on disk to resume from", kind=bool)
    seed: int | None = _option(None, "seed of Python, NumPy and Keras before the cell", kind=int)

    def __post_init__(self) -> None:
        """Check every value; one ``UserError`` names all that is wrong."""
        wrong = [text for f in fields(self) if (text := _fault(f, getattr(self, f.name)))]
        if wrong:
            raise UserError("; ".join(wrong))

    def rows_per_batch(self, devices: int) -> int:
        """Return the batch size of all devices together."""
        text = str(self.batch_size)
        return int(text.removesuffix(PER_DEVICE)) * (devices if text.endswith(PER_DEVICE) else 1)

    def changed(self) -> dict[str, Any]:
        """Return the options that differ from their defaults."""
        return {
            f.name: getattr(self, f.name)
            for f in fields(self)
            if getattr(self, f.name) != f.default
        }

    @classmethod
    def of(cls, options: dict[str, Any]) -> TrainPlan:
        """Build a plan from keyword options; unknown ones are refused with the nearest name."""
        for name in options:
            if name in LATER:
                raise UserError(later(name))
        check_names(options, cls.__dataclass_fields__, "There is no option")
        if type(options.get("devices")) is int:  # in Python, a number is written as one
            options = {**options, "devices": str(options["devices"])}
        return cls(**options)


def later(name: str) -> str:
    """Return the line for an option that is part of the interface but not served yet."""
    flag = "--" + name.replace("_", "-")
    what = LATER.get(name, "choosing it automatically")
    return f"{flag} ({what}) is not available in this version; leave it out."


# Smallest and largest value, and whether they belong to the range.
_RANGES: dict[str, tuple[float, float, bool]] = {
    "patience": (0, math.inf, True),
    "min_delta": (0, math.inf, True),
    "epochs": (1, math.inf, True),
    "batch_size": (1, math.inf, True),
    "lr": (0, math.inf, False),
    "l1": (0, math.inf, True),
    "l2": (0, math.inf, True),
    "dropout": (0, 1, True),
    "reduce_lr": (1, math.inf, True),
    "seed": (0, 2**32 - 1, True),
}
_NAMES = {int: "a whole number", float: "a number", str: "a word", bool: "true or false"}


def _fault(option: Any, value: Any) -> str:
    kind, flag = option.metadata["kind"], "--" + option.name.replace("_", "-")
    if value is None and option.default is None:
        return ""
    if value == "auto" and option.metadata.get("auto"):
        return later(option.name).replace(flag, f"{flag} auto", 1)
    if option.name == "batch_size" and isinstance(value, str) and value.endswith(PER_DEVICE):
        number = value.removesuffix(PER_DEVICE)
        value = int(number) if number.isdecimal() else value
    if not _is_kind(value, kind):
        return f"{flag} takes {_NAMES[kind]}, got {value!r}"
    choices = option.metadata.get("choices")
    if choices and value not in choices:
        return f"{flag} takes {', '.join(choices)}, got {value!r}.{nearest(value, choices)}"
    return _word_fault(option.name, flag, value) or _out_of_range(option.name, flag, value)


def _word_fault(name: str, flag: str, value: Any) -> str:
    if name == "name" and not re.fullmatch(r"[^\x00-\x1f]{0,80}", value):
        return f"{flag} takes at most 80 printable characters, got {value[:80]!r}"
    return wish.fault(value) if name == "devices" else ""


def _out_of_range(name: str, flag: str, value: Any) -> str:
    if name not in _RANGES:
        return ""
    low, high, closed = _RANGES[name]
    top_open = name == "dropout"
    inside = (low <= value if closed else low < value) and (value < high or not top_open)
    if inside and value <= high and math.isfinite(value):
        return ""
    if top_open:
        right = "from 0 up to, but below, 1"
    elif math.isfinite(high):
        right = f"from {low} to {high}"
    else:
        right = f"of at least {low}" if closed else f"above {low}"
    kind = "a whole number" if isinstance(value, int) else "a number"
    return f"{flag} takes {kind} {right}, got {value}"


def _is_kind(value: Any, kind: type) -> bool:
    if kind in (int, float):
        number = Integral if kind is int else Real  # NumPy's numbers are welcome too
        return isinstance(value, number) and not isinstance(value, bool)
    return isinstance(value, kind)
