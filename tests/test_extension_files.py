"""The JupyterLab extension as files: complete, installed, and without any network of its own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import nb_optimizer

EXTENSION = Path(__file__).parents[1] / "extension"
PACKAGE = json.loads((EXTENSION / "labextension/package.json").read_text())
LOAD = PACKAGE["jupyterlab"]["_build"]["load"].partition("?")[0]
SOURCE = (EXTENSION / "labextension" / LOAD).read_text()


def test_the_extension_has_the_name_and_the_version_of_the_package():
    assert PACKAGE["name"] == "nb-optimizer"
    assert PACKAGE["version"] == nb_optimizer.__version__
    install = json.loads((EXTENSION / "install.json").read_text())
    assert install["packageName"] == "nb_optimizer"


@pytest.mark.parametrize(
    "word",
    [r"https?://", r"wss?://", r"fetch\(", "XMLHttpRequest", "WebSocket", r"eval\(", r"Function\(",
     "innerHTML", "outerHTML", "insertAdjacentHTML", r"import\(", r"\brequire\("],
)  # fmt: skip
def test_the_script_reaches_for_nothing_outside(word):
    assert not re.search(word, SOURCE)


def test_the_script_is_short_and_typed():
    lines = SOURCE.splitlines()
    assert lines[0] == "// @ts-check"
    assert len(lines) <= 300
    assert max(map(len, lines)) <= 110


def test_colours_come_from_jupyterlab():
    assert not re.search(r"#[0-9a-fA-F]{3,8}\b|\brgba?\(|\bhsl", SOURCE)


def test_jupyterlab_lists_it():
    pytest.importorskip("jupyterlab")
    command = [sys.executable, "-m", "jupyter", "labextension", "list"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    text = re.sub(r"\x1b\[\d*m", "", told.stdout + told.stderr)
    line = next(line for line in text.splitlines() if "nb-optimizer" in line)
    assert f"v{nb_optimizer.__version__} enabled OK (python, nb_optimizer)" in line
