"""How a run ended, and why, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nb_optimizer.core.errors import UserError

if TYPE_CHECKING:
    from nb_optimizer.core.training.fit import Fit

_ORIGINS = {
    "panel": "the Stop button was pressed",
    "interrupt": "the kernel was interrupted",
    "request": "another kernel asked for it (%runs stop)",
}


def outcome(fit: Fit, error: BaseException | None) -> tuple[str, str]:
    """Return the status of a run that is over, and the reason."""
    if error is not None:
        return _by_error(error)
    if fit.resume.finished and fit.resume.record is not None:
        return fit.resume.record.status, fit.resume.record.reason
    if fit.control.stop.is_set():
        return "stopped", _ORIGINS.get(fit.control.stop_origin, "a stop was asked for")
    if fit.ended_itself or not fit.model.stop_training:
        return "completed", ""
    return "early_stopped", _why(fit)


def _by_error(error: BaseException) -> tuple[str, str]:
    if isinstance(error, KeyboardInterrupt):
        return "stopped", "the kernel was interrupted twice"
    if isinstance(error, UserError):
        return "failed", str(error)
    text = str(error).strip().splitlines() or [""]
    return "failed", f"{type(error).__name__}: {text[0]}"[:300].rstrip(": ")


def _why(fit: Fit) -> str:
    state = fit.options.stopping_state()
    if state and state["wait"] >= state["patience"]:
        return f"{state['monitor']} has not improved for {state['wait']} epochs"
    known = (fit.framework.module.callbacks.TerminateOnNaN,)
    if any(isinstance(c, known) for c in fit.call.callbacks) and fit.record.non_finite:
        return "the loss is not a number (TerminateOnNaN)"
    names = [type(c).__name__ for c in fit.call.callbacks]
    return f"a callback stopped it ({', '.join(names)})" if names else "the model stopped it"
