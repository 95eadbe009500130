"""The same as the magics, as plain Python calls."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nb_optimizer.core.plan import TrainPlan
from nb_optimizer.core.store import Store
from nb_optimizer.core.training.settings import CHECKPOINT_SECONDS
from nb_optimizer.views import Run, RunTable, cell_id, view_for


@contextlib.contextmanager
def train(
    *,
    directory: str | Path | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    **options: Any,
) -> Iterator[Run]:
    """Watch every ``model.fit`` in the block; the options of ``%%train`` are keywords.

    ::

        with nbo.train(patience=5, seed=1) as run:
            model.fit(x, y, validation_split=0.2, epochs=50)
        run.best

    Args:
        directory: where runs are kept, ``.nb_optimizer`` by default.
        checkpoint_seconds: least time between two checkpoints.
        **options: ``name``, ``monitor``, ``patience``, ... as :class:`TrainPlan` lists them.

    Raises:
        UserError: an unknown option, a bad value, a directory that cannot be written.
    """
    from nb_optimizer.core.training.session import Source, Training  # noqa: PLC0415 - loads Keras

    plan = TrainPlan.of(options)
    # The block is known again by its place: --resume needs to recognize it.
    caller = sys._getframe(2)  # noqa: SLF001 - documented, if underscored
    place = f"{Path(caller.f_code.co_filename).name}:{caller.f_lineno}"
    run = Run()
    training = Training(
        plan,
        source=Source("" if plan.name else place, cell_id()),
        store=Store(directory),
        view=view_for(plan.live),
        quiet=plan.live != "off",
        run=run,
        checkpoint_seconds=checkpoint_seconds,
    )
    with training:
        yield run


def runs(directory: str | Path | None = None) -> RunTable:
    """Return the runs on disk, oldest first; indexing gives a :class:`Run`."""
    store = Store(directory)
    return RunTable(list(store.records()), store.root)


def open_run(run: str | Path, directory: str | Path | None = None) -> Run:
    """Open a run by path, id, number or name.

    Raises:
        UserError: there is no such run.
    """
    path = Path(run)
    return Run.open(path if (path / "events.jsonl").is_file() else Store(directory).find(str(run)))
