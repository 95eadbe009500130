"""Going on where an earlier compression of the same model by the same line ended."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from nb_optimizer.core import events as ev
from nb_optimizer.core import journal
from nb_optimizer.core.compression.data import Data
from nb_optimizer.core.compression.plan import CompressPlan
from nb_optimizer.core.compression.recipe import Recipe
from nb_optimizer.core.compression.row import FAILED, Row
from nb_optimizer.core.errors import UserError
from nb_optimizer.core.record import RUNNING
from nb_optimizer.core.store import Store, read_begin, read_record

NOTHING = "nothing to resume: there is no earlier compression of this line, so it starts afresh"
COMPLETE = "this compression was complete: nothing is left to make"
OVER = "time was over"
# Options that change nothing of what is made; a search may get more time.
_FREE = ("resume", "live", "out_dir", "time")
_SAID = {
    "weights": "its model had other weights",
    "layers": "its model had other layers, or other names of them",
    "compiled": "its model was compiled with another loss, optimizer or rate",
    "data": "--data held other rows, or in another order",
    "train": "--train held other rows, or in another order",
    "recipe": "it had another --recipe",
}


def key_of(text: str) -> str:
    """Return what tells the compressions of one line or place in a script from others."""
    return hashlib.sha256(f"compress {text}".encode()).hexdigest()[:16] if text else ""


def fingerprints(
    model: Any, held_out: Data, train: Data | None, recipe: dict[str, Any] | None
) -> dict[str, str]:
    """Return short digests of everything but the options that a compression depends on."""
    layers = [(type(x).__name__, str(x.name)) for x in getattr(model, "layers", [])]
    loss, optimizer = getattr(model, "loss", None), getattr(model, "optimizer", None)
    named = loss if isinstance(loss, str) else getattr(loss, "name", type(loss).__name__)
    rate = optimizer.get_config().get("learning_rate") if optimizer is not None else None
    compiled = (str(named), type(optimizer).__name__, rate)
    return {
        "weights": _digest(model.get_weights()),
        "layers": _digest(layers),
        "compiled": _digest(compiled),
        "data": _of_data(held_out),
        "train": "" if train is None else _of_data(train),
        "recipe": "" if recipe is None else _digest(recipe),
    }


def find(store: Store, begin: ev.RunBegin) -> Path | None:
    """Return the newest compression that ``begin`` would repeat; ``None`` if there was none.

    Raises:
        UserError: the earlier ones were of something else, or this one still runs.
    """
    known = [(p, read_begin(p)) for p in reversed(store.paths())] if begin.key else []
    same = [(p, b) for p, b in known if b.key == begin.key]
    if not same:
        return None
    path = next((p for p, b in same if not _differences(b, begin)), None)
    if path is None:
        newest, was = same[0]
        told = "; ".join(_differences(was, begin))
        message = (
            f"{newest.name} cannot be resumed: {told}. Resume it as it was, or leave --resume out."
        )
        raise UserError(message)
    if read_record(path).status == RUNNING:
        message = f"{path.name} is still running, so it cannot be resumed."
        raise UserError(message)
    return path


def _differences(was: ev.RunBegin, now: ev.RunBegin) -> list[str]:
    told = [t for k, t in _SAID.items() if was.fingerprints.get(k) != now.fingerprints.get(k)]
    for name in dict.fromkeys([*was.options, *now.options]):
        before, after = was.options.get(name), now.options.get(name)
        if name not in _FREE and before != after:
            flag = "--" + name.replace("_", "-")
            told.append(f"{flag} was {_word(before)}, now {_word(after)}")
    return told


def _word(value: Any) -> str:
    return "not given" if value is None else repr(value)[:60]


class Memory:
    """What a compression has finished: rows, trained weights, probes.

    It is filled from the journal of the compression that goes on. ``write`` puts an event into
    that journal.
    """

    def __init__(self, path: Path, write: Callable[[ev.Event], None]) -> None:
        self.path, self._write = path, write
        file = path / journal.FILE
        self.events = journal.read(file)[0] if file.is_file() else []
        self._kept = {e.key: e.values for e in self.events if isinstance(e, ev.Kept)}
        self._measured = [e for e in self.events if isinstance(e, ev.Measured)]

    @property
    def begin(self) -> ev.RunBegin | None:
        """How the earlier compression began; ``None`` where there was none."""
        found = [e for e in self.events if isinstance(e, ev.RunBegin)]
        return found[-1] if found else None

    def seconds(self, plan: CompressPlan) -> float:
        """Return the time that the first of these calls had.

        Epochs are shares of it: with those of another time nothing would be known again.
        """
        first = self.begin.options.get("time", "") if self.begin else plan.time
        return replace(plan, time=first).seconds

    def is_complete(self, seconds: float) -> bool:
        """Whether the earlier one made everything that can be made in this time."""
        cut = self.get(OVER)
        if cut is not None and cut["seconds"] < seconds:
            return False
        ends = [e for e in self.events if isinstance(e, ev.RunEnd | ev.Resumed)]
        over = bool(ends) and getattr(ends[-1], "status", "") == "completed"
        last = {e.row["number"]: e.row["status"] for e in self._measured}
        return over and FAILED not in last.values()

    def row(self, recipe: Recipe) -> ev.Measured | None:
        """Return how this recipe was first measured, where its file is still there."""
        return next((e for e in self._of(recipe) if self._is_sound(e)), None)

    def confirmed(self, number: int) -> ev.Measured | None:
        """Return how this row was measured again, on all rows."""
        found = [e for e in self._measured if e.row["number"] == number]
        return next((e for e in found if Row.from_dict(e.row).confirmed), None)

    def number(self, recipe: Recipe, rows: list[Row]) -> int:
        """Return the number of a row to be made: what failed before keeps its own."""
        failed = [int(e.row["number"]) for e in self._of(recipe)]
        taken = [r.number for r in rows] + [int(e.row["number"]) for e in self._measured]
        return failed[0] if failed else 1 + max(taken, default=0)

    def get(self, key: str) -> dict[str, Any] | None:
        """Return what was kept under ``key``."""
        return self._kept.get(key)

    def keep(self, key: str, **values: Any) -> None:
        """Keep a finished piece of work."""
        self._kept[key] = values
        self._write(ev.Kept(time.time(), key, values))

    def _of(self, recipe: Recipe) -> list[ev.Measured]:
        return [e for e in self._measured if e.row["recipe"] == recipe.to_dict()]

    def _is_sound(self, event: ev.Measured) -> bool:
        row = Row.from_dict(event.row)
        return row.status != FAILED and (self.path / row.file).is_file()


class Clock:
    """Seconds that a compression has taken, those of the parts before a resume counted in."""

    def __init__(self) -> None:
        self._before, self._since = 0.0, time.perf_counter()

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return self._before + time.perf_counter() - self._since

    def reach(self, seconds: float) -> None:
        """Go on from when a row was measured that is taken over."""
        self._before, self._since = max(self.seconds, seconds), time.perf_counter()


def _of_data(data: Data) -> str:
    from keras import tree  # noqa: PLC0415 - loads on first use

    return _digest([*data.inputs.values(), *tree.flatten(data.targets)])


def _digest(value: Any) -> str:
    digest = hashlib.blake2b(digest_size=8)
    arrays = value if isinstance(value, list) else [value]
    for one in arrays:
        if isinstance(one, np.ndarray) and one.dtype != object:
            digest.update(f"{one.dtype}{one.shape}".encode())
            digest.update(np.ascontiguousarray(one).view("uint8").data if one.size else b"")
        else:
            digest.update(json.dumps(one, sort_keys=True, default=_plain).encode())
    return digest.hexdigest()


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else str(value)
