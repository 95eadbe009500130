"""What happens in a run, as small values that are appended to its journal.

A run's journal is one JSON object per line. The first key, ``event``, names the class below.
Numbers that JSON does not know (NaN, infinities) travel as the strings ``NaN``, ``Infinity``
and ``-Infinity`` inside the numeric fields.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

SCHEMA = 1


@dataclass(frozen=True)
class Event:
    """Base of all events. ``time`` is seconds since the epoch (``time.time()``)."""

    time: float

    numeric: ClassVar[frozenset[str]] = frozenset()


@dataclass(frozen=True)
class RunBegin(Event):
    """A ``fit`` call starts. ``epochs`` counts from 1; ``steps`` is ``None`` when unknown."""

    run: str
    name: str = ""
    key: str = ""  # same cell and same fit call: what --resume and the ghost look for
    cell_id: str = ""
    model: str = ""
    framework: str = "keras"
    parameters: int = 0
    epochs: int = 1
    steps: int | None = None
    batch_size: int | None = None
    validates: bool = False
    monitor: str = ""
    direction: str = "min"
    schedule: str = ""  # class of the learning-rate schedule, if the rate follows one
    options: dict[str, Any] = field(default_factory=dict)
    fingerprints: dict[str, str] = field(default_factory=dict)  # of a compression's model and data
    host: str = ""
    pid: int = 0
    started: float = 0.0  # when that process started: tells a recycled pid apart
    schema: int = SCHEMA


@dataclass(frozen=True)
class Resumed(Event):
    """The run goes on in another process from the end of ``epoch`` (0: from the beginning)."""

    epoch: int
    epochs: int
    host: str = ""
    pid: int = 0
    started: float = 0.0


@dataclass(frozen=True)
class Progress(Event):
    """Inside an epoch. ``points`` are ``[step, true batch loss]`` since the last Progress."""

    epoch: int
    step: int
    phase: str = "training"  # compiling, training, validating, paused
    points: list[list[float]] = field(default_factory=list)
    batches_per_second: float = 0.0
    memory_mb: float = 0.0
    validation_step: int = 0

    numeric: ClassVar[frozenset[str]] = frozenset({"points"})


@dataclass(frozen=True)
class EpochEnd(Event):
    """An epoch is over. ``partial`` epochs were cut by a stop and are in no average.

    ``stopping`` is the state of the early stopping in force, if any: ``monitor``, ``patience``,
    ``wait``, ``best``, ``min_delta``, ``direction``, ``first_epoch`` (from 1).
    """

    epoch: int
    values: dict[str, float]
    learning_rate: float | None = None
    steps: int = 0
    seconds: float = 0.0
    validation_seconds: float = 0.0
    partial: bool = False
    stopping: dict[str, Any] | None = None

    numeric: ClassVar[frozenset[str]] = frozenset({"values", "learning_rate", "stopping"})


@dataclass(frozen=True)
class Checkpoint(Event):
    """State up to the end of ``epoch`` is safe on disk in ``file``."""

    epoch: int
    file: str
    seconds: float = 0.0


@dataclass(frozen=True)
class Intervention(Event):
    """Somebody steered the run: ``action`` took effect before step ``step`` of ``epoch``."""

    action: str  # stop, pause, resume, learning_rate, epochs, back_to_best
    epoch: int
    step: int
    value: float | None = None
    origin: str = "panel"  # panel, interrupt, request

    numeric: ClassVar[frozenset[str]] = frozenset({"value"})


@dataclass(frozen=True)
class Note(Event):
    """Something the user should know; ``level`` is ``info`` or ``warning``."""

    text: str
    level: str = "info"


@dataclass(frozen=True)
class Accelerated(Event):
    """How steps are run from here on: ``way`` is ``plain``, ``loop``, ``fused`` or ``xla``.

    ``gain`` is how many times the speed of plain steps that is, 0 where it was not measured.
    """

    way: str
    gain: float
    text: str


@dataclass(frozen=True)
class Distributed(Event):
    """Several copies of the model are trained together; ``batch_size`` is that of all."""

    strategy: str
    devices: list[str] = field(default_factory=list)
    replicas: int = 1
    batch_size: int | None = None
    text: str = ""


@dataclass(frozen=True)
class Scaling(Event):
    """What the devices gained, in rows per second.

    ``efficiency`` is ``per_replica`` as a part of what the run ``against`` reached on one device.
    """

    rows_per_second: float
    per_replica: float
    efficiency: float | None = None
    against: str = ""
    text: str = ""


@dataclass(frozen=True)
class NonFinite(Event):
    """The loss became NaN or infinite between the batches ``first`` and ``last`` (from 1)."""

    epoch: int
    first: int
    last: int
    value: float
    causes: list[str] = field(default_factory=list)

    numeric: ClassVar[frozenset[str]] = frozenset({"value"})


@dataclass(frozen=True)
class Measured(Event):
    """A compressed model was measured or could not be made; ``row`` is its row of the table."""

    row: dict[str, Any]
    elapsed: float = 0.0  # seconds of the compression until then

    numeric: ClassVar[frozenset[str]] = frozenset({"row"})


@dataclass(frozen=True)
class Layers(Event):
    """What a model that is compressed is made of; a row for each kernel."""

    rows: list[dict[str, Any]]


@dataclass(frozen=True)
class Kept(Event):
    """A piece of a compression's work is finished; who resumes it need not do it again."""

    key: str
    values: dict[str, Any]

    numeric: ClassVar[frozenset[str]] = frozenset({"values"})


@dataclass(frozen=True)
class Picked(Event):
    """Which measured models are recommended: ``best``, ``quality``, ... to a row's number."""

    picks: dict[str, int]


@dataclass(frozen=True)
class RunEnd(Event):
    """The run is over. ``status``: completed, early_stopped, stopped or failed."""

    status: str
    reason: str = ""
    seconds: float = 0.0
    restored_epoch: int | None = None


EVENTS: dict[str, type[Event]] = {
    cls.__name__: cls
    for cls in (
        RunBegin,
        Resumed,
        Progress,
        EpochEnd,
        Checkpoint,
        Intervention,
        Note,
        Accelerated,
        Distributed,
        Scaling,
        NonFinite,
        Measured,
        Layers,
        Kept,
        Picked,
        RunEnd,
    )
}


def to_line(event: Event) -> str:
    """Return the event as one line of JSON, without the line end."""
    body = {"event": type(event).__name__, **_encode(asdict(event))}
    return json.dumps(body, separators=(",", ":"), allow_nan=False)


def from_line(line: str, kinds: Mapping[str, type[Event]] = EVENTS) -> Event:
    """Read one line of a journal; ``ValueError`` if it is damaged or of an unknown kind."""
    body = json.loads(line)
    if not isinstance(body, dict) or body.get("event") not in kinds:
        message = "not an event"
        raise ValueError(message)
    cls = kinds[body.pop("event")]
    known = cls.__dataclass_fields__
    values = {k: _decode(v) if k in cls.numeric else v for k, v in body.items() if k in known}
    try:
        return cls(**values)
    except TypeError as error:
        raise ValueError(str(error)) from error


def _encode(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, dict):
        return {str(k): _encode(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_encode(v) for v in value]
    return value


def _decode(value: Any) -> Any:
    if value in ("NaN", "Infinity", "-Infinity"):
        return float(value)
    if isinstance(value, dict):
        return {k: _decode(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_decode(v) for v in value]
    return value
