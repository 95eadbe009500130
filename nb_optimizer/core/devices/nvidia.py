"""What ``nvidia-smi`` tells of the GPUs here, without taking them into use."""

from __future__ import annotations

import os
import shutil
import subprocess

_PATIENCE = 20  # seconds


def visible() -> list[str]:
    """Return the GPUs that this process may use, by the names that CUDA_VISIBLE_DEVICES takes."""
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is not None:
        return [g for g in allowed.split(",") if g and g != "-1"]
    lines = [line for line in _ask("-L") if line.startswith("GPU ")]
    return [str(i) for i in range(len(lines))]


def smallest_memory() -> int:
    """Return the bytes of the smallest GPU here, 0 where they are not known."""
    lines = _ask("--query-gpu=memory.total", "--format=csv,noheader,nounits")
    return min((int(line) * 2**20 for line in lines if line.strip().isdigit()), default=0)


def _ask(*words: str) -> list[str]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        done = subprocess.run(  # noqa: S603 - found on the path
            [program, *words], capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.splitlines() if done.returncode == 0 else []
