"""``%compress``: smaller and faster versions of a model, each measured on its exported file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nb_optimizer.core.compression.plan import CompressPlan
from nb_optimizer.core.errors import UserError, nearest
from nb_optimizer.core.store import Store
from nb_optimizer.magics import arguments
from nb_optimizer.magics.arguments import Option
from nb_optimizer.magics.settings import NbOptimizer

DATA = Option("--data", "data", str, "held-out inputs and labels, for scoring", "x,y")
TRAIN = Option("--train", "train", str, "training data, to calibrate and fine-tune with", "x,y")
RECIPE = Option("--recipe", "recipe", str, "a recipe to make again: result.recipe", "NAME")
OPTIONS = {o.flag: o for o in (DATA, TRAIN, RECIPE)} | arguments.options_of(CompressPlan)

HELP = f"""Make a model smaller or faster, and measure every version on its exported file.

  %compress model --data x_test,y_test --train x,y --budget 1%
  %compress model --quantize int8,float16 --data x_test,y_test
  %compress model --prune 0.8 --quantize int8 --data x_test,y_test --train x,y -o small

MODEL is the name of a Keras model; it is never changed. ``--data`` and ``--train`` take names of
variables: inputs and labels, or one data set. Without a recipe (``--prune``, ``--cluster``,
``--quantize``, ``--shrink``) or a goal (``--budget``, ``--max-size``) the number formats that
need no training are tried. The result has ``.best``, ``.candidates``, ``.rejected``,
``.table()``, ``.plot()``, ``.recipe`` and ``.panel()``, where a click exports or loads a file; a
candidate has ``.load()`` and ``.export(path)``.

Options:
{arguments.help_text(OPTIONS.values())}
"""


@dataclass(frozen=True)
class Request:
    """What the line says, names replaced by what they stand for."""

    plan: CompressPlan
    model: Any
    data: Any
    train: Any = None
    recipe: Any = None
    out: str = ""
    word: str = ""  # the model, as the line names it


def read(line: str, names: Mapping[str, Any]) -> Request:
    """Read the line of ``%compress``.

    Raises:
        UserError: no model, an unknown option or variable, a bad value.
    """
    first, _, rest = line.strip().partition(" ")
    if not first or first.startswith("-"):
        message = "%compress takes a model first, as in: %compress model --data x_test,y_test"
        raise UserError(message)
    found = arguments.read(rest, OPTIONS, names)
    out = found.pop("out", "")
    objects = {o.name: _objects(o, found.pop(o.name, ""), names) for o in (DATA, TRAIN, RECIPE)}
    return Request(
        CompressPlan.of(found), _named(first, "%compress", names), out=out, word=first, **objects
    )


def run(shell: Any, settings: NbOptimizer, line: str) -> Any:
    """Run the magic; return the compression."""
    request = read(line, shell.user_ns)
    from nb_optimizer.core.compression import resume  # noqa: PLC0415 - loads NumPy
    from nb_optimizer.core.compression.session import Compressing  # noqa: PLC0415
    from nb_optimizer.views import Compression, compression_view, view_for  # noqa: PLC0415

    session = Compressing(
        request.plan,
        request.model,
        request.data,
        request.train,
        recipe=request.recipe,
        store=Store(settings.directory),
        view=view_for(request.plan.live),
        watcher=compression_view(request.plan.live),
        kind=Compression,
        key=resume.key_of(request.word),
    )
    if request.out:
        shell.user_ns[request.out] = session.result
    return session.run()


def _objects(option: Option, text: str, names: Mapping[str, Any]) -> Any:
    """Return what ``x,y`` or ``dataset`` stands for; ``None`` where the option is not given."""
    if not text:
        return None
    found = [_named(word.strip(), option.flag, names) for word in text.split(",")]
    return found[0] if len(found) == 1 else tuple(found)


def _named(word: str, flag: str, names: Mapping[str, Any]) -> Any:
    name, *path = word.split(".")
    if not all(part.isidentifier() for part in [name, *path]):
        message = f"{flag} takes names of variables, got {word!r}."
        raise UserError(message)
    if name not in names:
        message = f'{flag}: there is no variable "{name}".{nearest(name, names)}'
        raise UserError(message)
    value = names[name]
    for part in path:
        if not hasattr(value, part):
            message = f'{flag}: {name} has no "{part}".'
            raise UserError(message)
        value = getattr(value, part)
    return value
