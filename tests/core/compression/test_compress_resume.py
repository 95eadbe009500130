"""A search killed in the middle goes on to the same table; what does not fit is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from nb_optimizer.core import events as ev
from nb_optimizer.core import journal
from nb_optimizer.core.compression.plan import CompressPlan
from nb_optimizer.core.compression.resume import Memory
from nb_optimizer.core.errors import UserError

SCRIPT = Path(__file__).parent / "resumes.py"
LIMIT = 240


def start(folder, **options):
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(SCRIPT), str(folder), json.dumps(options)]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def table(process):
    out, said = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, said.decode()[-2000:]
    return json.loads(out.decode().splitlines()[-1])


def trained(folder):
    """Return the keys of the fine-tunings that are finished, in order."""
    file = folder / "runs" / "compress-1" / "events.jsonl"
    events = journal.read(file)[0] if file.is_file() else []
    return [e.key for e in events if isinstance(e, ev.Kept) and e.key.startswith("weights")]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Return the folder of a search that nobody disturbs, and its process, which runs on."""
    folder = tmp_path_factory.mktemp("undisturbed")
    return folder, start(folder)


@pytest.fixture(scope="module")
def killed(tmp_path_factory, undisturbed):
    """Kill a search once two fine-tunings are finished; return its folder and those."""
    folder = tmp_path_factory.mktemp("killed")
    process = start(folder)
    end = time.monotonic() + LIMIT
    while len(trained(folder)) < 2 and process.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = trained(folder)
    assert process.returncode == -signal.SIGKILL and len(done) >= 2
    return folder, done


def test_other_weights_data_or_options_are_one_clear_line(killed):
    folder, done = killed
    process = start(folder, resume=True, weights=1, budget="2%")
    said = process.communicate(timeout=LIMIT)[1].decode().strip().splitlines()[-1]
    assert process.returncode
    assert "compress-1 cannot be resumed: its model had other weights" in said
    assert "--budget was '0.8%', now '2%'" in said and "--data" not in said
    assert trained(folder) == done


def test_a_killed_search_ends_as_an_undisturbed_one(killed, undisturbed):
    (folder, done), (whole, process) = killed, undisturbed
    resumed = start(folder, resume=True)
    assert table(resumed) == table(process)
    after = trained(folder)
    assert after[: len(done)] == done and len(set(after)) == len(after)  # none is done again
    assert after == trained(whole)
    assert [p.name for p in (folder / "runs").iterdir()] == ["compress-1"]


def test_an_interrupted_one_keeps_its_rows_and_a_complete_one_is_returned(compress, monkeypatch):
    from nb_optimizer.core.compression.bench import Bench

    again = {"quantize": "float16,dynamic,int8"}
    calls = []
    own = Bench.quantize

    def interrupted(bench, source, target, recipe, model):
        calls.append(recipe.quantize)
        if calls == ["float16", "dynamic"]:
            raise KeyboardInterrupt  # as the kernel's stop button does
        return own(bench, source, target, recipe, model)

    monkeypatch.setattr(Bench, "quantize", interrupted)
    first = compress(**again)
    assert first.status == "stopped" and len(first.candidates) == 1
    second = compress(resume=True, **again)
    assert second.path == first.path and second.status == "completed"
    assert calls == ["float16", "dynamic", "dynamic", "int8"]  # float16 was there already
    assert [r.name for r in second.rows] == ["float32", "float16", "dynamic", "int8"]
    assert second.rows[:2] == first.rows
    third = compress(resume=True, **again)
    assert len(calls) == 4 and "complete" in third.record.notes[-1].text
    assert type(third).open(third.path).rows == third.rows


def test_nothing_to_resume_and_other_data_are_told(compress, sets):
    made = compress(resume=True, quantize="float16")
    assert "nothing to resume" in made.record.notes[0].text
    x, y = sets[1]
    with pytest.raises(UserError, match="--data held other rows") as told:
        compress(resume=True, quantize="float16", data=(np.ascontiguousarray(x[::-1]), y))
    assert "\n" not in str(told.value)


def test_a_search_whose_time_was_over_goes_on_with_more(tmp_path):
    cut = table(start(tmp_path, time="1s"))
    assert not trained(tmp_path)
    assert table(start(tmp_path, resume=True, time="1s")) == cut  # no more in the same time
    more = table(start(tmp_path, resume=True, time="8s"))
    assert more[: len(cut)] == cut and len(more) > len(cut)
    assert len(set(trained(tmp_path))) == len(trained(tmp_path))


def test_epochs_stay_those_of_the_time_that_the_first_call_had(tmp_path):
    earlier = journal.Journal(tmp_path / journal.FILE, pytest.fail)
    earlier.append(ev.RunBegin(1.0, "compress-1", options={"time": "90s"}))
    earlier.close()
    memory = Memory(tmp_path, lambda _: None)
    more = CompressPlan(budget="1%", time="10m")
    assert memory.seconds(more) == 90.0
    assert Memory(tmp_path / "new", lambda _: None).seconds(more) == 600.0
