"""Tab completion of option names, their choices, and variables, on the magics' lines."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from nb_optimizer.magics import compress, devices, runs, train, tune
from nb_optimizer.magics.arguments import Option

_LINE = re.compile(r"\s*%{1,2}(?:nbo_)?(train|runs|devices|tune|compress)\s+([^\n]*)")
_OPTIONS = {"train": train.OPTIONS, "tune": tune.OPTIONS, "compress": compress.OPTIONS}


def matcher(names: Callable[[], Mapping[str, Any]]) -> Callable[[str], list[str]]:
    """Return a matcher for IPython's completer; ``names`` gives the user's variables."""

    def match(text: str) -> list[str]:
        return complete(text, names())

    return match


def complete(line: str, names: Mapping[str, Any]) -> list[str]:
    """Return completions of the last word of a magic's line."""
    found = _LINE.fullmatch(line)
    if not found:
        return []
    magic, rest = found.groups()
    words = rest.split(" ")
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if magic == "runs":
        return [a for a in runs.ACTIONS if a.startswith(last) and len(words) == 1]
    if magic == "devices":
        return [w for w in devices.EXAMPLES if w.startswith(last) and len(words) == 1]
    options = _OPTIONS[magic]
    option = options.get(before)
    if option is not None and option.turns is None:
        return _values(option, last, names)
    if magic == "compress" and len(words) == 1:
        return [n for n in names if n.startswith(last) and not n.startswith("_")]
    return [flag for flag in options if flag.startswith(last)]


def _values(option: Option, start: str, names: Mapping[str, Any]) -> list[str]:
    if option.choices:
        return [c for c in option.choices if c.startswith(start)]
    if option.name == "devices":
        return [w for w in devices.EXAMPLES if w.startswith(start)]
    if option.kind not in (int, float):
        return []
    numbers = [n for n, v in names.items() if isinstance(v, int | float) and not n.startswith("_")]
    return [n for n in numbers if n.startswith(start)]
