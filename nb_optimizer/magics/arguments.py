"""The text of a magic's line, read into options that are derived from a settings dataclass."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any

from nb_optimizer.core.errors import UserError, nearest
from nb_optimizer.core.plan import LATER, later

_SHORT = {"-o": "--out"}


@dataclass(frozen=True)
class Option:
    """One option of a magic: ``--flag`` and, unless it is a switch, a value."""

    flag: str
    name: str
    kind: type
    help: str
    value: str = ""  # what the help calls its value; empty for switches
    default: Any = None
    choices: tuple[str, ...] = ()
    turns: bool | None = None  # what a switch sets


OUT = Option("--out", "out", str, "bind the run to NAME; also -o NAME", "NAME")


def options_of(settings: type) -> dict[str, Option]:
    """Return the options of a settings dataclass by flag, ``--out`` among them."""
    made = [option for f in fields(settings) for option in _options(f)]
    return {option.flag: option for option in [*made, OUT]}


def read(line: str, options: Mapping[str, Option], names: Mapping[str, Any]) -> dict[str, Any]:
    """Read a line; values that are no literals are looked up in ``names``.

    Raises:
        UserError: an unknown or repeated option, a missing or bad value, an unknown variable.
    """
    return read_words(split(line), options, names)


def read_words(
    given_words: Sequence[str], options: Mapping[str, Option], names: Mapping[str, Any]
) -> dict[str, Any]:
    """Read a line that is cut into words already; see :func:`read`."""
    words = list(given_words)
    found: dict[str, Any] = {}
    while words:
        word, given = _flag(words.pop(0))
        option = _known(word, options)
        if option.name in found:
            message = f"{option.flag} is given twice."
            raise UserError(message)
        if option.turns is not None:
            if given is not None:
                message = f"{option.flag} takes no value, got {given!r}."
                raise UserError(message)
            found[option.name] = option.turns
            continue
        if given is None:
            given = words.pop(0) if words and not _is_flag(words[0]) else None
        found[option.name] = _value(option, given, names)
    return found


def help_text(options: Iterable[Option]) -> str:
    """Return the options as aligned lines of help."""
    rows = [(f"{o.flag} {o.value}".strip(), o) for o in options]
    width = max(len(left) for left, _ in rows)
    return "\n".join(f"  {left:<{width}}  {o.help}{_default(o)}" for left, o in rows)


def _default(option: Option) -> str:
    quiet = option.turns is not None or option.default in (None, "")
    return "" if quiet else f" (default {option.default})"


def _options(setting: Field[Any]) -> list[Option]:
    flag = "--" + setting.name.rstrip("_").replace("_", "-")  # try_ is --try
    kind, text = setting.metadata["kind"], setting.metadata["help"]
    default = None if setting.default is MISSING else setting.default
    if kind is bool:
        on = Option(flag, setting.name, bool, text, default=default, turns=True)
        off = Option(f"--no-{flag[2:]}", setting.name, bool, f"turn {flag} off", turns=False)
        return [on] if default is False else [on, off]
    choices = setting.metadata.get("choices", ())
    shown = "|".join(choices) or setting.metadata.get("value") or ("N" if kind is int else "FLOAT")
    return [Option(flag, setting.name, kind, text, shown, default, choices)]


def split(line: str) -> list[str]:
    """Cut a line into words as a shell does; ``UserError`` for an open quotation."""
    try:
        return shlex.split(line)
    except ValueError as error:
        message = f"The line cannot be read ({str(error).lower()}): {line.strip()[:80]}"
        raise UserError(message) from error


def _is_flag(word: str) -> bool:
    return word.startswith("-") and not _is_number(word)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _flag(word: str) -> tuple[str, str | None]:
    flag, equals, value = word.partition("=")
    return _SHORT.get(flag, flag), value if equals else None


def _known(word: str, options: Mapping[str, Option]) -> Option:
    if word in options:
        return options[word]
    name = word.removeprefix("--").replace("-", "_")
    if word.startswith("--") and name in LATER:
        raise UserError(later(name))
    if not word.startswith("-"):
        message = f'"{word}" is not an option; options start with --.'
    else:
        message = f'There is no option "{word}".'
    raise UserError(message + nearest(word if word.startswith("-") else "--" + word, options))


def _value(option: Option, text: str | None, names: Mapping[str, Any]) -> Any:
    if text is None:
        message = f"{option.flag} needs a value: {option.flag} {option.value}."
        raise UserError(message)
    if option is OUT:
        if not text.isidentifier():
            message = f"--out takes a variable name, got {text!r}."
            raise UserError(message)
        return text
    if option.kind is str:
        return text
    return _number(option, text, names)


def _number(option: Option, text: str, names: Mapping[str, Any]) -> Any:
    try:
        return option.kind(text)
    except ValueError:
        pass
    if option.kind is int and _is_number(text) and float(text).is_integer():
        return int(float(text))  # 1e3
    if text.isidentifier() and text != "auto":
        if text in names:
            return names[text]
        message = f'{option.flag}: there is no variable "{text}".{nearest(text, names)}'
        raise UserError(message)
    return text  # the plan says what is wrong with it
