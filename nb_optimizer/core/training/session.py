"""The block in which every ``fit`` becomes a run: ``with Training(plan) as run: ...``."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nb_optimizer.core.devices import strategy as devices
from nb_optimizer.core.devices.share import Share
from nb_optimizer.core.errors import UserError
from nb_optimizer.core.plan import TrainPlan
from nb_optimizer.core.run import RunResult
from nb_optimizer.core.store import Store
from nb_optimizer.core.training import framework as frameworks
from nb_optimizer.core.training.acceleration.passes import Passes
from nb_optimizer.core.training.call import FitCall
from nb_optimizer.core.training.fit import Fit
from nb_optimizer.core.training.precision import check_precision, precision_scope
from nb_optimizer.core.training.settings import CHECKPOINT_SECONDS
from nb_optimizer.core.watching import Guard, ViewFactory, silent

_log = logging.getLogger(__name__)
_FEW = 4  # positional arguments of ``evaluate`` and ``predict``, before any callbacks


@dataclass(frozen=True)
class Source:
    """Where the code of a block comes from: tells runs of the same cell from others."""

    text: str = ""
    cell_id: str = ""

    def key(self, ordinal: int) -> str:
        """Return the identity of the ``ordinal``-th fit of this source."""
        lines = [line.rstrip() for line in self.text.strip().splitlines()]
        digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
        return f"{digest}:{ordinal}"


class Training:
    """Watches every ``fit`` in its block; see ``nb_optimizer.train`` for the public call.

    ``Model.fit``, ``evaluate`` and ``predict`` are replaced while the block runs, and given back
    after.
    """

    def __init__(  # noqa: PLR0913 - what differs between a notebook, a script and a test
        self,
        plan: TrainPlan,
        *,
        source: Source | None = None,
        store: Store | None = None,
        view: ViewFactory = silent,
        quiet: bool = True,
        run: RunResult | None = None,
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
        replay: bool = False,
    ) -> None:
        self.replay = replay  # with --resume: train nothing more, only bring the best back
        self.plan = plan
        self.source = source or Source()
        self.store = store or Store()
        self.view = view
        self.checkpoint_seconds = checkpoint_seconds
        self.run = run or RunResult()
        self.guard = Guard()
        self.direction = ""  # of the monitored metric, where its name does not tell it
        self.on_fit_end: Callable[[], object] = lambda: None  # may raise to leave the block
        self._quiet = quiet
        self.passes = Passes(plan)
        self._current: Fit | None = None
        self._count = 0
        self._thread = threading.get_ident()
        self.strategy: Any = None  # of tf.distribute, while the block runs on several devices
        self._undo = contextlib.ExitStack()

    def __enter__(self) -> RunResult:
        if self.plan.detach:
            message = "--detach trains a cell: use %%train, which sends it to another process."
            raise UserError(message)
        self.store.check_writable()
        used = frameworks.wanted(self.source.text)
        with contextlib.ExitStack() as stack:
            stack.enter_context(precision_scope(self.plan.precision))
            self.strategy = stack.enter_context(
                devices.machines_scope() if self.plan.machines else devices.scope(self.plan.devices)
            )
            for framework in used:
                if self.plan.seed is not None:
                    framework.seed(int(self.plan.seed))
                self._replace(stack, framework.model_class, "fit", self._fit)
                self._replace(stack, framework.model_class, "evaluate", self._evaluate)
                self._replace(stack, framework.model_class, "predict", self._predict)
            self._undo = stack.pop_all()
        return self.run

    def __exit__(self, *exc_info: object) -> None:
        self._undo.close()

    @property
    def current(self) -> Fit | None:
        """The ``fit`` that runs now."""
        return self._current

    def forget(self, fit: Fit) -> None:
        """Remove the traces of a fit that failed before it began."""
        if not fit.resume.path:
            shutil.rmtree(fit.path, ignore_errors=True)

    def _replace(
        self, stack: contextlib.ExitStack, owner: Any, name: str, wrapper: Callable[..., Any]
    ) -> None:
        original = getattr(owner, name)
        inherited = name not in vars(owner)

        @functools.wraps(original)
        def replaced(model: Any, *args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            return wrapper(original, model, args, kwargs)

        def give_back() -> None:
            if inherited:
                delattr(owner, name)
            else:
                setattr(owner, name, original)

        setattr(owner, name, replaced)
        stack.callback(give_back)

    def _fit(self, original: Callable[..., Any], model: Any, args: Any, kwargs: Any) -> Any:
        __tracebackhide__ = True
        # A fit inside a fit (a callback that trains a probe) or in another thread is not ours.
        if self._current is not None or threading.get_ident() != self._thread:
            return original(model, *args, **kwargs)
        check_precision(model, self.plan.precision)
        call = FitCall(original, model, args, kwargs)
        share = call.share = Share(self.strategy, frameworks.of(model), call)
        call.apply(self.plan, quiet=self._quiet, devices=share.replicas)
        share.prepare()
        self._count += 1
        fit = Fit(self, frameworks.of(model), call, self._key())
        self._current = fit
        try:
            history = fit.run()
        finally:
            self._current = None
            share.give_back()
            if fit.started:
                self.run.add(fit.path, fit.record, model, fit.keeper.best)
        self.on_fit_end()
        return history

    def _evaluate(self, original: Callable[..., Any], model: Any, args: Any, kwargs: Any) -> Any:
        __tracebackhide__ = True
        fit = self._current
        if fit is None:
            return self._pass("evaluate", original, model, args, kwargs)
        if model is not fit.model or not kwargs.get("_use_cached_eval_dataset"):
            return original(model, *args, **kwargs)
        return fit.validate(lambda: original(model, *args, **kwargs))

    def _predict(self, original: Callable[..., Any], model: Any, args: Any, kwargs: Any) -> Any:
        __tracebackhide__ = True
        return self._pass("predict", original, model, args, kwargs)

    def _pass(
        self, kind: str, original: Callable[..., Any], model: Any, args: Any, kwargs: Any
    ) -> Any:
        __tracebackhide__ = True
        call = functools.partial(original, model, *args, **kwargs)
        elsewhere = self._current is not None or threading.get_ident() != self._thread
        if elsewhere or kwargs.get("callbacks") or len(args) > _FEW:
            return call()
        return self.passes.run(kind, call, model, frameworks.of(model))

    def _key(self) -> str:
        if self.plan.name and not self.source.text:
            return f"name={self.plan.name}:{self._count}"
        return self.source.key(self._count)
