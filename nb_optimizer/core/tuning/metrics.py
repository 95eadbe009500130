"""What a search improves when the line does not say it."""

from __future__ import annotations

from collections.abc import Iterable

from nb_optimizer.core.training.metric import direction


def objective(names: Iterable[str]) -> tuple[str, str]:
    """Return the metric and its direction: ``val_loss``, else ``loss``, else the first."""
    known = list(names)
    chosen = next((n for n in ("val_loss", "loss") if n in known), known[0] if known else "loss")
    return chosen, direction(chosen)
