"""What ``%%tune`` will do: its options, checked at birth; the magic's options are made from it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, fields
from typing import Any

from nb_optimizer.core.errors import UserError, check_names, nearest
from nb_optimizer.core.plan import LIVE

SEARCHES = ("asha", "random", "grid", "bayesian", "hyperband")
ENGINES = ("local", "cluster", "ray")
DIRECTIONS = ("min", "max")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_TIME = re.compile(r"(?:\d+(?:\.\d+)?[smhd])+|\d+(?:\.\d+)?")
_MOST_WORKERS = 1024


def _option(default: Any, text: str, *, kind: type, **more: Any) -> Any:
    return field(default=default, metadata={"help": text, "kind": kind, **more})


@dataclass(frozen=True)
class TunePlan:
    """The options of ``%%tune`` and of ``nbo.tune(...)``."""

    on: str | None = _option(
        None, "metric (or number left by the cell) to improve; by default val_loss, else loss",
        kind=str, value="METRIC",
    )  # fmt: skip
    direction: str | None = _option(
        None, "whether it should fall or rise; by default known from its name", kind=str,
        choices=DIRECTIONS,
    )  # fmt: skip
    search: str = _option("asha", "how values are chosen", kind=str, choices=SEARCHES)
    trials: int | None = _option(
        None, "how many sets of values to try; by default 40, or all points of a grid", kind=int
    )
    time: str | None = _option(
        None, "start no more trials after this time, and stop: 90s, 10m, 2h", kind=str,
        value="TIME",
    )  # fmt: skip
    workers: str = _option(
        "auto", "trials at the same time; auto is one per accelerator, else half the cores",
        kind=str, value="N",
    )  # fmt: skip
    engine: str = _option(
        "local", "where trials run: local, cluster[:PROFILE] (ipyparallel), ray[:ADDRESS]",
        kind=str, value="ENGINE",
    )  # fmt: skip
    devices_per_trial: int = _option(1, "devices that share one trial", kind=int)
    try_: str = _option(
        "", "values to try first: lr=0.01,units=64; further sets after a semicolon", kind=str,
        value="NAME=VALUE,...",
    )  # fmt: skip
    memory: int | None = _option(
        None, "most memory of one worker in MB; by default its share of what is free", kind=int
    )
    silence: str = _option(
        "10m", "end a trial that has shown no progress for so long", kind=str, value="TIME"
    )
    disk: int = _option(500, "most MB that weights of trials may take", kind=int)
    seed: int | None = _option(None, "makes the search repeatable", kind=int)
    name: str = _option("", "a name for the search, to find it by later", kind=str, value="NAME")
    resume: bool = _option(
        default=False, text="go on with this cell's last search, with the same ranges", kind=bool
    )
    fresh: bool = _option(
        default=False, text="begin anew although a search of this cell was not finished", kind=bool
    )
    detach: bool = _option(
        default=False, text="return at once; %%runs attach shows the search", kind=bool
    )
    live: str = _option("auto", "how to show the search meanwhile", kind=str, choices=LIVE)

    def __post_init__(self) -> None:
        """Check every value; one ``UserError`` names all that is wrong."""
        wrong = [text for f in fields(self) if (text := _fault(f, getattr(self, f.name)))]
        if self.resume and self.fresh:
            wrong.append("--resume and --fresh exclude each other")
        if wrong:
            raise UserError("; ".join(wrong))

    @classmethod
    def of(cls, options: dict[str, Any]) -> TunePlan:
        """Build a plan from keyword options; unknown ones are refused with the nearest name."""
        check_names(options, cls.__dataclass_fields__, "There is no option")
        return cls(**options)

    def changed(self) -> dict[str, Any]:
        """Return the options that differ from their defaults."""
        return {
            f.name: getattr(self, f.name)
            for f in fields(self)
            if getattr(self, f.name) != f.default
        }

    @property
    def seconds(self) -> float:
        """The time budget in seconds; infinite without one."""
        return seconds_of(self.time) if self.time else math.inf


def seconds_of(text: str) -> float:
    """Read a length of time: ``90``, ``90s``, ``1h30m``; NaN if it is none."""
    if not _TIME.fullmatch(text.strip()):
        return math.nan
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd]?)", text)
    return sum(float(n) * _UNITS.get(unit, 1.0) for n, unit in parts)


_LEAST = {"trials": 1, "devices_per_trial": 1, "memory": 100, "disk": 0, "seed": 0}


def _fault(option: Any, value: Any) -> str:
    flag = "--" + option.name.rstrip("_").replace("_", "-")
    kind, choices = option.metadata["kind"], option.metadata.get("choices")
    if value is None and option.default is None:
        return ""
    if kind is int:
        return _whole(flag, option.name, value)
    if kind is bool:
        return "" if isinstance(value, bool) else f"{flag} takes true or false, got {value!r}"
    if not isinstance(value, str | int):
        return f"{flag} takes a word, got {value!r}"
    if choices and value not in choices:
        return f"{flag} takes {', '.join(choices)}, got {value!r}.{nearest(str(value), choices)}"
    return _CHECKS[option.name](flag, str(value)) if option.name in _CHECKS else ""


def _whole(flag: str, name: str, value: Any) -> str:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        return f"{flag} takes a whole number, got {value!r}"
    least = _LEAST[name]
    if value < least or value >= 2**32:
        return f"{flag} takes a whole number of at least {least}, got {value}"
    return ""


def _time(flag: str, value: str) -> str:
    seconds = seconds_of(value)
    if math.isnan(seconds):
        return f"{flag} takes a time such as 90s, 10m or 2h, got {value!r}"
    return "" if seconds > 0 else f"{flag} takes a time above 0, got {value!r}"


def _workers(flag: str, value: str) -> str:
    if value == "auto" or (value.isdigit() and 0 < int(value) <= _MOST_WORKERS):
        return ""
    return f"{flag} takes auto or a whole number of at least 1, got {value!r}"


def _engine(flag: str, value: str) -> str:
    kind = value.partition(":")[0]
    if kind not in ENGINES:
        right = "local, cluster[:PROFILE] or ray[:ADDRESS]"
        return f"{flag} takes {right}, got {value!r}.{nearest(kind, ENGINES)}"
    if value.startswith("ray:") and not re.fullmatch(r"ray:[^/]+:\d+", value):
        right = "ray:HOST:PORT of a cluster that this machine is part of"
        return f"{flag} takes {right} (as ray start prints it), got {value!r}"
    return f"{flag} local takes no address, got {value!r}" if value.startswith("local:") else ""


def _name(flag: str, value: str) -> str:
    fits = re.fullmatch(r"[^\x00-\x1f]{0,80}", value)
    return "" if fits else f"{flag} takes at most 80 printable characters, got {value[:80]!r}"


_CHECKS = {
    "time": _time, "silence": _time, "workers": _workers, "engine": _engine, "name": _name,
}  # fmt: skip
