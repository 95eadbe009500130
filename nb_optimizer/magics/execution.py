"""Runs the body of a cell magic as IPython would have run the cell."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Mapping
from typing import Any

from nb_optimizer.core.errors import UserError


def source_of(shell: Any, cell: str) -> tuple[str, str]:
    """Return the cell as plain Python, and what its tracebacks call it."""
    number = len(shell.history_manager.input_hist_raw) - 1
    return shell.transform_cell(cell), f"Cell In[{number}]"


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


def raise_in_cell(shell: Any, cell: str, fault: Mapping[str, Any], *, offset: int = 0) -> None:
    """Raise an exception that the cell had in another process, at the cell's own line.

    ``fault`` holds ``kind``, ``text``, ``line`` (from 1, ``offset`` lines before the cell
    included) and ``traceback``, which is added as a note.

    Raises:
        UserError: the fault is a mistake of the user, not an exception of the cell.
    """
    __tracebackhide__ = True
    if fault["kind"] == "UserError":
        raise UserError(fault["text"])
    error = _rebuilt(str(fault["kind"]), str(fault["text"]))
    error.add_note("In a worker process:\n" + fault["traceback"])
    line = (fault.get("line") or 0) - offset
    if line < 1 or isinstance(error, SyntaxError):
        raise error
    number = len(shell.history_manager.input_hist_raw) - 1
    name = shell.compile.cache(shell.transform_cell(cell), number, raw_code=cell)
    # As many empty lines as stand before it: the traceback shows the line of the cell.
    code = compile("\n" * (line - 1) + "raise _error", name, "exec")
    exec(code, {"_error": error})  # noqa: S102 - raises, nothing else


def _rebuilt(kind: str, text: str) -> Exception:
    found: Any = getattr(builtins, kind, None)
    takes_text = isinstance(found, type) and issubclass(found, Exception)
    if not takes_text or issubclass(found, UnicodeError | ExceptionGroup):
        found = type(kind, (RuntimeError,), {})
    made: Exception = found(text)
    return made
