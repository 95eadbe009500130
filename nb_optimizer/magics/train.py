"""``%%train``: run the cell; each ``model.fit`` in it becomes a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nb_optimizer.core.errors import UserError
from nb_optimizer.core.plan import TrainPlan
from nb_optimizer.core.store import Store
from nb_optimizer.magics import arguments
from nb_optimizer.magics.execution import run_cell
from nb_optimizer.magics.settings import NbOptimizer

OPTIONS = arguments.options_of(TrainPlan)

HELP = f"""Train the Keras models of this cell, live, with nothing lost.

Put ``%%train`` on the first line of a cell with ordinary Keras code. The code runs unchanged;
each ``model.fit(...)`` in it becomes a run with a live panel, a journal on disk and its best
weights kept. The kernel's stop button ends training gracefully; press it twice to abort.

  %%train --patience 5 -o run
  model = keras.Sequential([...])
  model.compile("adam", "mse")
  history = model.fit(x, y, validation_split=0.2, epochs=50)

Numbers may be names of variables. The cell's own last expression is its result; ``-o NAME``
binds the run, with ``.best``, ``.history``, ``.status``, ``.plot()``, ``.to_code()``.

Options:
{arguments.help_text(OPTIONS.values())}
"""

NOTHING_TRAINED = "This cell trained nothing: it called no model.fit(...) of Keras."


@dataclass(frozen=True)
class Request:
    """What the line says, every default filled in."""

    plan: TrainPlan
    out: str = ""


def read(line: str, settings: NbOptimizer, names: dict[str, Any]) -> Request:
    """Read the line of ``%%train``."""
    found = arguments.read(line, OPTIONS, names)
    out = found.pop("out", "")
    return Request(TrainPlan.of({**settings.defaults(), **found}), out)


def run(shell: Any, settings: NbOptimizer, line: str, cell: str) -> Any:
    """Run the magic; return the value of the cell's last expression."""
    __tracebackhide__ = True
    request = read(line, settings, shell.user_ns)
    if not cell.strip():
        message = "%%train needs code below its line."
        raise UserError(message)
    from nb_optimizer.core.training.session import Source, Training  # noqa: PLC0415 - loads Keras
    from nb_optimizer.magics import away  # noqa: PLC0415 - loads Keras
    from nb_optimizer.views import Run, cell_id, view_for  # noqa: PLC0415 - loads widgets

    training = Training(
        request.plan,
        source=Source(cell, cell_id()),
        store=Store(settings.directory),
        view=view_for(request.plan.live),
        quiet=request.plan.live != "off",
        run=Run(),
        checkpoint_seconds=settings.checkpoint_seconds,
    )
    if request.out:
        shell.user_ns[request.out] = training.run
    if why := away.wanted(request.plan):
        value = away.run(shell, training, cell, why)
    else:
        with training:
            value = run_cell(shell, cell)
    if not training.run.runs and not request.plan.detach:
        print(NOTHING_TRAINED)  # noqa: T201 - talks to the user
    return value
