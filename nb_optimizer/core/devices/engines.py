"""The same job on several ipyparallel engines, one worker process on each.

The engines are started by ipyparallel itself (on this machine, by SSH, Slurm, MPI, Kubernetes:
whatever the profile says). Each starts a worker process, so that an engine stays usable after it.
All of them must see the folder in which the runs are kept.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import shutil
import socket
import time
from pathlib import Path
from typing import Any

from nb_optimizer.core.devices.job import Job
from nb_optimizer.core.devices.launch import ending, environment, spawn
from nb_optimizer.core.devices.machines import CONFIG, EARLIER
from nb_optimizer.core.errors import UserError, nearest
from nb_optimizer.core.store import Store, read_begin

_GRACE = 10.0  # seconds that the others have to notice a lost worker by themselves
_START = 120.0  # seconds that a cluster has to start
_FEWEST = 2


class Engines:
    """A connection to the engines of a profile, started here unless they already run."""

    def __init__(self, wish: str) -> None:
        profile, _, count = wish.partition(":")
        if count and (not count.isdecimal() or int(count) < _FEWEST):
            message = f"--machines takes PROFILE or PROFILE:N with at least 2 engines, got {wish!r}"
            raise UserError(message + ".")
        _check_profile(profile)
        self._mine: Any = None
        self._wanted = int(count) if count else None
        self.client = self._connect(_ipyparallel(), profile)
        ids = list(self.client.ids)[: self._wanted]
        if len(ids) < max(_FEWEST, self._wanted or 0):
            self.close()
            message = (
                f"--machines {wish}: the profile has {len(self.client.ids)} engine(s); "
                f"{max(_FEWEST, self._wanted or 0)} are needed, as in --machines {profile}:2."
            )
            raise UserError(message)
        self.ids = ids

    def close(self) -> None:
        """Leave the engines; end those that were started here."""
        with contextlib.suppress(OSError, RuntimeError, TimeoutError):
            self.client.close()
            if self._mine is not None:
                self._mine.stop_cluster_sync()

    def _connect(self, ipp: Any, profile: str) -> Any:
        with contextlib.suppress(OSError, TimeoutError):  # none, or one that no longer answers
            running = ipp.Cluster.from_file(profile=profile)
            return running.connect_client_sync()
        self._mine = ipp.Cluster(profile=profile, n=self._wanted, log_level=40)
        try:
            self._mine.start_cluster_sync(n=self._wanted)
            client = self._mine.connect_client_sync()
            client.wait_for_engines(self._wanted or _FEWEST, timeout=_START, interactive=False)
            return client  # noqa: TRY300 - what follows is the failure
        except (TimeoutError, RuntimeError, OSError) as error:
            self._mine.stop_cluster_sync()
            message = f"--machines {profile}: its engines did not start ({error})."
            raise UserError(message) from error


class Workers:
    """The worker processes of a job on several engines, as one process."""

    def __init__(self, engines: Engines, job: Job) -> None:
        self._engines, self._job = engines, job
        self.lost = ""  # which worker was lost, and how
        self._lost_at = 0.0
        with contextlib.ExitStack() as undo:
            undo.callback(engines.close)
            places = [engines.client[i].apply_sync(place, str(job.path)) for i in engines.ids]
            _check_sight(places, job)
            undo.pop_all()
        self._hosts = [host for host, _, _ in places]
        here = len(set(self._hosts)) == 1
        addresses = [f"{'127.0.0.1' if here else host}:{port}" for host, port, _ in places]
        self._results = [
            engines.client[i].apply_async(work, str(job.path), addresses, rank)
            for rank, i in enumerate(engines.ids)
        ]

    @property
    def where(self) -> str:
        """Where the workers are."""
        return f"{len(self._hosts)} workers on {', '.join(sorted(set(self._hosts)))}"

    def is_alive(self) -> bool:
        """Whether the workers go on; once one is lost, the others get a little time."""
        waiting = [r for r in self._results if not r.ready()]
        self._look_for_lost()
        if self.lost and waiting and time.monotonic() - self._lost_at > _GRACE:
            self._job.end_file.touch(mode=0o600)
        return bool(waiting)

    def end(self) -> None:
        """Call the job off, and leave the engines."""
        self._job.end_file.touch(mode=0o600)
        deadline = time.monotonic() + _GRACE
        while not all(r.ready() for r in self._results) and time.monotonic() < deadline:
            time.sleep(0.1)
        self.close()

    def why(self) -> str:
        """Say how it ended."""
        return self.lost or "the workers ended"

    def close(self) -> None:
        """Leave the engines."""
        self._engines.close()

    def _look_for_lost(self) -> None:
        for rank, result in enumerate(self._results):
            if self.lost or not result.ready():
                continue
            how = _how(result)
            if how:
                self._lost_at = time.monotonic()
                self.lost = (
                    f"worker {rank} of {len(self._results)} ({self._hosts[rank]}) was lost: {how}. "
                    "The run goes on from its last checkpoint with --resume."
                )


def _check_sight(places: list[tuple[str, int, bool]], job: Job) -> None:
    blind = [host for host, _, sees in places if not sees]
    if blind:
        message = (
            f"the engine on {blind[0]} does not see {job.path.parent}; --machines needs a "
            'folder that all machines share: %config NbOptimizer.directory = "..."'
        )
        raise UserError(message)


def _how(result: Any) -> str:
    """Return how a worker was lost, or an empty string where it ended by itself."""
    errors = importlib.import_module("ipyparallel").error
    try:
        code = int(result.get(timeout=0))
    except errors.EngineError:
        return "its engine died"
    except errors.RemoteError as error:
        return f"its engine failed ({error})"
    return ending(code) if code < 0 else ""


def place(folder: str) -> tuple[str, int, bool]:
    """Return this engine's host, a free port, and whether it sees the folder."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        port = int(probe.getsockname()[1])
    return socket.gethostname(), port, Path(folder).is_dir()


def work(folder: str, addresses: list[str], rank: int) -> int:
    """Run one worker of the job on this engine; return its exit status."""
    config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": rank}}
    env = {**environment(), CONFIG: json.dumps(config)}
    process = spawn(Job(Path(folder)), env, speaks=rank == 0)
    return process.wait()


def keep_earlier(job: Job, store: Store, key: str) -> None:
    """Copy the runs that may be resumed, so that all workers start from the same state."""
    for path in store.paths():
        if read_begin(path).key.rpartition(":")[0] == key.rpartition(":")[0]:
            shutil.copytree(path, job.path / EARLIER / path.name)


def _ipyparallel() -> Any:
    try:
        return importlib.import_module("ipyparallel")
    except ImportError as error:
        message = "--machines needs ipyparallel: pip install 'nb_optimizer[cluster]'."
        raise UserError(message) from error


def _check_profile(profile: str) -> None:
    home = Path(os.environ.get("IPYTHONDIR", "~/.ipython")).expanduser()
    known = [p.name.removeprefix("profile_") for p in home.glob("profile_*")]
    if profile not in (*known, "default"):
        message = (
            f'there is no IPython profile "{profile}" in {home}.{nearest(profile, known)} '
            f"Make one: ipython profile create --parallel --profile={profile}"
        )
        raise UserError(message)
