"""A training outside the kernel, as a private folder: what to do, what came of it.

| file | what |
|---|---|
| ``request.json``, ``cell.py`` | the plan, and the code as Python |
| ``sent/``, ``returned/`` | variables, there and back |
| ``runs`` | the ids of the runs it has begun, one per line |
| ``output.txt``, ``log.txt`` | what the code printed, and what TensorFlow said |
| ``result.json`` | how it ended; ``error.pickle`` the exception, if one ended it |
"""

from __future__ import annotations

import importlib
import json
import os
import pickle
import shutil
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

_FOLDER = "jobs"
_KEPT = 7 * 86_400.0  # seconds that a result waits for a kernel to take it


@dataclass(frozen=True)
class Request:
    """What a worker is to do; all of it travels as JSON."""

    options: dict[str, Any]
    directory: str  # where runs are kept
    checkpoint_seconds: float
    text: str  # of the cell as it was typed: recognizes its earlier runs
    cell_id: str = ""
    name: str = "<cell>"  # what tracebacks call the code
    folder: str = ""  # where the kernel works
    path: list[str] = field(default_factory=list)  # where it imports from
    quiet: bool = True


class Job:
    """One job's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, root: Path) -> Job:
        """Make a folder next to the runs, private to the user."""
        jobs = root.parent.resolve() / _FOLDER  # engines and later cells work elsewhere
        jobs.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path in jobs.iterdir():
            _forget(path)
        number = 1 + max((int(p.name) for p in jobs.iterdir() if p.name.isdigit()), default=0)
        while True:
            path = jobs / str(number)
            try:
                path.mkdir(mode=0o700)
            except FileExistsError:  # another kernel was faster
                number += 1
            else:
                return cls(path)

    def write(self, request: Request, code: str) -> None:
        """Keep what is to be done."""
        (self.path / "request.json").write_text(json.dumps(asdict(request)))
        (self.path / "cell.py").write_text(code)

    def read(self) -> tuple[Request, str]:
        """Return what is to be done, and the code."""
        kept = json.loads((self.path / "request.json").read_text())
        return Request(**kept), (self.path / "cell.py").read_text()

    @property
    def sent(self) -> Path:
        """The folder of the variables on the way there."""
        return self.path / "sent"

    @property
    def returned(self) -> Path:
        """The folder of the variables on the way back."""
        return self.path / "returned"

    @property
    def output(self) -> Path:
        """What the code printed."""
        return self.path / "output.txt"

    @property
    def log(self) -> Path:
        """What the libraries below Python said."""
        return self.path / "log.txt"

    @property
    def end_file(self) -> Path:
        """Asks the processes of this job to end at once."""
        return self.path / "end"

    def began(self, run: str) -> None:
        """Note that a run has begun."""
        with (self.path / "runs").open("a") as file:
            file.write(run + "\n")

    @property
    def runs(self) -> list[str]:
        """The runs that have begun."""
        file = self.path / "runs"
        return file.read_text().split() if file.is_file() else []

    def end(self, error: BaseException | None, lines: str = "") -> None:
        """Note how the code ended; the file appears whole or not at all."""
        result: dict[str, Any] = {"ok": error is None, "traceback": lines}
        if error is not None:
            result |= {"kind": type(error).__name__, "text": str(error)}
            self._keep(error)
        part = self.path / "result.part"
        part.write_text(json.dumps(result))
        part.replace(self.path / "result.json")

    @property
    def result(self) -> dict[str, Any] | None:
        """How the code ended, ``None`` while it runs (or if its process was killed)."""
        file = self.path / "result.json"
        return json.loads(file.read_text()) if file.is_file() else None

    @property
    def error(self) -> BaseException:
        """The exception that ended the code, as its own class where that can be read."""
        result = self.result or {}
        file = self.path / "error.pickle"
        if file.is_file():
            try:
                with file.open("rb") as opened:
                    loaded = pickle.load(opened)  # noqa: S301 - our own job's private folder
                if isinstance(loaded, BaseException):
                    return loaded
            except (pickle.UnpicklingError, TypeError, AttributeError, ImportError, EOFError):
                pass
        return RuntimeError(f"{result.get('kind')}: {result.get('text')}")

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _keep(self, error: BaseException) -> None:
        cloudpickle: Any = importlib.import_module("cloudpickle")
        try:
            data = cloudpickle.dumps(error.with_traceback(None))
        except (pickle.PicklingError, TypeError, AttributeError, ValueError):
            return
        file = os.open(self.path / "error.pickle", os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(file, "wb") as opened:
            opened.write(data)


def _forget(path: Path) -> None:
    """Delete a job that ended long ago and whose kernel never took its result."""
    result = path / "result.json"
    if result.is_file() and time.time() - result.stat().st_mtime > _KEPT:
        shutil.rmtree(path, ignore_errors=True)
