"""Workers in actors of a Ray cluster: the engine ``ray``.

Its machines need this package and the job's folder. Nothing is shipped through Ray's object store.
The memory of a worker is not limited here; Ray's own monitor may end it.
"""

from __future__ import annotations

import logging
import os
import socket
from typing import Any

from nb_optimizer.core.errors import UserError
from nb_optimizer.core.jobs.devices import Share
from nb_optimizer.core.jobs.remote import Call

_STORE = 80_000_000  # bytes of object store for a Ray of our own: it carries arguments only
_PATIENCE = 10.0  # seconds that a machine gets to answer


class Actors:
    """Launches one worker in each actor, where Ray finds room."""

    def __init__(self, address: str, wanted: int | None, devices: int) -> None:
        self._ray, self._devices = _connect(address), devices
        machines = [n["Resources"] for n in self._ray.nodes() if n["Alive"]]
        gpus = sum(int(m.get("GPU", 0)) for m in machines)
        cpus = sum(int(m.get("CPU", 0)) for m in machines)
        room = gpus // devices if gpus else cpus
        if not room:
            message = f"The Ray cluster has {gpus} GPUs and {cpus} CPUs, too few for one worker."
            raise UserError(message)
        self.size = min(wanted or (room if gpus else max(1, cpus // 2)), room)
        largest = max(int(m.get("CPU", 0)) for m in machines)
        self._threads = max(1, min(cpus // self.size, largest))
        self._wish = {"num_cpus": self._threads, "num_gpus": devices if gpus else 0}

    def launch(self, call: Call) -> _Actor:
        """Launch a worker; it waits until Ray has room for its actor."""
        share = Share((), self._threads, 0.0, self._devices)
        made = self._ray.remote(_Seat).options(**self._wish, max_restarts=0).remote()
        return _Actor(self._ray, made, call.arguments(share))

    def close(self) -> None:
        """Leave the cluster; actors, and a Ray that was started for this search, end."""
        self._ray.shutdown()


class _Seat:
    """What runs in an actor: the relay of one worker."""

    def host(self) -> str:
        """Return the name of its machine."""
        return socket.gethostname()

    def serve(self, folder: str, slot: int, turn: int, share: dict[str, Any], owner: Any) -> str:
        """Run a worker until it ends; return why it did."""
        import ray  # noqa: PLC0415 - an optional package

        from nb_optimizer.core.jobs import relay  # noqa: PLC0415 - runs in the actor

        gpus = tuple(ray.get_runtime_context().get_accelerator_ids().get("GPU", ()))
        return relay.serve(folder, slot, turn, {**share, "gpus": gpus}, owner)


class _Actor:
    """An actor with a worker."""

    def __init__(self, ray: Any, actor: Any, arguments: tuple[Any, ...]) -> None:
        self._ray, self._actor = ray, actor  # the handle keeps the actor alive
        self._host, self._end = actor.host.remote(), actor.serve.remote(*arguments)

    @property
    def name(self) -> str:
        """The place in words."""
        if not self._is_there(self._host):
            return "a Ray actor"
        try:
            return f"a Ray actor on {self._ray.get(self._host)}"
        except self._ray.exceptions.RayError:
            return "a Ray actor"

    def is_over(self) -> bool:
        """Whether the worker has ended."""
        return self._is_there(self._end)

    def why(self) -> str:
        """Return why it has ended."""
        try:
            why = str(self._ray.get(self._end))
        except self._ray.exceptions.RayActorError as error:
            last = str(error).strip().splitlines()[-1]  # where its machine lacks this package
            return "was lost with its Ray actor" + (f" ({last})" if "Error: " in last else "")
        except self._ray.exceptions.RayError as error:
            return f"could not run in its Ray actor ({error})"
        self._ray.kill(self._actor)  # frees its CPUs at once
        return why

    def _is_there(self, reference: Any) -> bool:
        return bool(self._ray.wait([reference], timeout=0)[0])


def _connect(address: str) -> Any:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # read when Ray starts
    try:
        import ray  # noqa: PLC0415 - an optional package
    except ImportError as error:
        message = "--engine ray needs Ray: pip install 'nb_optimizer[ray]'"
        raise UserError(message) from error
    how: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    address = address or os.environ.get("RAY_ADDRESS", "")
    if not address:  # one of our own: what else runs here may be another search's, and end with it
        ray.init(address="local", include_dashboard=False, object_store_memory=_STORE, **how)
        return ray
    _knock(address)
    try:
        ray.init(address=address, **how)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UserError(_nobody(address, error)) from error
    return ray


def _knock(address: str) -> None:
    """Refuse an address where nobody listens: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE).close()
    except (OSError, ValueError) as error:
        raise UserError(_nobody(address, error)) from error


def _nobody(address: str, error: Exception) -> str:
    why = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
    return (
        f"No Ray cluster answers at {address} ({why}); start one with "
        "ray start --head, or leave the address out to search on this machine."
    )
