"""One ``fit`` call under watch: from its arguments to its closed record."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nb_optimizer.core import events as ev
from nb_optimizer.core import store
from nb_optimizer.core.devices.mailbox import Mailbox
from nb_optimizer.core.journal import FILE, Journal
from nb_optimizer.core.record import RunRecord
from nb_optimizer.core.training import diagnosis, state
from nb_optimizer.core.training.acceleration.install import Acceleration
from nb_optimizer.core.training.control import Control
from nb_optimizer.core.training.framework import ValidationCut
from nb_optimizer.core.training.interrupt import graceful_interrupt
from nb_optimizer.core.training.keeper import Keeper
from nb_optimizer.core.training.opening import opening, save_architecture
from nb_optimizer.core.training.options import Options
from nb_optimizer.core.training.outcome import outcome
from nb_optimizer.core.training.rate import Rate
from nb_optimizer.core.training.resume import Resume
from nb_optimizer.core.training.steer import Steering
from nb_optimizer.core.training.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from nb_optimizer.core.training.call import FitCall
    from nb_optimizer.core.training.framework import Framework
    from nb_optimizer.core.training.session import Training


class Fit:
    """Runs the user's ``fit`` with a journal, a view, a keeper and steering around it."""

    def __init__(self, training: Training, framework: Framework, call: FitCall, key: str) -> None:
        self.training, self.framework, self.call, self.key = training, framework, call, key
        self.plan = training.plan
        self.model = call.model
        self.control = Control()
        self.rate = Rate(framework, self.model)
        self.steering = Steering(self)
        self.options = Options(self)
        self.validation_was_cut = False
        self.ended_itself = False  # the last planned epoch is over
        self.started = False
        self._weights_are_broken = False
        self._start = time.perf_counter()
        self._faults: list[OSError] = []
        self.resume = Resume(self)
        self.acceleration = Acceleration(self)
        self.record = self.resume.record or RunRecord()
        self.path = self.resume.path or training.store.create()
        store.open_here.add(self.path.resolve())
        self.record.ghost = training.store.previous(
            key, training.source.cell_id, self.plan.name, exclude=self.path
        )
        self.keeper = Keeper(
            self.path if self.plan.checkpoint else None,
            training.checkpoint_seconds,
            saved=self._saved,
            fault=self._disk_fault,
        )
        self.keeper.best = self.resume.best
        self.mailbox = Mailbox(self.path)
        self._journal = Journal(self.path / FILE, self._disk_fault)
        self._view = training.view(self.record, self.control)
        self.watch = Watch(self)

    # ---- the whole call

    def run(self) -> Any:
        """Call ``fit`` and close the run whatever happens; return Keras' ``History``."""
        __tracebackhide__ = True
        self.control.on_stop = self._stop_now
        error: BaseException | None = None
        try:
            with (
                graceful_interrupt(lambda: self.control.request_stop("interrupt")),
                self.acceleration.installed(),
                self.resume.installed(),
                warnings.catch_warnings(),
            ):
                history = self.call.run(self.options.callbacks(self.watch))
        except BaseException as raised:  # the one place that records a failed run; raised on
            error = raised
            raise
        finally:
            self._close(error)
        return self._tidy(history)

    def validate(self, evaluate: Callable[[], Any]) -> Any:
        """Run the validation pass of an epoch, or cut it when a stop was asked for."""
        __tracebackhide__ = True
        if self.control.stop.is_set():
            return self._cut()
        try:
            result = evaluate()
        except ValidationCut:
            return self._cut()
        finally:
            self.watch.test_end()
        return self._cut() if self.control.stop.is_set() else result

    # ---- what the watch reports

    def begin(self, steps: int | None) -> None:
        """The model is built: put the plan on it, restore a resumed state, open the record."""
        self.options.put_on()
        self._open(steps)
        self.call.share.begin(self)
        if not self.resume.path:
            self.options.tell()
        self.resume.restore(self.subject)
        self.options.guard_monitor()
        self.acceleration.start()
        self.acceleration.tell_at_start()
        self.training.guard(lambda: save_architecture(self.model, self.path))

    def epoch_begin(self) -> None:
        """An epoch starts."""
        self.resume.put_history(self.model)

    def epoch_end(self, event: ev.EpochEnd) -> None:
        """An epoch is over: record it, keep its state, end the run if it was the last."""
        self.options.check_monitor(event.values)
        before = self.record.best
        self.emit(event)
        if event.partial:
            return
        is_best = self.record.best is not before
        self.call.share.agree(self)
        if event.epoch >= self.record.planned_epochs:
            self.attend()  # a wish for more epochs may have come in at the last moment
        self.steering.apply()
        if event.epoch >= self.record.planned_epochs and not self.model.stop_training:
            self.ended_itself = True
            self.model.stop_training = True
        if self.model.stop_training or self.keeper.wants(is_best=is_best):
            sound = self.keeper.take(self._snapshot, is_best=is_best)
            if not sound:
                self._tell_broken_weights()

    def attend(self) -> None:
        """Take the wishes that have come in, from the panel and from other kernels."""
        self.training.guard(self._view.pump)
        self.keeper.write_due()
        for error in self._faults:
            self._tell_fault(error)
        self._faults = []
        if self.call.share.in_lockstep:
            return
        self.mailbox.look(self.control)
        self.steering.apply()

    def is_partial(self, steps_done: int) -> bool:
        """Whether the epoch that ends now was cut short by a stop."""
        if not self.control.stop.is_set():
            return False
        steps = self.record.begin.steps
        return self.validation_was_cut or steps is None or steps_done < steps

    # ---- telling

    def emit(self, event: ev.Event, *, save: bool = True) -> None:
        """Fold an event into the record, show it, and append it to the journal."""
        self.record.apply(event)
        self.training.guard(lambda: self._view.show(event, self.record))
        if save:
            self.write(event)

    def write(self, event: ev.Event) -> None:
        """Append an event to the journal only."""
        self._journal.append(event)

    def note(self, text: str, level: str = "info") -> None:
        """Tell the user something."""
        self.emit(ev.Note(time.time(), text, level))

    def intervened(self, action: str, value: float | None = None, origin: str = "panel") -> None:
        """Record that somebody steered."""
        epoch, step = self.watch.position
        if action == "stop":  # takes effect when the block that runs is over
            step += self.acceleration.block_size - 1
        self.emit(ev.Intervention(time.time(), action, epoch, step, value, origin))

    @property
    def subject(self) -> state.Subject:
        """What snapshots are taken of."""
        return state.Subject(self.framework, self.model, self.options.regularization.variables)

    @property
    def steps_per_execution(self) -> int:
        """How many batches one hook stands for."""
        own = int(getattr(self.model, "steps_per_execution", 1) or 1)
        return max(own, self.acceleration.block_size)

    # ---- inside

    def _open(self, steps: int | None) -> None:
        self.started = True
        if self.resume.path:
            self.resume.open()
            return
        self.emit(opening(self, steps))
        if self.plan.resume:
            self.note("nothing to resume: this cell has no earlier run, so it starts at epoch 1")

    def _snapshot(self) -> state.Snapshot:
        snapshot = state.take(self.subject, self.record.epochs[-1].epoch)
        state.take_rest(
            snapshot,
            self.options.stateful_callbacks,
            planned=self.record.planned_epochs,
            rate_factor=self.rate.factor,
        )
        return snapshot

    def _tell_broken_weights(self) -> None:
        if self._weights_are_broken:
            return
        self._weights_are_broken = True
        causes = diagnosis.causes(self.model, self.call.values, self.rate.get())
        self.note(
            "the model's weights hold NaN or infinite values, so this epoch is not kept as the "
            f"best. Likely causes: {'; '.join(causes)}",
            "warning",
        )

    def _stop_now(self) -> None:
        self.model.stop_training = True

    def _cut(self) -> dict[str, float]:
        self.validation_was_cut = True
        # Without val_ metrics the user's callbacks would warn, about something we caused.
        for text in (".*conditioned on metric.*", ".*save best model only.*"):
            warnings.filterwarnings("ignore", message=text)
        return {}

    def _close(self, error: BaseException | None) -> None:
        self.acceleration.stop()
        restored = self._restore_best(error)
        self.options.take_off()
        if self.started:
            self.steering.apply()  # a stop in the very last batch is told, too
            self.call.share.end(self)
            self.keeper.close()
            status, reason = outcome(self, error)
            seconds = time.perf_counter() - self._start + self.resume.seconds
            self.emit(ev.RunEnd(time.time(), status, reason, seconds, restored))
            self.training.guard(lambda: self._view.close(self.record))
        self._journal.close()
        store.open_here.discard(self.path.resolve())
        self.mailbox.empty()
        if not self.started:
            self.training.guard(lambda: self._view.close(self.record))
            self.training.forget(self)

    def _restore_best(self, error: BaseException | None) -> int | None:
        """Give the model its best weights where the plan or a stop asks for it."""
        best, wish = self.keeper.best, self.plan.restore_best
        if best is None or wish is False or isinstance(error, Exception):
            return None
        by_patience = self.plan.patience is not None and not self.ended_itself
        if not (wish or self.control.stop.is_set() or by_patience):
            return None
        state.put_weights(self.subject, best)
        return best.epoch

    def _tidy(self, history: Any) -> Any:
        """Make the returned ``History`` hold the finished epochs only."""
        if self.ended_itself:
            self.model.stop_training = False
        finished = len(self.record.epochs)
        if self.record.partial_epoch is not None and len(history.epoch) > finished:
            del history.epoch[finished:]
            for values in history.history.values():
                del values[finished:]
        self.resume.put_history(self.model)
        return history

    def _saved(self, file: str, epoch: int, seconds: float) -> None:
        # From the writing thread: straight to the journal, the record belongs to training.
        self.write(ev.Checkpoint(time.time(), epoch, file, seconds))

    def _disk_fault(self, error: OSError) -> None:
        self._faults.append(error)

    def _tell_fault(self, error: OSError) -> None:
        self.note(
            f"This run can no longer be written to {Path(self.path)} ({error.strerror}). "
            "Training goes on; the best weights are kept in memory.",
            "warning",
        )
