"""Values that people give: ``lr=0.01,units=64; lr=0.1``."""

from __future__ import annotations

from typing import Any

from nb_optimizer.core.errors import UserError, listing, nearest
from nb_optimizer.core.tuning.grammar import literal
from nb_optimizer.core.tuning.space import Range


def given_values(text: str, ranges: list[Range]) -> list[dict[str, Any]]:
    """Read sets of values; each name must be one of ``ranges`` where there are any.

    Raises:
        UserError: an unknown name, a value outside of its range, a word that is no pair.
    """
    return [_one(part, ranges) for part in text.split(";") if part.strip()]


def _one(text: str, ranges: list[Range]) -> dict[str, Any]:
    known = {r.name: r for r in ranges}
    values: dict[str, Any] = {}
    for pair in text.split(","):
        name, equals, word = (p.strip() for p in pair.partition("="))
        if not equals or not name or not word:
            message = f'--try takes name=value,..., got "{pair.strip()}".'
            raise UserError(message)
        if known and name not in known:
            message = f"--try: there is no range {name}; there are {listing(known)}."
            raise UserError(message + nearest(name, known))
        values[name] = _fitting(literal(word), known.get(name))
    return values


def _fitting(value: Any, one: Range | None) -> Any:
    if one is None:
        return value
    if one.kind == "float" and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not one.contains(value):
        message = f"--try {one.name}={value} lies outside of {one.name}={one}."
        raise UserError(message)
    return value
