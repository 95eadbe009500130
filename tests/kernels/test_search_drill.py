"""Kernel, supervisor and worker of a search killed with SIGKILL at random moments.

``NBO_DRILLS`` is the number of moments for each search; without it a sample of three runs.
"""

from __future__ import annotations

import os
import random
import signal
import time

import pytest
from test_tune import Kernel

from nb_optimizer.core.journal import read
from nb_optimizer.core.store import Store, read_search
from nb_optimizer.core.tuning.events import EVENTS, FILE, TrialBegin, TrialEnd
from nb_optimizer.core.tuning.space import key_of

pytestmark = [pytest.mark.kernel, pytest.mark.drill]
DRILLS = int(os.environ.get("NBO_DRILLS", "0"))
AT_ONCE = 4  # kills within one search
VICTIMS = ("kernel", "supervisor", "worker")
CELL = """%%tune lr={lr} units={units} --on val_loss --search {search} --seed 5 {more}
import keras
model = keras.Sequential([
    keras.Input((4,)), keras.layers.Dense(units, activation="relu"), keras.layers.Dropout(0.2),
    keras.layers.Dense(2, activation="softmax"),
])
model.compile(keras.optimizers.Adam(lr), "sparse_categorical_crossentropy", metrics=["accuracy"])
history = model.fit(x, y, epochs=9, batch_size=16, validation_split=0.25)
"""
MORE = "--workers 1 --live off"
GRID = {"lr": "0.01|0.1", "units": "4|8|16|32", "more": MORE}
TRIALS = 8 if DRILLS else 5
FREE = {"lr": "log(1e-3,1e-1)", "units": "4..32:4", "more": f"{MORE} --trials {TRIALS}"}


class Stand:
    """A folder of searches, and the kernel that is at work in it at the moment."""

    def __init__(self, folder, search):
        self.folder, self.search, self.kernel, self.number = folder, search, None, 0
        self.journal = folder / "none"

    def tune(self, more=""):
        """Run the cell in the kernel, and return once its search is under way."""
        self.kernel = self.kernel or Kernel(self.folder, light=True)
        known = len(Store(self.folder / ".nb_optimizer").paths())
        names = GRID if self.search == "grid" else FREE
        code = CELL.format(**{**names, "more": names["more"] + " " + more}, search=self.search)
        was = self.record.resumed if "--resume" in more else 0
        self.kernel.ask(code)
        if "--resume" in more:
            self.wait(lambda r: r.resumed > was)
            return
        self.journal = self.folder / f".nb_optimizer/runs/tune-{known + 1}" / FILE
        self.wait(lambda r: bool(r.begin.run))

    @property
    def record(self):
        return read_search(self.journal.parent)

    def wait(self, reached, seconds=180):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.journal.is_file() and reached(record := self.record):
                return record
            time.sleep(0.02)
        pytest.fail(f"not within {seconds} s: {self.journal}")

    def kill(self, victim):
        """Kill, and do what a person would do then; ``False`` if there was nothing to kill."""
        record = self.record
        running = record.of_status("running")
        if record.status != "running" or (victim == "worker" and not running):
            return False
        if victim == "worker":
            if running[0].crashes:  # a trial is tried again once
                return False
            os.kill(record.workers[0].pid, signal.SIGKILL)
        elif victim == "supervisor":
            os.kill(record.owner[1], signal.SIGKILL)
            self.wait(lambda r: r.status == "interrupted")
            self.tune("--resume")
        else:
            os.kill(self.kernel.manager.provisioner.pid, signal.SIGKILL)
            self.close()
            self.kernel = Kernel(self.folder, light=True)
            self.kernel.ask("%runs attach " + self.journal.parent.name)
        return True

    def close(self):
        if self.kernel is not None:
            self.kernel.close()
            self.kernel = None


def results(record):
    return {key_of(t.values): (t.status, t.epochs, t.score) for t in record.trials}


def check_nothing_ran_twice(journal):
    """A trial that was completed never began again, and no values were tried twice."""
    events, _ = read(journal, EVENTS)
    done = set()
    for event in events:
        if isinstance(event, TrialBegin):
            assert event.trial not in done, event
        elif isinstance(event, TrialEnd) and event.status == "completed":
            done.add(event.trial)


def searches():
    return ["asha", "random", "grid", "bayesian", "hyperband"] if DRILLS else ["bayesian"]


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("search", searches())
def test_a_killed_search_comes_to_the_same_end(tmp_path, search):
    seed = time.time_ns()
    rng = random.Random(seed)  # noqa: S311 - shown on failure
    stand = Stand(tmp_path, search)
    stand.tune()
    whole = stand.wait(lambda r: r.status != "running")
    assert whole.status == "completed" and len(whole.trials) == (8 if search == "grid" else TRIALS)
    epochs, made = sum(t.epochs for t in whole.trials), []
    wanted = DRILLS or len(VICTIMS)
    while len(made) < wanted:
        stand.tune("--fresh")
        for at in sorted(rng.sample(range(epochs), min(AT_ONCE, wanted - len(made)))):
            after, victim = rng.random() * 1.5, rng.choice(VICTIMS)
            if not DRILLS:
                victim = VICTIMS[len(made) % len(VICTIMS)]
            stand.wait(lambda r, at=at: r.epochs_done >= at or r.status != "running")
            time.sleep(after)
            if stand.kill(victim):
                made.append((victim, at, round(after, 3)))
        record = stand.wait(lambda r: r.status != "running")
        story = (seed, made, str(stand.journal))
        assert record.status == "completed", (record.reason, *story)
        assert results(record) == results(whole), story
        assert record.best.values == whole.best.values and record.best.score == whole.best.score
        assert len(record.trials) == len(whole.trials)
        check_nothing_ran_twice(stand.journal)
    stand.close()
