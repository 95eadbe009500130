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


def memory(gpus: list[str]) -> list[tuple[int, int]]:
    """Return the bytes taken and those there are of each GPU, nothing where nobody tells."""
    if not gpus:
        return []
    names = ("-i", ",".join(gpus))
    lines = _ask(*names, "--query-gpu=memory.used,memory.total", "--format=csv,noheader,nounits")
    numbers = [line.replace(" ", "").split(",") for line in lines]
    if not all(n.isdigit() for line in numbers for n in line):  # "[N/A]": it shares the computer's
        return []
    return [(int(used) * 2**20, int(total) * 2**20) for used, total in numbers]


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
