"""Which way a metric is better, and how early stopping stands."""

from __future__ import annotations

from typing import Any

# Parts of the names of metrics that grow as a model gets better.
_GROWING = (
    *("acc", "auc", "precision", "recall", "f1", "fbeta", "sensitivity", "specificity"),
    *("iou", "dice", "map", "ndcg", "r2", "cosine_similarity", "score", "bleu", "psnr", "ssim"),
)


def direction(name: str) -> str:
    """Return ``max`` for metrics that grow as the model gets better, else ``min``."""
    plain = name.removeprefix("val_").lower()
    if "loss" in plain or "error" in plain or plain in ("mape", "mae", "mse"):
        return "min"
    return "max" if any(part in plain for part in _GROWING) else "min"


def stopping_state(callback: Any) -> dict[str, Any] | None:
    """Describe an ``EarlyStopping`` callback as the views show it; ``None`` without one."""
    if callback is None:
        return None
    mode = callback.mode if getattr(callback, "mode", "auto") in ("min", "max") else None
    best = getattr(callback, "best", None)
    return {
        "monitor": callback.monitor,
        "patience": callback.patience,
        "wait": int(getattr(callback, "wait", 0)),
        "best": None if best is None else float(best),
        "min_delta": abs(float(callback.min_delta)),
        "direction": mode or direction(callback.monitor),
        "first_epoch": 1 + int(getattr(callback, "start_from_epoch", 0)),
    }
