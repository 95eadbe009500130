"""Workers on the engines of an ipyparallel cluster: the engine ``cluster``.

Whatever launches the engines (SSH, Slurm, MPI, Kubernetes) is ipyparallel's own. They need this
package and the job's folder. The memory of a worker is not limited here, only told.
"""

from __future__ import annotations

import os
import socket
from typing import Any

from nb_optimizer.core.errors import UserError
from nb_optimizer.core.jobs.devices import Share
from nb_optimizer.core.jobs.process import ROOT
from nb_optimizer.core.jobs.remote import Call

_CODE = """
import sys
sys.path.append({root!r}) if {root!r} not in sys.path else None
from nb_optimizer.core.jobs.relay import serve as _serve
_why = _serve(*{arguments!r})
"""


class Cluster:
    """Launches one worker on each engine."""

    def __init__(self, profile: str, wanted: int | None, devices: int) -> None:
        self._devices = devices
        self._client = _connect(profile)
        self._hosts = dict(
            zip(self._client.ids, self._client[:].apply_sync(socket.gethostname), strict=True)
        )
        self.size = min(wanted or len(self._hosts), len(self._hosts))
        self._places: list[_Engine] = []

    def launch(self, call: Call) -> _Engine | None:
        """Launch a worker on an engine that has none; ``None`` if none is left."""
        self._places = [p for p in self._places if not p.is_over()]
        taken = {p.number for p in self._places}
        free = [e for e in self._client.ids if e not in taken and e in self._hosts]
        if not free:
            return None
        code = _CODE.format(root=ROOT, arguments=call.arguments(self._share(free[0])))
        result = self._client[free[0]].execute(code, block=False)
        place = _Engine(self._client, free[0], self._hosts[free[0]], result)
        self._places.append(place)
        return place

    def close(self) -> None:
        """Leave the cluster; its engines stay."""
        self._client.close()

    def _share(self, engine: int) -> Share:
        host = self._hosts[engine]
        mates = sum(h == host for h in self._hosts.values())
        return Share((), max(1, (os.cpu_count() or 1) // mates), 0.0, self._devices)


class _Engine:
    """An engine with a worker."""

    def __init__(self, client: Any, number: int, host: str, result: Any) -> None:
        self.number, self.name = number, f"engine {number} on {host}"
        self._client, self._result = client, result

    def is_over(self) -> bool:
        """Whether the worker has ended."""
        return bool(self._result.ready())

    def why(self) -> str:
        """Return why it has ended."""
        import ipyparallel  # noqa: PLC0415 - an optional package

        try:
            self._result.get(timeout=1)
            return str(self._client[self.number].get("_why", block=True) or "ended")
        except (ipyparallel.RemoteError, ipyparallel.TimeoutError) as error:
            if getattr(error, "ename", "") == "EngineError":
                return f"was lost with engine {self.number}"
            return f"could not run on its engine ({error})"


def _connect(profile: str) -> Any:
    try:
        import ipyparallel  # noqa: PLC0415 - an optional package
    except ImportError as error:
        message = "--engine cluster needs ipyparallel: pip install ipyparallel"
        raise UserError(message) from error
    name = profile or "default"
    how = f"start engines first: ipcluster start --profile={name} -n 2"
    try:
        # One that a notebook has started has an id of its own; the latest one is meant.
        known = ipyparallel.ClusterManager().load_clusters(profiles=[name])
        client = known[list(known)[-1]].connect_client_sync() if known else None
        client = client or ipyparallel.Client(profile=name, timeout=20)
    except Exception as error:  # a guarded place: profiles, files and launchers raise anything
        message = f"No ipyparallel cluster runs for the profile {name}; {how}"
        raise UserError(message) from error
    if not client.ids:
        message = f"The cluster of the profile {name} has no engines; {how}"
        raise UserError(message)
    return client
