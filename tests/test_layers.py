"""Imports point one way: magics to views to core. Frameworks load on first use."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "nb_optimizer"
FILES = sorted(ROOT.rglob("*.py"))
NOTEBOOK = ("IPython", "ipywidgets", "anywidget", "ipykernel")
HEAVY = ("keras", "tensorflow", "tf_keras", "jax", "torch")


def imports(path, *, top_level=False):
    tree = ast.parse(path.read_text())
    for node in tree.body if top_level else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


def banned(path):
    layer = path.relative_to(ROOT).parts[0]
    if layer == "core":
        return (*NOTEBOOK, "nb_optimizer.magics", "nb_optimizer.views", "nb_optimizer.api")
    if layer == "views":
        return ("nb_optimizer.magics", "nb_optimizer.api")
    if layer == "magics" and path.name != "__init__.py":
        return (*NOTEBOOK, "nb_optimizer.api")
    return ()


def starts(name, prefixes):
    return any(name == p or name.startswith(p + ".") for p in prefixes)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_look_down_only(path):
    assert [n for n in imports(path) if starts(n, banned(path))] == []
    assert [n for n in imports(path, top_level=True) if starts(n, HEAVY)] == []


def test_no_two_modules_import_each_other():
    names = {str(p.relative_to(ROOT.parent).with_suffix("")).replace("/", "."): p for p in FILES}
    graph = {n: {i for i in imports(p, top_level=True) if i in names} for n, p in names.items()}
    assert [(a, b) for a in graph for b in graph[a] if a < b and a in graph[b]] == []


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_sizes(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 50, node.name


def test_every_module_can_be_imported():
    """What one file takes from another is there, also where types are not checked."""
    code = "import importlib, pkgutil, nb_optimizer as n\n"
    code += "for m in pkgutil.walk_packages(n.__path__, 'nb_optimizer.'):\n"
    code += "    importlib.import_module(m.name)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
