"""The versions of ipykernel that are tried, each installed beside the others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
VERSIONS = ("6.31.0", "7.0.1", "7.3.0", "7.4.0")


def install(version: str) -> str:
    """Install this version for itself; return the ``PYTHONPATH`` of a kernel that uses it."""
    target = ROOT / ".cache" / f"ipykernel-{version}"
    if not (target / "ipykernel").is_dir():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        command += ["--target", str(target), f"ipykernel=={version}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = done.stderr.strip().splitlines() or ["no reason given"]
            pytest.skip(f"ipykernel {version} cannot be installed: {reason[-1]}")
    return f"{target}{os.pathsep}{ROOT}"
