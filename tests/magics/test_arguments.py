"""Whatever stands on a magic's line, only a UserError may come out."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nb_optimizer.core.errors import UserError
from nb_optimizer.core.plan import LATER, TrainPlan
from nb_optimizer.magics import runs, train
from nb_optimizer.magics.completion import complete
from nb_optimizer.magics.settings import NbOptimizer

NAMES = {"rate": 0.01, "n_epochs": 7, "words": "abc", "x": [1, 2]}


def read(line):
    return train.read(line, NbOptimizer(), NAMES)


def test_options_names_and_literals():
    request = read("--patience 5 --lr rate --epochs=n_epochs --no-checkpoint -o run --name 'a b'")
    plan = request.plan
    assert (plan.patience, plan.lr, plan.epochs, plan.checkpoint) == (5, 0.01, 7, False)
    assert (plan.name, request.out) == ("a b", "run")
    assert read("").plan == TrainPlan()
    assert read("--epochs 1e2").plan.epochs == 100


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("--patienc 5", 'There is no option "--patienc". Did you mean "--patience"?'),
        ("patience 5", '"patience" is not an option; options start with --.'),
        ("--patience", "--patience needs a value: --patience N."),
        ("--patience -1", "--patience takes a whole number of at least 0, got -1"),
        ("--patience 2.5", "--patience takes a whole number, got '2.5'"),
        ("--patience 1 --patience 2", "--patience is given twice."),
        ("--epochs n_epoch", 'there is no variable "n_epoch". Did you mean "n_epochs"?'),
        ("--epochs words", "--epochs takes a whole number, got 'abc'"),
        ("--epochs 0", "--epochs takes a whole number of at least 1, got 0"),
        ("--lr 0", "--lr takes a number above 0, got 0.0"),
        ("--lr nan", "--lr takes a number above 0, got nan"),
        ("--dropout 1", "--dropout takes a number from 0 up to, but below, 1, got 1.0"),
        ("--live widgets", 'Did you mean "widget"?'),
        ("--precision float16", "--precision takes float32, mixed_float16, mixed_bfloat16"),
        ("--resume=yes", "--resume takes no value, got 'yes'."),
        ("--name 'open", "The line cannot be read"),
        ("-o 3x", "--out takes a variable name, got '3x'."),
        ("--lr auto", "--lr auto"),
        ("--batch-size auto", "--batch-size auto"),
        *((f"--{name} 2", f"--{name} (") for name in LATER),
    ],
)
def test_mistakes_say_what_is_right(line, says):
    with pytest.raises(UserError) as told:
        read(line)
    assert says in str(told.value)
    assert "\n" not in str(told.value)


words = st.sampled_from(
    [*train.OPTIONS, "-o", "--", "-", "=", "auto", "0", "-1", "nan", "1e999", "x", "'", '"', "\\"]
)
lines = st.one_of(
    st.text(max_size=60),
    st.lists(st.one_of(words, st.text(max_size=8)), max_size=6).map(" ".join),
)


@settings(max_examples=400, deadline=None)
@given(lines)
def test_fuzzed_train_lines(line):
    try:
        request = read(line)
    except UserError:
        return
    assert isinstance(request.plan, TrainPlan)


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(max_size=40), st.lists(words, max_size=4).map(" ".join)))
def test_fuzzed_runs_lines(tmp_path_factory, line):
    defaults = NbOptimizer(directory=str(tmp_path_factory.getbasetemp() / "none"))

    class Shell:
        user_ns: dict = {}  # noqa: RUF012 - a stand-in

    try:
        shown = runs.run(Shell(), defaults, line)
    except UserError:
        return
    assert len(shown) == 0  # an empty store: only the list has something to show


@settings(max_examples=200, deadline=None)
@given(lines)
def test_completion_never_fails(line):
    assert isinstance(complete(f"%%train {line}", NAMES), list)


def test_completion():
    assert complete("%%train --pat", NAMES) == ["--patience"]
    assert complete("%%train --live w", NAMES) == ["widget"]
    assert complete("%%train --epochs n_", NAMES) == ["n_epochs"]
    assert complete("%runs sh", NAMES) == ["show"]
    assert complete("print(1)", NAMES) == []


def test_settings_become_defaults_and_the_line_wins():
    defaults = NbOptimizer(patience=9, live="text")
    assert train.read("", defaults, {}).plan.patience == 9
    assert train.read("--patience 2", defaults, {}).plan.patience == 2
    assert train.read("", defaults, {}).plan.live == "text"
