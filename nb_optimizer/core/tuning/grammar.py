"""Ranges as people write them: ``16..128:16``, ``log(1e-4,1e-1)``, ``lin(0,0.5)``, ``32|64``."""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from nb_optimizer.core.errors import UserError, nearest
from nb_optimizer.core.tuning.space import Range

FORMS = "a..b, a..b:step, log(a,b), lin(a,b), x|y|z or true|false"
_CALL = re.compile(r"(\w+)\(([^()]*)\)(?::(.+))?")
_SPAN = re.compile(r"(.+?)\.\.([^:]+)(?::(.+))?")
_WORDS = {"true": True, "false": False, "none": None}


def parse(name: str, text: str, names: Mapping[str, Any] | None = None) -> Range:
    """Read one range; bounds may be names of numbers in ``names``.

    Raises:
        UserError: an empty range, a bad bound, one value only, an unknown form.
    """
    if not name.isidentifier() or keyword.iskeyword(name):
        message = f'"{name}" cannot name a variable of the cell.'
        raise UserError(message)
    reader = _Reader(name, text.strip(), names or {})
    made = reader.read()
    points = made.points()
    if points is not None and len(points) < 2:  # noqa: PLR2004 - nothing to search in one value
        only = f"only {points[0]!r}" if points else "nothing"
        message = f"{name}={text} holds {only}; a search needs at least two values."
        raise UserError(message)
    return made


class _Reader:
    def __init__(self, name: str, text: str, names: Mapping[str, Any]) -> None:
        self.name, self.text, self.names = name, text, names

    def read(self) -> Range:
        if "|" in self.text:
            return self._choice()
        if found := _CALL.fullmatch(self.text):
            return self._scale(*found.groups())
        if found := _SPAN.fullmatch(self.text):
            return self._integers(*found.groups())
        return self._refuse(f"is no range. Ranges are {FORMS}")

    def _choice(self) -> Range:
        words = [w.strip() for w in self.text.split("|")]
        if "" in words:
            self._refuse("has an empty choice")
        choices = tuple(literal(w) for w in words)
        if len({repr(c) for c in choices}) < len(choices):
            self._refuse("names a choice twice")
        return Range(self.name, "choice", choices=choices)

    def _scale(self, form: str, inside: str, step: str | None) -> Range:
        if form not in ("log", "lin"):
            self._refuse(f'has no form "{form}".{nearest(form, ("log", "lin"))} Ranges are {FORMS}')
        bounds = [b.strip() for b in inside.split(",")]
        if len(bounds) != 2 or "" in bounds:  # noqa: PLR2004 - a low and a high end
            self._refuse(f"takes two bounds, as in {form}(0.001,0.1)")
        low, high = (self._number(b) for b in bounds)
        self._in_order(low, high, f"{form}({bounds[1]},{bounds[0]})")
        if form == "log" and low <= 0:
            self._refuse("has a logarithm, so its bounds must be above 0")
        width = self._number(step.strip()) if step else None
        least = 1.0 if form == "log" else 0.0
        if width is not None and width <= least:
            self._refuse(f"has the step {step}; it must be above {least:g}")
        return Range(self.name, "float", low, high, width, log=form == "log")

    def _integers(self, first: str, last: str, step: str | None) -> Range:
        low, high = self._number(first.strip()), self._number(last.strip())
        width = self._number(step.strip()) if step else None
        if any(v is not None and v != int(v) for v in (low, high, width)):
            self._refuse(f"takes whole numbers; for decimals write lin({first},{last})")
        self._in_order(low, high, f"{last}..{first}")
        if width is not None and width <= 0:
            self._refuse(f"has the step {step}; it must be above 0")
        return Range(self.name, "int", low, high, width)

    def _in_order(self, low: float, high: float, right: str) -> None:
        if low > high:
            self._refuse(f"is empty, because {low:g} is above {high:g}; write {right}")
        if low == high:
            self._refuse(f"holds only {low:g}; a search needs at least two values")

    def _number(self, word: str) -> float:
        value: Any = self.names.get(word, word) if word.isidentifier() else word
        try:
            number = float(value)
        except (TypeError, ValueError):
            guess = nearest(word, self.names) if word.isidentifier() else ""
            self._refuse(f'has the bound "{word}", which is no number.{guess}')
        if not math.isfinite(number):
            self._refuse(f'has the bound "{word}", which is not finite')
        return number

    def _refuse(self, what: str) -> NoReturn:
        dot = "" if what.endswith((".", "?")) else "."
        message = f"{self.name}={self.text} {what}{dot}"
        raise UserError(message)


def literal(word: str) -> Any:
    """Read a choice as people write it: a number, true, false, none, or a word."""
    if word.lower() in _WORDS:
        return _WORDS[word.lower()]
    for kind in (int, float):
        try:
            number: float = kind(word)
        except ValueError:
            continue
        if math.isfinite(number):  # "nan" and "inf" are words like any other
            return number
    return word.strip("'\"")
