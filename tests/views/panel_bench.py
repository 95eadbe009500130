"""A panel on a clock that the test moves, whose messages are written down."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import comm
import pytest

from nb_optimizer.core import events as ev
from nb_optimizer.core.record import RunRecord
from nb_optimizer.core.training.control import Control
from nb_optimizer.views import panel
from nb_optimizer.views.panel import PanelView

BEGIN = ev.RunBegin(
    time=0.0,
    run="r1",
    model="mlp",
    epochs=50,
    steps=100,
    batch_size=32,
    validates=True,
    monitor="val_loss",
)


@dataclass
class Wire:
    """Every message that widgets sent, as its size, and the state in it."""

    sizes: list[int] = field(default_factory=list)
    states: list[dict[str, Any]] = field(default_factory=list)


class Captured(comm.base_comm.BaseComm):
    """A comm that only writes down what is sent through it."""

    wire: Wire

    def publish_msg(self, msg_type, data=None, metadata=None, buffers=None, **keys):
        if msg_type != "comm_msg":
            return
        size = len(json.dumps(data)) + sum(memoryview(b).nbytes for b in buffers or ())
        self.wire.sizes.append(size)
        self.wire.states.append((data or {}).get("state", {}))


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    found = Wire()

    def create(**arguments):
        made = Captured(**arguments)
        made.wire = found
        return made

    monkeypatch.setattr(comm, "create_comm", create)
    return found


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """A record, a control and a panel on them."""

    def __init__(self) -> None:
        self.clock, self.record, self.control = Clock(), RunRecord(), Control()
        self.view = PanelView(self.record, self.control, clock=self.clock)

    def emit(self, event: ev.Event) -> None:
        self.record.apply(event)
        self.view.show(event, self.record)

    @property
    def board(self) -> panel.Board:
        return self.view._board


@pytest.fixture
def bench(wire: Wire) -> Iterator[Bench]:
    made = Bench()
    yield made
    made.view.close(made.record)


def progress(epoch: int, step: int, at: float = 1.0, **more: Any) -> ev.Progress:
    return ev.Progress(at, epoch, step, points=[[step, 1.0 / step]], **more)


def epoch_end(epoch: int, *, metrics: int = 1, **more: Any) -> ev.EpochEnd:
    names = ["loss", *(f"metric_{n}" for n in range(1, metrics))]
    values = {name: 1.0 / epoch + n for n, name in enumerate(names)}
    values |= {f"val_{name}": value + 0.1 for name, value in values.items()}
    return ev.EpochEnd(float(epoch), epoch, values, 0.001, 100, 1.0, 0.2, **more)
