"""What happens in a search, as small values that its supervisor appends to the journal.

The journal of a search is ``search.jsonl``, written as that of a run is; see ``core/events.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from nb_optimizer.core.events import Event, Note

FILE = "search.jsonl"


@dataclass(frozen=True)
class SearchBegin(Event):
    """A search starts. ``trials`` is ``None`` where the grid decides, ``on`` empty if not given.

    ``pid`` and ``started`` tell which process owns the search; ``space`` is that of the line.
    """

    run: str
    name: str = ""
    key: str = ""
    cell_id: str = ""
    on: str = ""
    direction: str = ""
    search: str = "asha"
    engine: str = "local"
    trials: int | None = None
    seconds: float | None = None
    workers: int = 1
    seed: int = 0
    space: list[dict[str, Any]] = field(default_factory=list)
    source: str = ""
    uses_hp: bool = False
    line: str = ""  # the magic's line, to be seen and used again
    host: str = ""
    pid: int = 0
    started: float = 0.0


@dataclass(frozen=True)
class SearchResumed(Event):
    """The search goes on in another process, perhaps with another budget."""

    trials: int | None = None
    seconds: float | None = None
    workers: int = 1
    host: str = ""
    pid: int = 0
    started: float = 0.0


@dataclass(frozen=True)
class Objective(Event):
    """What is improved, once the first model tells its metrics."""

    on: str
    direction: str


@dataclass(frozen=True)
class SpaceGrown(Event):
    """A trial has met hyperparameters that were not known."""

    space: list[dict[str, Any]]


@dataclass(frozen=True)
class TrialBegin(Event):
    """A worker takes a trial, or takes it again after ``after`` finished epochs."""

    trial: int
    values: dict[str, Any]
    origin: str = "uniform"  # uniform, model, grid, given
    worker: int = 0
    after: int = 0


@dataclass(frozen=True)
class TrialFit(Event):
    """A ``fit`` of a trial begins; ``epochs`` are planned in all, with those of earlier fits."""

    trial: int
    fit: int
    epochs: int
    parameters: int = 0
    values: dict[str, Any] = field(default_factory=dict)  # with what the cell's hp has drawn


@dataclass(frozen=True)
class TrialEpoch(Event):
    """A trial has finished an epoch; ``epoch`` counts from 1 over all fits of the cell."""

    trial: int
    epoch: int
    values: dict[str, float]
    seconds: float = 0.0
    memory_mb: float = 0.0

    numeric: ClassVar[frozenset[str]] = frozenset({"values"})


@dataclass(frozen=True)
class TrialEnd(Event):
    """A trial is over or pauses. ``status``: completed, pruned, failed or waiting (tried again).

    ``score`` is what the cell left in the variable named by ``--on``, where it is no metric.
    ``fault`` describes an exception: ``kind``, ``line`` of the cell, ``traceback``.
    """

    trial: int
    status: str
    reason: str = ""
    score: float | None = None
    seconds: float = 0.0
    values: dict[str, Any] | None = None
    fault: dict[str, Any] | None = None
    crashed: bool = False  # its worker died of it, or with it
    cpu_seconds: float = 0.0  # of its worker, since it was begun or taken up again

    numeric: ClassVar[frozenset[str]] = frozenset({"score"})


@dataclass(frozen=True)
class Worker(Event):
    """A worker starts, is ready, works, or is gone (``state``)."""

    worker: int
    state: str  # starting, ready, gone
    pid: int = 0
    device: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Paused(Event):
    """The whole search pauses or goes on."""

    on: bool


@dataclass(frozen=True)
class Importance(Event):
    """How much each range matters, from ``trials`` trials: share of the variance and its error."""

    trials: int
    shares: dict[str, float]
    errors: dict[str, float]


@dataclass(frozen=True)
class SearchEnd(Event):
    """The search is over. ``status``: completed, stopped or failed."""

    status: str
    reason: str = ""
    seconds: float = 0.0
    fault: dict[str, Any] | None = None


EVENTS: dict[str, type[Event]] = {
    cls.__name__: cls
    for cls in (
        SearchBegin,
        SearchResumed,
        Objective,
        SpaceGrown,
        TrialBegin,
        TrialFit,
        TrialEpoch,
        TrialEnd,
        Worker,
        Paused,
        Importance,
        SearchEnd,
        Note,
    )
}
