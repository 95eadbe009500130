"""Text in: the magics. This is the only file of them that knows IPython."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import output_can_be_silenced

from nb_optimizer.core.errors import UserError
from nb_optimizer.magics import compress, devices, runs, train, tune
from nb_optimizer.magics.completion import matcher
from nb_optimizer.magics.settings import NbOptimizer


@dataclass(frozen=True)
class Magic:
    """One magic: ``kind`` is ``cell`` or ``line``; ``run`` takes shell, settings and text."""

    kind: str
    run: Callable[..., Any]
    help: str


MAGICS: dict[str, Magic] = {
    "train": Magic("cell", train.run, train.HELP),
    "devices": Magic("line", devices.run, devices.HELP),
    "tune": Magic("cell", tune.run, tune.HELP),
    "runs": Magic("line", runs.run, runs.HELP),
    "compress": Magic("line", compress.run, compress.HELP),
}
_PREFIX = "nbo_"  # where a name is taken by another extension


@dataclass
class _Loaded:
    """What loading changed in a shell, so that unloading can change it back."""

    settings: NbOptimizer
    names: list[tuple[str, str]]
    matcher: Callable[..., Any]


_LOADED: dict[int, _Loaded] = {}  # by shell: a process may embed several


def load(shell: Any) -> None:
    """Register the magics, their settings and their completion; a second time does nothing."""
    if id(shell) in _LOADED:
        return
    settings = NbOptimizer(parent=shell)
    names = [_register(shell, settings, name, magic) for name, magic in MAGICS.items()]
    shell.configurables.append(settings)
    match = matcher(lambda: shell.user_ns)
    shell.Completer.custom_matchers.append(match)
    _LOADED[id(shell)] = _Loaded(settings, names, match)


def unload(shell: Any) -> None:
    """Undo what :func:`load` did."""
    loaded = _LOADED.pop(id(shell), None)
    if loaded is None:
        return
    for kind, name in loaded.names:
        shell.magics_manager.magics[kind].pop(name, None)
    shell.configurables.remove(loaded.settings)
    shell.Completer.custom_matchers.remove(loaded.matcher)


def _register(shell: Any, settings: NbOptimizer, name: str, magic: Magic) -> tuple[str, str]:
    taken = name in shell.magics_manager.magics[magic.kind]
    used = _PREFIX + name if taken else name
    if taken:
        sign = "%%" if magic.kind == "cell" else "%"
        text = f"{sign}{name} belongs to another extension; use {sign}{used}"
        print(f"nb_optimizer: {text}")  # noqa: T201 - said once, at load
    shell.register_magic_function(_envelope(shell, settings, magic), magic.kind, used)
    return magic.kind, used


def _envelope(shell: Any, settings: NbOptimizer, magic: Magic) -> Callable[..., Any]:
    @output_can_be_silenced
    def envelope(line: str, *cell: str) -> Any:
        __tracebackhide__ = True
        try:
            return magic.run(shell, settings, line, *cell)
        except UserError as mistake:
            text = " ".join(str(mistake).split())
        # Raised out here, so that the one line comes without the inner error's context.
        raise UsageError(text)

    envelope.__doc__ = magic.help
    return envelope
