"""Runs the body of a cell magic as IPython would have run the cell."""

from __future__ import annotations

import ast
from typing import Any


def run_cell(shell: Any, cell: str) -> Any:
    """Execute ``cell`` in the user's namespace and return the value of its last expression.

    An exception leaves as itself, with the cell's own lines in its traceback.
    """
    __tracebackhide__ = True
    source = shell.transform_cell(cell)
    # The number that this cell has in the notebook: execution_count is already the next one in
    # newer versions of IPython, the input history is not.
    number = len(shell.history_manager.input_hist_raw) - 1
    name = shell.compile.cache(source, number, raw_code=cell)
    tree = shell.transform_ast(shell.compile.ast_parse(source, filename=name))
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(shell.compile(tree, name, "exec"), shell.user_ns)  # noqa: S102 - that is its purpose
    if last is None:
        return None
    value = ast.Expression(last.value)
    return eval(shell.compile(value, name, "eval"), shell.user_ns)  # noqa: S307
