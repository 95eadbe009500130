"""Starts Python processes that outlive the kernel and find this package where it was found."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = str(Path(__file__).resolve().parents[3])
_CODE = (
    "import sys; sys.path.append({root!r}); "
    "from nb_optimizer.core.jobs.{module} import main; sys.exit(main(sys.argv[1:]))"
)


def start(
    module: str, arguments: list[str], *, log: Path, env: dict[str, str] | None = None, **more: Any
) -> subprocess.Popen[bytes]:
    """Start ``main`` of a module of this package in a session of its own.

    A session of its own: an interrupt in the terminal or the kernel does not reach it, and it
    can be ended together with what it has started.
    """
    code = _CODE.format(root=ROOT, module=module)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        # -P: a file called random.py beside the notebook must not break this process.
        return subprocess.Popen(  # noqa: S603 - our own interpreter and our own module
            [sys.executable, "-P", "-c", code, *arguments],
            stderr=file,
            env={**os.environ, **(env or {})},
            start_new_session=True,
            **more,
        )
    finally:
        os.close(file)
