"""Journals survive what disks and deaths do to them."""

from __future__ import annotations

import math
import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nb_optimizer.core import events as ev
from nb_optimizer.core.background import Background
from nb_optimizer.core.journal import FILE, Journal, read

END = ev.EpochEnd(1.0, 1, {"loss": math.nan, "accuracy": math.inf}, learning_rate=-math.inf)
EVENTS = [
    ev.RunBegin(0.5, "train-1", name='<script>"NaN"', options={"lr": 0.1}),
    ev.Progress(0.7, 1, 3, points=[[1.0, math.nan]]),
    END,
    ev.Note(1.0, "NaN"),
    ev.RunEnd(2.0, "completed"),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda e: type(e).__name__)
def test_events_survive_a_line(event):
    assert repr(ev.from_line(ev.to_line(event))) == repr(event)


@given(st.text())
def test_any_damaged_line_is_a_value_error(line):
    with pytest.raises(ValueError):  # noqa: PT011 - any of them
        ev.from_line(line)


def test_damaged_lines_are_left_out_and_counted(tmp_path):
    path = tmp_path / FILE
    lines = [ev.to_line(e) for e in EVENTS]
    path.write_bytes(
        "\n".join([lines[0], "{broken", lines[2][:20], lines[4]]).encode() + b"\n\xff\n"
    )
    events, damaged = read(path)
    assert [type(e).__name__ for e in events] == ["RunBegin", "RunEnd"]
    assert damaged == 3


def test_half_a_line_of_a_dead_process_spoils_nothing(tmp_path):
    path = tmp_path / FILE
    path.write_text(ev.to_line(EVENTS[0]) + "\n" + ev.to_line(END)[:30])
    journal = Journal(path, on_fault=pytest.fail)
    journal.append(EVENTS[4])
    journal.close()
    events, damaged = read(path)
    assert [type(e).__name__ for e in events] == ["RunBegin", "RunEnd"]
    assert damaged == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")  # noqa: PTH110
def test_full_disk_is_told_once_and_stops_nothing(tmp_path):
    (tmp_path / FILE).symlink_to("/dev/full")
    faults = []
    journal = Journal(tmp_path / FILE, faults.append)
    for event in EVENTS:
        journal.append(event)
    journal.close()
    assert [type(f) for f in faults] == [OSError]


def test_slow_jobs_hold_nobody_up():
    background = Background("slow", on_fault=pytest.fail)
    go_on = threading.Event()
    done = []
    background.put(lambda: go_on.wait(30))
    for number in range(100):
        background.put(lambda n=number: done.append(n))  # returns while the first job hangs
    assert done == []
    go_on.set()
    assert background.close(30)
    assert done == list(range(100))
