"""What ``--devices`` takes, and what is picked for it: no device is looked at here."""

from __future__ import annotations

import pytest

from nb_optimizer.core.devices import wish
from nb_optimizer.core.devices.choice import MIRRORED, ON_TPU, PLAIN, choose
from nb_optimizer.core.devices.inventory import Inventory
from nb_optimizer.core.errors import UserError
from nb_optimizer.core.plan import TrainPlan

NOTHING = Inventory(cores=2)
FOUR = Inventory(cores=8, gpus=("A", "B", "C", "D"))
TPU = Inventory(cores=8, tpus=8)


@pytest.mark.parametrize("text", ["auto", "none", "3", "cpu:2", "gpu", "gpu:0,2", "tpu"])
def test_a_wish_reads_as_it_is_written(text):
    assert str(wish.read(text)) == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("gpx", 'Did you mean "gpu"?'),
        ("cpu", "takes auto, none, a number, cpu:N"),
        ("cpu:0", "1 to 64 logical CPUs"),
        ("0", "at least 1 device"),
        ("gpu:1,1", "names a GPU twice"),
        ("gpu:-1", "got 'gpu:-1'"),
    ],
)
def test_mistakes_say_what_is_right(text, says):
    with pytest.raises(UserError, match="--devices") as told:
        TrainPlan.of({"devices": text})
    assert says in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("text", "there", "strategy", "devices"),
    [
        ("auto", NOTHING, PLAIN, ()),
        ("auto", Inventory(gpus=("A",)), PLAIN, ()),
        ("gpu:0", FOUR, PLAIN, ()),
        ("gpu", Inventory(gpus=("A",)), PLAIN, ()),
        ("auto", FOUR, MIRRORED, ("GPU:0", "GPU:1", "GPU:2", "GPU:3")),
        ("auto", TPU, ON_TPU, tuple(f"TPU:{i}" for i in range(8))),
        ("none", FOUR, PLAIN, ()),
        ("1", FOUR, PLAIN, ()),
        ("2", FOUR, MIRRORED, ("GPU:0", "GPU:1")),
        ("gpu:3,1", FOUR, MIRRORED, ("GPU:3", "GPU:1")),
        ("cpu:2", NOTHING, MIRRORED, ("CPU:0", "CPU:1")),
    ],
)
def test_what_is_picked(text, there, strategy, devices):
    choice = choose(wish.read(text), there)
    assert (choice.strategy, choice.devices) == (strategy, devices)
    assert choice.why


def test_a_process_that_computes_already_is_said_to_be_left():
    late = Inventory(cores=2, computes=True)
    assert "in a process of its own" in choose(wish.read("cpu:2"), late).why
    divided = Inventory(cores=2, logical_cpus=2, computes=True)
    assert "process" not in choose(wish.read("cpu:2"), divided).why.replace("processor", "")


@pytest.mark.parametrize(
    ("text", "there", "says"),
    [
        ("2", NOTHING, "TensorFlow sees no GPU here. To try"),
        ("8", FOUR, "asks for 8 GPUs; TensorFlow sees 4 GPUs"),
        ("gpu", NOTHING, "sees no GPU here"),
        ("gpu:7", FOUR, "there is no GPU 7; the last one is gpu:3"),
        ("tpu", FOUR, "sees no TPU here. One can be had"),
    ],
)
def test_what_is_not_there_is_one_line(text, there, says):
    with pytest.raises(UserError) as told:
        choose(wish.read(text), there)
    assert says in str(told.value)
    assert "\n" not in str(told.value)
