"""From a cell to a search under way: checks, captured names, the job's folder, its supervisor."""

from __future__ import annotations

import hashlib
import math
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nb_optimizer.core import store as runs
from nb_optimizer.core.errors import UserError
from nb_optimizer.core.jobs import devices, process
from nb_optimizer.core.jobs import folder as places
from nb_optimizer.core.jobs.capture import capture, remarks
from nb_optimizer.core.record import RUNNING
from nb_optimizer.core.store import Store
from nb_optimizer.core.tuning import cell as cells
from nb_optimizer.core.tuning.given import given_values
from nb_optimizer.core.tuning.plan import TunePlan, seconds_of
from nb_optimizer.core.tuning.record import SearchRecord
from nb_optimizer.core.tuning.space import Range, Space

HP = "hp"
_TRIALS = 40


@dataclass(frozen=True)
class Cell:
    """The code that every trial runs, and what varies in it.

    ``build`` names a function that makes the model from ``hp``; its call precedes the code.
    """

    source: str
    ranges: list[Range] = field(default_factory=list)
    build: str = ""
    line: str = ""
    cell_id: str = ""

    @property
    def code(self) -> str:
        """The code of a trial."""
        return f"model = {self.build}({HP})\n{self.source}" if self.build else self.source

    @property
    def key(self) -> str:
        """What tells this cell from others."""
        lines = [line.rstrip() for line in self.code.strip().splitlines()]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


class Job:
    """A search that was started, or found: its folder, and its supervisor if it is our child."""

    def __init__(
        self,
        folder: Path,
        supervisor: subprocess.Popen[bytes] | None = None,
        resumes: int = 0,
    ) -> None:
        self.folder, self._supervisor, self._resumes = folder, supervisor, resumes

    def lives(self, record: SearchRecord) -> bool:
        """Whether its supervisor is still at work."""
        if self._supervisor is not None:
            return self._supervisor.poll() is None
        return runs.is_alive(record.as_run(), self.folder)

    def end(self) -> None:
        """Kill the supervisor; its workers end with it."""
        if self._supervisor is not None:
            self._supervisor.kill()
            self._supervisor.wait()

    def is_resuming(self, record: SearchRecord) -> bool:
        """Whether a supervisor that we have started has not yet taken up an ended search."""
        return (
            self._supervisor is not None and record.resumed < self._resumes and self.lives(record)
        )

    def last_words(self) -> str:
        """Return what a supervisor left that could not write its journal."""
        file = self.folder / places.FAILURE
        return file.read_text().strip() if file.is_file() else ""


def begin(plan: TunePlan, cell: Cell, store: Store, names: Mapping[str, Any]) -> Job:
    """Check everything, hand it over, start the supervisor.

    Raises:
        UserError: what was asked for cannot be searched; nothing was started or kept.
    """
    found = _check(plan, cell)
    uses_hp = HP in found.free
    given = given_values(plan.try_, cell.ranges)
    store.check_writable()
    earlier = _earlier(plan, cell, store)
    folder = earlier or store.create("tune")
    wanted = found.free - {r.name for r in cell.ranges} - ({HP} if uses_hp else set())
    try:
        captured = capture(names, wanted, folder)
    except UserError:
        if earlier is None:
            shutil.rmtree(folder)
        raise
    except OSError as error:
        if earlier is None:
            shutil.rmtree(folder)
        message = f"The search cannot be written to {folder} ({error.strerror})."
        raise UserError(message) from error
    job = _job(plan, cell, folder, given, uses_hp=uses_hp)
    notes = remarks(captured) + (devices.remarks() if plan.engine == "local" else [])
    job |= {"captured": captured, "sets": sorted(found.sets), "notes": notes}
    (folder / runs.STOP_FILE).unlink(missing_ok=True)
    places.write_json(folder / places.JOB, job)
    (folder / places.FAILURE).unlink(missing_ok=True)
    resumes = runs.read_search(folder).resumed + 1 if earlier else 0
    supervisor = process.start(
        "supervisor",
        [str(folder)],
        log=folder / "supervisor.log",
        env={"OPENBLAS_NUM_THREADS": "1"},  # its small products must not take the workers' cores
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    return Job(folder, supervisor, resumes)


def _check(plan: TunePlan, cell: Cell) -> cells.CellNames:
    if not cell.source.strip() and not cell.build:
        message = "%%tune needs code below its line."
        raise UserError(message)
    found = cells.names_of(cell.code)
    cells.check_ranges(found, [r.name for r in cell.ranges])
    if "get_ipython" in found.reads:
        message = (
            "The cell has magics or ! commands, which workers cannot run; "
            "move them to another cell."
        )
        raise UserError(message)
    if not cell.ranges and HP not in found.free:
        message = (
            "%%tune needs something to vary: ranges on its line, as in lr=log(1e-4,1e-1), "
            "or hp.Int(...) in the cell."
        )
        raise UserError(message)
    endless = [r for r in cell.ranges if r.points() is None]
    if plan.search == "grid" and endless:
        one = endless[0]
        step = f"{one}:10" if one.log else f"{one}:{(one.high - one.low) / 4:g}"
        message = (
            f"--search grid needs a step in continuous ranges: {one.name}={one} has none; "
            f"write for example {one.name}={step}"
        )
        raise UserError(message)
    if plan.engine == "local":
        devices.shares(plan.workers, plan.devices_per_trial, plan.memory)
    return found


def _earlier(plan: TunePlan, cell: Cell, store: Store) -> Path | None:
    """Return the folder of the search to go on with, if that was asked for."""
    path = store.newest(cell.key)
    if path is None:
        return None
    record = runs.read_search(path)
    if record.status == RUNNING and not plan.fresh:
        message = (
            f"{path.name} is still searching with this cell. Watch it: %runs attach {path.name}; "
            f"end it: %runs stop {path.name}; or start another one with --fresh."
        )
        raise UserError(message)
    if not plan.resume:
        return None
    was = Space.from_json(record.begin.space)
    if was != Space(cell.ranges) or record.begin.search != plan.search:
        told = " ".join(f"{r.name}={r}" for r in was.ranges)
        message = (
            f"{path.name} is a search of other ranges ({told} --search {record.begin.search}); "
            "resume it with those, or leave --resume out."
        )
        raise UserError(message)
    return path


def _job(
    plan: TunePlan, cell: Cell, folder: Path, given: list[dict[str, Any]], *, uses_hp: bool
) -> dict[str, Any]:
    trials = plan.trials
    if trials is None and plan.search != "grid":
        trials = max(_TRIALS, len(given))
    seconds = plan.seconds
    begin = {
        "run": folder.name,
        "name": plan.name,
        "key": cell.key,
        "cell_id": cell.cell_id,
        "on": plan.on or "",
        "direction": plan.direction or "",
        "search": plan.search,
        "engine": plan.engine,
        "trials": trials,
        "seed": secrets.randbits(31) if plan.seed is None else int(plan.seed),
        "space": Space(cell.ranges).to_json(),
        "source": cell.code,
        "uses_hp": uses_hp,
        "line": cell.line,
    }
    return {
        "begin": begin,
        "source": cell.code,
        "uses_hp": uses_hp,
        "given": given,
        "seconds": None if math.isinf(seconds) else seconds,
        "engine": plan.engine,
        "workers": plan.workers,
        "devices_per_trial": int(plan.devices_per_trial),
        "memory": plan.memory,
        "memory_mb": float(plan.memory or 0),
        "silence": seconds_of(plan.silence),
        "disk_mb": plan.disk,
        "cwd": str(Path.cwd()),
        "path": [p or str(Path.cwd()) for p in sys.path],
        "time": time.time(),
    }
