"""Every example notebook runs in a real kernel and leaves static pictures only."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.ipynb"))


@pytest.mark.kernel
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_example_runs(path, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    assert all(not c.get("outputs") for c in notebook.cells), "examples are kept without outputs"
    folder = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=folder).execute()
    trained = [c for c in notebook.cells if c.source.startswith(("%%train", "%%tune"))]
    assert trained
    for cell in trained:
        (picture,) = [o for o in cell.outputs if o.output_type == "display_data"]
        assert set(picture.data) == {"text/html", "text/plain"}
        assert "<script" not in picture.data["text/html"]
        size = sum(len(str(o)) for o in cell.outputs)
        assert size < (60_000 if cell.source.startswith("%%tune") else 20_000)
    assert "widgets" not in notebook.metadata
