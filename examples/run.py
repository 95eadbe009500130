"""Run a notebook in a real Jupyter kernel and print what its cells say, as text.

    python examples/run.py examples/quickstart.ipynb

The notebook with its outputs is written beside it, to ``<name>.out.ipynb``, only with ``--save``.
"""

import argparse
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError


def shown(output):
    """Return an output as text."""
    if output.output_type == "stream":
        return output.text if output.name == "stdout" else ""
    if output.output_type == "error":
        return "\n".join(output.traceback)
    return output.data.get("text/plain", "") + "\n"


def main():
    """Run the notebook named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--save", action="store_true", help="keep the outputs in <name>.out.ipynb")
    arguments = parser.parse_args()
    path = arguments.notebook
    notebook = nbformat.read(path, as_version=4)
    folder = {"metadata": {"path": str(path.parent)}}
    client = NotebookClient(notebook, timeout=600, kernel_name="python3", resources=folder)
    failed = False
    try:
        client.execute()
    except CellExecutionError:
        failed = True
    for cell in notebook.cells:
        if cell.cell_type == "code":
            print("".join(shown(o) for o in cell.outputs), end="")
    if arguments.save:
        nbformat.write(notebook, path.with_suffix(".out.ipynb"))
    return failed


if __name__ == "__main__":
    sys.exit(main())
