"""Mistakes of the user, told in one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Something the user asked for cannot be done.

    The message is one line: what was received, what is right, the nearest name.
    The magics show it as a ``UsageError``; Python callers catch this class.
    """


def check_names(names: Iterable[str], known: Iterable[str], what: str) -> None:
    """Refuse a name that is not known: ``There is no option "x". Did you mean "y"?``."""
    known = list(known)
    for name in names:
        if name not in known:
            message = f'{what} "{name}".{nearest(name, known)}'
            raise UserError(message)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return `` Did you mean "x"?`` for the closest known word, or an empty string."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f' Did you mean "{close[0]}"?' if close else ""


def listing(words: Iterable[str]) -> str:
    """Join words for a sentence: ``a, b and c``."""
    items = list(words)
    if len(items) < 2:  # noqa: PLR2004 - one word needs no "and"
        return "".join(items)
    return ", ".join(items[:-1]) + " and " + items[-1]
