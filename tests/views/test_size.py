"""At most 20 KB are added to the saved notebook, whatever the length of the run."""

from __future__ import annotations

import json
import random

import pytest

from nb_optimizer.core import events as ev
from nb_optimizer.core.record import RunRecord
from nb_optimizer.core.training.control import Control
from nb_optimizer.views.live import static_bundle
from nb_optimizer.views.text import TextView

LIMIT = 20_000


def long_run(epochs, metrics):
    rng = random.Random(0)  # noqa: S311 - any numbers
    names = ["loss", *(f"some_metric_{n}" for n in range(metrics - 1))]
    names += [f"val_{n}" for n in names]
    yield ev.RunBegin(
        0.0, "train-1", "a name", model="sequential", epochs=epochs, steps=10, monitor="val_loss"
    )
    for number in range(1, epochs + 1):
        values = {n: rng.random() for n in names}
        yield ev.EpochEnd(number * 0.5, number, values, 0.001, 10, 0.5)
        if number % 50 == 0:
            yield ev.Intervention(number * 0.5, "learning_rate", number, 3, 0.01)
            yield ev.Note(number * 0.5, "something worth a note of about this length, or so")
    yield ev.RunEnd(epochs * 0.5, "completed", seconds=epochs * 0.5)


@pytest.mark.parametrize(("epochs", "metrics"), [(30, 2), (10_000, 2), (10_000, 4)])
def test_saved_cell_is_small(epochs, metrics):
    record, lines, now = RunRecord(), [], [0.0]
    record.ghost = RunRecord.of(long_run(epochs, metrics))
    view = TextView(record, Control(), write=lines.append, clock=lambda: now[0])
    for event in long_run(epochs, metrics):
        now[0] = event.time
        record.apply(event)
        view.show(event, record)
    printed = "".join(line + "\n" for line in lines)
    saved = json.dumps([printed.splitlines(keepends=True), static_bundle(record)], indent=1)
    assert len(saved) < LIMIT
