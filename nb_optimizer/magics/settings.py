"""``%config NbOptimizer``: the defaults of the magics."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from traitlets import Bool, CaselessStrEnum, Float, Int, TraitType, Unicode
from traitlets.config import Configurable

from nb_optimizer.core.plan import TrainPlan
from nb_optimizer.core.store import DIRECTORY
from nb_optimizer.core.training.settings import CHECKPOINT_SECONDS

# Options that belong to one cell and would be a trap as a default for all.
_NO_DEFAULT = ("name", "resume", "epochs", "monitor", "machines", "detach")
_TRAITS: dict[type, Any] = {int: Int, float: Float, str: Unicode, bool: Bool}


def _trait(option: Any) -> TraitType[Any, Any]:
    text, choices = option.metadata["help"], option.metadata.get("choices")
    if choices:
        free = option.default is None
        return CaselessStrEnum(choices, option.default, allow_none=free, help=text).tag(config=True)
    make = _TRAITS[option.metadata["kind"]]
    made = make(option.default, allow_none=option.default is None, help=text)
    return made.tag(config=True)  # type: ignore[no-any-return]


_OPTIONS = [f for f in fields(TrainPlan) if f.name not in _NO_DEFAULT]


class NbOptimizer(Configurable):
    """Defaults of nb_optimizer's magics; an option on the line wins."""

    directory = Unicode(DIRECTORY, help="where runs are kept").tag(config=True)
    checkpoint_seconds = Float(
        CHECKPOINT_SECONDS, min=0, help="least seconds between two checkpoints"
    ).tag(config=True)
    locals().update({f.name: _trait(f) for f in _OPTIONS})

    def defaults(self) -> dict[str, Any]:
        """Return the options whose default was changed."""
        return {
            f.name: getattr(self, f.name) for f in _OPTIONS if getattr(self, f.name) != f.default
        }
