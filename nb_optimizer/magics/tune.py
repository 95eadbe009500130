"""``%%tune``: search hyperparameters with the same cell."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nb_optimizer.core.errors import UserError, nearest
from nb_optimizer.core.store import Store
from nb_optimizer.core.tuning.grammar import FORMS, parse
from nb_optimizer.core.tuning.plan import TunePlan
from nb_optimizer.core.tuning.space import Range
from nb_optimizer.magics import arguments
from nb_optimizer.magics.execution import raise_in_cell, run_cell
from nb_optimizer.magics.settings import NbOptimizer

OPTIONS = arguments.options_of(TunePlan)

HELP = f"""Search hyperparameters with the cell as it is.

Name what may vary on the first line; the names become variables of the cell, which runs once for
each trial, in processes of its own. When it is over, the names hold the best values, and the
cell's variables are those of the best trial.

  %%tune lr=log(1e-4,1e-1) units=16..128:16 --on val_accuracy --trials 40 --workers 2 -o search
  model = keras.Sequential([layers.Dense(units, activation="relu"), layers.Dense(10)])
  model.compile(keras.optimizers.Adam(lr), loss, metrics=["accuracy"])
  model.fit(x, y, validation_split=0.2, epochs=27)

Ranges: {FORMS}. The cell may use hp.Int(...) of Keras Tuner instead; an
existing build(hp) function is named on the line: %%tune build_model.

The search survives this kernel: %runs attach shows it again, %runs stop ends it. Interrupting
the cell stops it gracefully; --resume goes on with it, whatever ended it.

Options:
{arguments.help_text(OPTIONS.values())}
"""

_PAIR = re.compile(r"([^\s=-][^\s=]*)=(.*)", re.DOTALL)


@dataclass(frozen=True)
class Request:
    """What the line says, every default filled in."""

    plan: TunePlan
    ranges: list[Range]
    build: str = ""
    out: str = ""


def read(line: str, names: Mapping[str, Any]) -> Request:
    """Read the line of ``%%tune``.

    Raises:
        UserError: a range or an option that cannot be.
    """
    words = arguments.split(_joined(line))
    at = next((i for i, w in enumerate(words) if w.startswith("-")), len(words))
    front, rest = words[:at], words[at:]
    build = ""
    if front and "=" not in front[0]:
        build = _build(front.pop(0), names)
    ranges = [_range(word, names) for word in front]
    twice = [r.name for i, r in enumerate(ranges) if any(r.name == q.name for q in ranges[:i])]
    if twice:
        message = f"The range {twice[0]} is given twice."
        raise UserError(message)
    stray = [w for w in rest if (p := _PAIR.fullmatch(w)) and _is_range(p[2])]
    if stray:
        message = f"Ranges come before the options: move {stray[0]} to the front."
        raise UserError(message)
    found = arguments.read_words(rest, OPTIONS, names)
    out = found.pop("out", "")
    return Request(TunePlan.of(found), ranges, build, out)


def run(shell: Any, settings: NbOptimizer, line: str, cell: str) -> Any:
    """Run the magic; return the search."""
    __tracebackhide__ = True
    request = read(line, shell.user_ns)
    from nb_optimizer.core.tuning.conduct import Cell, begin  # noqa: PLC0415 - loads NumPy
    from nb_optimizer.views import cell_id, search  # noqa: PLC0415 - loads pictures when asked

    source = shell.transform_cell(cell)
    code = Cell(source, request.ranges, request.build, f"%%tune {line.strip()}", cell_id())
    job = begin(request.plan, code, Store(settings.directory), shell.user_ns)
    detach, live = request.plan.detach, request.plan.live
    found = search.detached(job) if detach else search.follow(job, live)
    if request.out:
        shell.user_ns[request.out] = found
    if request.plan.detach:
        return found
    if found.record.fault is not None:
        raise_in_cell(shell, cell, found.record.fault, offset=bool(request.build))
    if found.status == "failed":
        message = f"{found.id} failed: {found.reason}"
        raise UserError(message)
    _bind(shell, found, cell, request)
    return found


def _bind(shell: Any, found: Any, cell: str, request: Request) -> None:
    """Let the names hold the best values, and the cell's variables come from the best trial."""
    if found.record.best is None:
        return
    shell.user_ns.update({r.name: found.best_values.get(r.name) for r in request.ranges})
    if found.record.begin.uses_hp:
        from nb_optimizer.core.tuning.hyper import hyperparameters  # noqa: PLC0415 - loads Keras Tuner

        shell.user_ns["hp"] = hyperparameters(found.best_values, 0)
    if not found.can_replay:
        return
    with found.replayed():
        if request.build:
            shell.user_ns["model"] = shell.user_ns[request.build](shell.user_ns["hp"])
        run_cell(shell, cell)


def _joined(line: str) -> str:
    """Take the spaces out of brackets: ``log(1e-4, 1e-1)`` is one word."""
    return re.sub(r"\([^()]*\)", lambda found: found[0].replace(" ", ""), line)


def _build(word: str, names: Mapping[str, Any]) -> str:
    if not word.isidentifier() or keyword.iskeyword(word):
        message = f'"{word}" is neither a range (name=values) nor the name of a build function.'
        raise UserError(message)
    if word not in names:
        functions = [n for n, v in names.items() if callable(v) and not n.startswith("_")]
        message = f'There is no function "{word}" to build the model.{nearest(word, functions)}'
        raise UserError(message)
    if not callable(names[word]):
        message = f"{word} is no function; to search over it, give it a range: {word}=16..128."
        raise UserError(message)
    return word


def _range(word: str, names: Mapping[str, Any]) -> Range:
    name, equals, text = word.partition("=")
    if not equals:
        message = f'"{word}" is no range; write {name}=values, with {FORMS}.'
        raise UserError(message)
    return parse(name, text, names)


def _is_range(text: str) -> bool:
    return ".." in text or "|" in text or text.startswith(("log(", "lin("))
