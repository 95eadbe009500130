"""What a cell reads and sets, found in its text without running it."""

from __future__ import annotations

import ast
import builtins
import symtable
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nb_optimizer.core.errors import UserError

_BUILTIN = frozenset(dir(builtins)) | {"__name__", "__file__", "__doc__"}
_MAYBE = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.Try, ast.Match)  # bodies that may not run
_LATER = (ast.FunctionDef, ast.AsyncFunctionDef)  # bodies that run when they are called


@dataclass
class CellNames:
    """``free`` must come from outside; ``reads`` are all names read, ``sets`` all names set."""

    free: set[str] = field(default_factory=set)
    reads: set[str] = field(default_factory=set)
    sets: dict[str, int] = field(default_factory=dict)  # name to the line that first sets it


def names_of(source: str) -> CellNames:
    """Find the names of a cell.

    Raises:
        SyntaxError: the cell is no Python.
    """
    tree = ast.parse(source)
    found, deferred, certain = CellNames(), set[str](), set[str]()
    for statement in tree.body:
        reads, later, sets = _statement(statement)
        found.reads |= reads | later
        found.free |= reads - certain
        if isinstance(statement, _LATER):
            deferred |= later
        else:
            found.free |= later - certain
        for name in sets:
            found.sets.setdefault(name, statement.lineno)
        if not isinstance(statement, _MAYBE):
            certain |= sets
    found.free |= deferred - set(found.sets)
    found.free -= _BUILTIN
    return found


def _statement(statement: ast.stmt) -> tuple[set[str], set[str], set[str]]:
    """Return the names that a statement reads at once, reads in inner scopes, and sets."""
    table = symtable.symtable(ast.unparse(statement), "cell", "exec")
    reads = {s.get_name() for s in table.get_symbols() if s.is_referenced()}
    sets = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported()}
    sets |= {child.get_name() for child in table.get_children() if child.get_name() in sets}
    for node in ast.walk(statement):
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            reads.add(node.target.id)
    later: set[str] = set()
    waiting = list(table.get_children())
    while waiting:
        inner = waiting.pop()
        waiting += inner.get_children()
        later |= {s.get_name() for s in inner.get_symbols() if s.is_global() and s.is_referenced()}
    return reads, later, sets


def check_ranges(cell: CellNames, names: list[str]) -> None:
    """Refuse a range whose name the cell never reads, or sets itself.

    Raises:
        UserError: the range could have no effect.
    """
    for name in names:
        if name in cell.sets and name not in cell.free:
            message = (
                f"The cell sets {name} itself in line {cell.sets[name]}, which would undo the "
                f"search; move that line to another cell."
            )
            raise UserError(message)
        if name not in cell.free:
            from nb_optimizer.core.errors import nearest  # noqa: PLC0415 - only for the mistake

            message = f"The cell never reads {name}, so it cannot be searched."
            raise UserError(message + nearest(name, cell.free))


def filled(source: str, values: Mapping[str, Any], *, uses_hp: bool) -> str:
    """Return the cell as plain code with values put in."""
    if not uses_hp:
        lines = [f"{name} = {value!r}" for name, value in values.items()]
        return "\n".join([*lines, "", source])
    text, left = _without_hp(source, values)
    if not left:
        return text
    head = ["import keras_tuner", "", "hp = keras_tuner.HyperParameters()"]
    return "\n".join([*head, f"hp.values = {dict(values)!r}", "", text])


def _without_hp(source: str, values: Mapping[str, Any]) -> tuple[str, bool]:
    """Replace ``hp.Int("units", ...)`` by its value; return whether any ``hp`` is left."""
    lines = source.encode().splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    data, left = source.encode(), False
    spots = []
    for node in ast.walk(ast.parse(source)):
        name = _hp_call(node)
        if name is not None and name in values:
            end_line, end_column = node.end_lineno or 1, node.end_col_offset or 0  # type: ignore[attr-defined]
            start = starts[node.lineno - 1] + node.col_offset  # type: ignore[attr-defined]
            spots.append((start, starts[end_line - 1] + end_column, repr(values[name])))
    for start, end, value in sorted(spots, reverse=True):
        data = data[:start] + value.encode() + data[end:]
    text = data.decode()
    left = any(isinstance(n, ast.Name) and n.id == "hp" for n in ast.walk(ast.parse(text)))
    return text, left


def _hp_call(node: ast.AST) -> str | None:
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return None
    if not (isinstance(node.func.value, ast.Name) and node.func.value.id == "hp"):
        return None
    given = [*node.args[:1], *(k.value for k in node.keywords if k.arg == "name")]
    if given and isinstance(given[0], ast.Constant) and isinstance(given[0].value, str):
        return given[0].value
    return None
