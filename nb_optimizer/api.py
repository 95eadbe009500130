"""The same as the magics, as plain Python calls."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from nb_optimizer.core.plan import TrainPlan
from nb_optimizer.core.store import Store, is_search
from nb_optimizer.core.training.settings import CHECKPOINT_SECONDS
from nb_optimizer.views import (
    Compression,
    Run,
    RunTable,
    cell_id,
    compression_view,
    open_result,
    view_for,
)


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
    place = _place(2)  # a context manager's own frame is between
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


def compress(
    model: Any,
    *,
    data: Any,
    train: Any = None,
    recipe: dict[str, Any] | None = None,
    directory: str | Path | None = None,
    **options: Any,
) -> Compression:
    """Make smaller or faster versions of ``model``; the options of ``%compress`` are keywords.

    ::

        small = nbo.compress(model, data=(x_test, y_test), train=(x, y), budget="1%")
        small.best.export("model.tflite")

    Args:
        model: a built Keras model; it is never changed.
        data: held-out ``(x, y)`` or a data set, for scoring only.
        train: the same, to calibrate and fine-tune with.
        recipe: a recipe to make again, as ``small.recipe`` gave it.
        directory: where runs are kept, ``.nb_optimizer`` by default.
        **options: ``prune``, ``quantize``, ... as :class:`CompressPlan` lists them.

    Raises:
        UserError: an unknown option, a bad value, data that do not fit.
    """
    from nb_optimizer.core.compression import resume  # noqa: PLC0415 - only when asked
    from nb_optimizer.core.compression.plan import CompressPlan  # noqa: PLC0415
    from nb_optimizer.core.compression.session import Compressing  # noqa: PLC0415

    plan = CompressPlan.of(options)
    session = Compressing(
        plan,
        model,
        data,
        train,
        recipe=recipe,
        store=Store(directory),
        view=view_for(plan.live),
        watcher=compression_view(plan.live),
        kind=Compression,
        key=resume.key_of(_place(1)),
    )
    return cast("Compression", session.run())


def _place(depth: int) -> str:
    """Return where a call stands, ``depth`` frames above: ``resume`` knows it again by that."""
    caller = sys._getframe(depth + 1)  # noqa: SLF001 - documented, if underscored
    return f"{Path(caller.f_code.co_filename).name}:{caller.f_lineno}"


def runs(directory: str | Path | None = None) -> RunTable:
    """Return the runs on disk, oldest first; indexing gives a :class:`Run`."""
    store = Store(directory)
    return RunTable(list(store.records()), store.root)


def open_run(run: str | Path, directory: str | Path | None = None) -> Any:
    """Open a run, a search or a compression by path, id, number or name.

    Raises:
        UserError: there is no such run.
    """
    path = Path(run)
    is_path = (path / "events.jsonl").is_file() or is_search(path)
    return open_result(path if is_path else Store(directory).find(str(run)))
