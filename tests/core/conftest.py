"""Scripts in processes of their own: TensorFlow divides a processor only once in a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def in_fresh_process(tmp_path_factory):
    """``in_fresh_process("cases.py", "4")``: start a script and return what waits for its JSON."""

    def start(script, *arguments):
        running = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / script), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path_factory.mktemp("process"),
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

        def answer():
            told, errors = running.communicate()
            assert running.returncode == 0, errors[-3000:]
            return json.loads(told.strip().splitlines()[-1])

        return answer

    return start
