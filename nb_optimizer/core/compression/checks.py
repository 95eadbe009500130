"""What a compression is asked for, held against the model and the devices that are there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nb_optimizer.core.compression import graph
from nb_optimizer.core.compression.plan import CompressPlan
from nb_optimizer.core.compression.recipe import Recipe
from nb_optimizer.core.devices import strategy
from nb_optimizer.core.devices.choice import PLAIN
from nb_optimizer.core.errors import UserError

if TYPE_CHECKING:
    from nb_optimizer.core.compression.session import Compressing


def check_model(model: Any) -> None:
    """Refuse what is no built Keras model."""
    if not hasattr(model, "count_params") or not hasattr(model, "predict"):
        message = f"%compress takes a Keras model, got {type(model).__name__}."
        raise UserError(message)
    if not getattr(model, "built", False):
        message = "The model is not built yet: call it once on data, or give it an Input."
        raise UserError(message)


def devices(plan: CompressPlan) -> str | None:
    """Return what fine-tuning runs on, ``None`` for no strategy; ``UserError`` if not there."""
    if not plan.devices or strategy.chosen(plan.devices).strategy == PLAIN:
        return None
    strategy.check_backend("--devices")
    return plan.devices


def check_has_training(recipes: list[Recipe]) -> None:
    """Refuse recipes that train, where there is nothing to train on."""
    if recipes:
        message = f"{recipes[0].name} fine-tunes the model: give it data with --train x,y."
        raise UserError(message)


def trains_here(session: Compressing) -> bool:
    """Whether the model is trained by this process itself; TF-MOT has its own."""
    if not graph.has_graph(session.model) or session.train is None:
        return False
    recipes = session.recipes
    mine = [r for r in recipes if r.trains and (r.engine != "tfmot" or r.narrows or r.start)]
    return session.plan.searches or bool(mine)
