"""Runs on disk: private, found by any of their names, readable whatever happened."""

from __future__ import annotations

import os
import stat
import subprocess
import sys

import psutil
import pytest

from nb_optimizer.core import events as ev
from nb_optimizer.core.errors import UserError
from nb_optimizer.core.journal import FILE
from nb_optimizer.core.store import Store, read_begin, read_record, this_process


def put(store, *events):
    path = store.create()
    (path / FILE).write_text("".join(ev.to_line(e) + "\n" for e in events))
    return path


def run(name="", key="k:1", cell_id=""):
    host, pid, started = this_process()
    return ev.RunBegin(
        1.0, "x", name=name, key=key, cell_id=cell_id, host=host, pid=pid, started=started
    )


def test_directories_are_private(store):
    path = put(store, run())
    for folder in (path, store.root):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_find_by_id_number_and_newest_name(store):
    first, second = put(store, run("a")), put(store, run("a"))
    assert store.find("train-1") == first
    assert store.find("1") == first
    assert store.find("a") == second
    with pytest.raises(UserError, match='no run "trian-1".*Did you mean "train-1"'):
        store.find("trian-1")


def test_ghost_and_resume_find_the_same_cell(store):
    put(store, run(key="other:1"))
    same = put(store, run(key="mine:1", cell_id="c"))
    edited = put(store, run(key="edited:1", cell_id="c"))
    assert store.newest("mine:1") == same
    assert store.newest("nobody:1") is None
    ghost = store.previous("mine:1", "c", "", exclude=edited)
    assert ghost is not None and ghost.begin.key == "mine:1"
    assert store.previous("new:2", "c", "") is None  # another fit of that cell


def test_damaged_journal_keeps_the_others_readable(store):
    broken, whole = put(store), put(store, run("whole"), ev.RunEnd(2.0, "completed"))
    (broken / FILE).write_bytes(b"\x00\xff not json\n{}\n")
    statuses = {p.name: r.status for p, r in store.records()}
    assert statuses == {broken.name: "interrupted", whole.name: "completed"}
    assert read_record(broken).damaged_lines == 2
    assert read_begin(broken).run == broken.name


def test_dead_process_reads_as_interrupted(store):
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    begin = ev.RunBegin(1.0, "x", host=this_process()[0], pid=child.pid, started=1.0)
    assert read_record(put(store, begin)).status == "interrupted"


def test_running_runs_are_not_removed(store):
    alive = ev.RunBegin(
        1.0, "x", host=this_process()[0], pid=os.getppid(), started=_start_of_parent()
    )
    path = put(store, alive)
    with pytest.raises(UserError, match="is running. Stop it first"):
        store.remove(path)
    assert path.exists()


def _start_of_parent():
    import psutil

    return psutil.Process(os.getppid()).create_time()


def test_unwritable_directory_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="Runs cannot be written to .* Choose another place"):
        Store(tmp_path / "file").check_writable()


@pytest.mark.skipif(sys.platform == "win32", reason="no process waits there for its parent")
def test_a_killed_process_that_nobody_has_reaped_is_dead(store):
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    host, _, _ = this_process()
    started = psutil.Process(child.pid).create_time()
    path = put(store, ev.RunBegin(1.0, "x", host=host, pid=child.pid, started=started))
    assert read_record(path).status == "running"
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert read_record(path).status == "interrupted"
    child.communicate()
