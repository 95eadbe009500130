"""Two or four logical CPUs in a process of its own: TensorFlow divides a processor only once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def in_fresh_process(tmp_path_factory):
    """``in_fresh_process("cases.py", "4")``: run a script here and return the JSON it prints."""

    def run(script, *arguments):
        done = subprocess.run(
            [sys.executable, str(Path(__file__).parent / script), *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path_factory.mktemp("process"),
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.strip().splitlines()[-1])

    return run
