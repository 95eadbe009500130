"""One ``fit`` under a strategy: prepared before, its model's weights handed back after."""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING, Any

from nb_optimizer.core import events as ev
from nb_optimizer.core.devices import machines, preflight, throughput
from nb_optimizer.core.devices.keras_inside import strategy_of
from nb_optimizer.core.devices.rebuild import copy_state, rebuilt

if TYPE_CHECKING:
    from nb_optimizer.core.training.call import FitCall
    from nb_optimizer.core.training.fit import Fit
    from nb_optimizer.core.training.framework import Framework

MACHINES = "MultiWorkerMirroredStrategy"  # its class has another name inside TensorFlow


class Share:
    """What a strategy changes about one ``fit``; without a strategy every method does nothing."""

    def __init__(self, strategy: Any | None, framework: Framework, call: FitCall) -> None:
        self._strategy = strategy
        self._framework = framework
        self._call = call
        self._users = call.model  # the object in the user's hands

    @property
    def replicas(self) -> int:
        """How many copies of the model are trained together."""
        return int(self._strategy.num_replicas_in_sync) if self._strategy else 1

    @property
    def in_lockstep(self) -> bool:
        """Whether other processes take the same steps, so that nothing may depend on a clock."""
        return self._strategy is not None and machines.is_member()

    def agree(self, fit: Fit) -> None:
        """At an epoch's end, let all processes take the same wishes."""
        if self.in_lockstep:
            machines.agree(fit, self._strategy)

    def prepare(self) -> None:
        """Check and repair the call, and put a twin of an outside model into it.

        Raises:
            UserError: this ``fit`` cannot be trained under the strategy.
        """
        if self._strategy is None:
            return
        call = self._call
        preflight.check_batches(call, self.replicas)
        preflight.check_settings(self._users)
        if strategy_of(self._users) is not self._strategy:
            call.model = rebuilt(self._framework, self._users, self._strategy)
            call.notes.append(
                f"{self._users.name} was built before this cell: a copy of it trains on the "
                "devices, and its weights come back"
            )
        preflight.repair_settings(call.model, call.notes)
        layers = self._framework.sublayers(call.model)
        preflight.tell_differences(call.model, layers, self.replicas, call.notes)

    def begin(self, fit: Fit) -> None:
        """Record which devices train."""
        if self._strategy is None:
            return
        # Said of data sets whose length a filter hides; all of them are read to their end.
        warnings.filterwarnings("ignore", message="Your input ran out of data")
        devices = [d.rpartition("device:")[2] for d in self._strategy.extended.worker_devices]
        if self.in_lockstep:
            devices = [f"{d} of each of {self.replicas // len(devices)} workers" for d in devices]
        size = self._call.known_batch or self._call.batch_size
        kind = MACHINES if self.in_lockstep else type(self._strategy).__name__
        many = "s" * (self.replicas > 1)
        text = f"trained on {self.replicas} device{many} ({', '.join(devices)}) with {kind}"
        if size:
            text += f", {size} rows per batch, {size // self.replicas} on each"
        fit.emit(ev.Distributed(time.time(), kind, devices, self.replicas, size, text))

    def end(self, fit: Fit) -> None:
        """Record what the devices gained."""
        if self._strategy is None:
            return
        event = throughput.scaling(fit.record, fit.training.store, fit.path)
        if event is not None:
            fit.emit(event)

    def give_back(self) -> None:
        """Put what the twin has learned into the user's object."""
        twin, users = self._call.model, self._users
        if twin is users or not twin.built:
            return
        copy_state(self._framework, twin, users)
        users.stop_training = twin.stop_training
        if (history := getattr(twin, "history", None)) is not None:
            users.history = history
            history.set_model(users)
        for callback in self._call.callbacks:
            callback.set_model(users)
