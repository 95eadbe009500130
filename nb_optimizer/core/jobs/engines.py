"""Where workers run: one entry for each engine, all behind one contract."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from nb_optimizer.core.jobs.devices import shares
from nb_optimizer.core.jobs.local import LocalEngine
from nb_optimizer.core.jobs.remote import Launcher, RemoteEngine

Message = dict[str, Any]


class Engine(Protocol):
    """Starts workers and carries messages; every method returns at once but ``messages``."""

    def start(self, slot: int) -> bool:
        """Start the worker of a slot; its ``ready`` message follows. ``False`` if none can be."""

    def send(self, slot: int, message: Message) -> None:
        """Send a message to a worker."""

    def messages(self, timeout: float) -> list[tuple[int, Message]]:
        """Return what workers have said; a worker's end comes as ``gone`` with a ``why``."""

    def memory(self, slot: int) -> float:
        """Return the memory of a worker in MB; 0 where that is not known."""

    def device(self, slot: int) -> str:
        """Return in words what a worker computes on."""

    def kill(self, slot: int) -> None:
        """End a worker at once."""

    def close(self) -> None:
        """End all workers."""


def _local(folder: Path, job: dict[str, Any], address: str) -> tuple[Engine, int]:  # noqa: ARG001
    parts = shares(job["workers"], job["devices_per_trial"], job["memory"])
    job["memory_mb"] = parts[0].memory_mb
    return LocalEngine(folder, parts), len(parts)


def _cluster(folder: Path, job: dict[str, Any], address: str) -> tuple[Engine, int]:
    from nb_optimizer.core.jobs.cluster import Cluster  # noqa: PLC0415 - an optional package

    return _remote(folder, job, Cluster(address, _wanted(job), job["devices_per_trial"]))


def _ray(folder: Path, job: dict[str, Any], address: str) -> tuple[Engine, int]:
    from nb_optimizer.core.jobs.actors import Actors  # noqa: PLC0415 - an optional package

    return _remote(folder, job, Actors(address, _wanted(job), job["devices_per_trial"]))


def _wanted(job: dict[str, Any]) -> int | None:
    return None if job["workers"] == "auto" else int(job["workers"])


def _remote(folder: Path, job: dict[str, Any], launcher: Launcher) -> tuple[Engine, int]:
    job["memory_mb"] = 0.0  # of machines that are not ours to limit
    return RemoteEngine(folder, launcher), launcher.size


ENGINES: dict[str, Callable[[Path, dict[str, Any], str], tuple[Engine, int]]] = {
    "local": _local,
    "cluster": _cluster,
    "ray": _ray,
}


def engine_for(folder: Path, job: dict[str, Any]) -> tuple[Engine, int]:
    """Return the engine that a job asks for, and how many workers it has."""
    kind, _, address = str(job["engine"]).partition(":")
    return ENGINES[kind](folder, job, address)
