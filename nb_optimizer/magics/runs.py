"""``%runs``: the runs on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nb_optimizer.core.errors import UserError, nearest
from nb_optimizer.core.record import RUNNING
from nb_optimizer.core.store import STOP_FILE, Store, is_search, read_record
from nb_optimizer.magics.arguments import OUT, read
from nb_optimizer.magics.settings import NbOptimizer

HELP = """List, show and manage the training runs on disk.

  %runs                      all runs, newest last (the same as %runs list)
  %runs show train-3         one run again: curves, best epoch, why it ended
  %runs compare 3 4          the monitored metric of several runs in one chart
  %runs attach train-3       follow a run of another kernel, live, until it ends
  %runs stop train-3         end a run of any kernel gracefully, best weights kept
  %runs remove train-3       delete a run and its weights

A run is named by its id, its number or the name given with --name.

Options:
  --out NAME  bind the result to NAME; also -o NAME
"""


def run(shell: Any, settings: NbOptimizer, line: str) -> Any:
    """Run the magic and return what it shows."""
    words, out = _split(line, shell.user_ns)
    action, names = (words[0], words[1:]) if words else ("list", [])
    if action not in ACTIONS:
        guess = nearest(action, ACTIONS)
        message = f'%runs has no action "{action}".{guess} It has {", ".join(ACTIONS)}.'
        raise UserError(message)
    result = ACTIONS[action](Store(settings.directory), names)
    if out:
        shell.user_ns[out] = result
    return result


def _split(line: str, names: dict[str, Any]) -> tuple[list[str], str]:
    words = line.split()
    at = next((i for i, w in enumerate(words) if w.startswith("-")), len(words))
    found = read(" ".join(words[at:]), {OUT.flag: OUT}, names)
    return words[:at], found.get("out", "")


def _list(store: Store, names: list[str]) -> Any:
    from nb_optimizer.views import RunTable  # noqa: PLC0415 - loads pictures only when asked

    _expect("list", names, 0)
    return RunTable(list(store.records()), store.root)


def _show(store: Store, names: list[str]) -> Any:
    from nb_optimizer.views import open_result  # noqa: PLC0415

    _expect("show", names, 1)
    return open_result(store.find(names[0]))


def _compare(store: Store, names: list[str]) -> Any:
    from nb_optimizer.views import Comparison  # noqa: PLC0415

    if len(names) < 2:  # noqa: PLR2004 - a comparison has two sides
        message = "%runs compare takes at least two runs, as in: %runs compare 3 4"
        raise UserError(message)
    paths = [store.find(name) for name in names]
    searches = [p.name for p in paths if is_search(p)]
    if searches:
        message = f"%runs compare takes training runs; {searches[0]} is a search."
        raise UserError(message)
    return Comparison([read_record(path) for path in paths])


def _attach(store: Store, names: list[str]) -> Any:
    from nb_optimizer.views import follow  # noqa: PLC0415

    _expect("attach", names, 1)
    path = store.find(names[0])
    if is_search(path):
        from nb_optimizer.core.tuning.conduct import Job  # noqa: PLC0415
        from nb_optimizer.views import search  # noqa: PLC0415

        return search.follow(Job(path), "auto", owned=False)
    return follow(path)


def _stop(store: Store, names: list[str]) -> None:
    _expect("stop", names, 1)
    path = store.find(names[0])
    status = read_record(path).status
    if status != RUNNING:
        message = f"{path.name} is not running; it is {status.replace('_', ' ')}."
        raise UserError(message)
    (path / STOP_FILE).touch(mode=0o600)
    what = (
        "once its trials have saved their state" if is_search(path) else "after its current batch"
    )
    print(f"{path.name} will stop {what}.")  # noqa: T201 - talks to the user


def _remove(store: Store, names: list[str]) -> None:
    _expect("remove", names, 1)
    path = store.find(names[0])
    store.remove(path)
    print(f"{path.name} is removed.")  # noqa: T201 - talks to the user


def _expect(action: str, names: list[str], count: int) -> None:
    if len(names) != count:
        right = "no run" if count == 0 else "one run: its id, number or name"
        message = f"%runs {action} takes {right}; got {' '.join(names) or 'none'}."
        raise UserError(message)


ACTIONS: dict[str, Callable[[Store, list[str]], Any]] = {
    "list": _list,
    "show": _show,
    "compare": _compare,
    "attach": _attach,
    "stop": _stop,
    "remove": _remove,
}
