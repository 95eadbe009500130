"""Training on logical CPUs: equal to one device, and what would fail is one line."""

from __future__ import annotations

import numpy as np
import pytest

NEAR = 1e-5  # relative, for metrics; absolute, for weights


@pytest.fixture(scope="module")
def answers(in_fresh_process):
    """Both processes, at work at the same time."""
    return {devices: in_fresh_process("devices/cases.py", devices) for devices in ("2", "4")}


@pytest.fixture(scope="module")
def found(answers):
    return answers["2"]()


@pytest.fixture(scope="module")
def found_on_four(answers):
    return answers["4"]()


def assert_equal(case):
    several, one = case["several"], case["one"]
    for name, values in one["history"].items():
        assert np.allclose(several["history"][name], values, rtol=NEAR)
    for mine, theirs in zip(several["weights"], one["weights"], strict=True):
        assert np.allclose(mine, theirs, atol=NEAR)


@pytest.mark.parametrize(
    "case",
    ["sgd_arrays", "adam_arrays", "sgd_dataset", "adam_dataset", "own_step", "resumed"],
)
def test_two_devices_end_equal_to_one(found, case):
    assert_equal(found[case])
    assert "on 2 devices (CPU:0, CPU:1)" in "".join(found[case]["several"]["notes"])
    assert "MirroredStrategy" not in "".join(found[case]["one"]["notes"])


@pytest.mark.parametrize("case", ["sgd_arrays", "adam_dataset"])
def test_four_devices_end_equal_to_one(found_on_four, case):
    assert_equal(found_on_four[case])
    assert "on 4 devices" in "".join(found_on_four[case]["several"]["notes"])


def test_a_model_of_an_earlier_cell_learns_as_on_one_device_and_goes_on(found):
    case = found["earlier_model"]
    assert_equal(case)
    assert case["several"]["after"] == pytest.approx(case["one"]["after"], rel=NEAR)
    assert case["several"]["iterations"] == case["one"]["iterations"] == 25
    assert case["several"]["same"]
    assert "a copy of it trains on the devices" in "".join(case["several"]["notes"])


@pytest.mark.parametrize(
    ("case", "says"),
    [
        ("uneven_batch", "batch size 33 is now 34, which 2 devices divide evenly"),
        ("uneven_batch", "jit_compile is off"),
        ("short_rest", "the last 1 of 129 rows is left out"),
        ("short_rest_of_split", "the last 1 of 129 rows is left out"),
        ("uneven_rest", "the last batch of an epoch has 3 rows, which 2 devices share unevenly"),
        ("uneven_dataset", "the dataset's batches of 33 are now of 34"),
        ("noisy", "draws its random masks on each device"),
        ("generator", "32 rows per batch, 16 on each"),
    ],
)
def test_what_would_fail_is_repaired_and_told(found, case, says):
    assert found[case]["status"] == "completed"
    assert any(says in note for note in found[case]["notes"])


def test_batch_normalization_is_equal_where_it_is_synchronized_and_said_to_differ_elsewhere(found):
    assert_equal(found["whole_statistics"])  # the moving statistics, too
    parted = found["parted_statistics"]
    assert not np.allclose(parted["several"]["history"]["loss"], parted["one"]["history"]["loss"])
    says = "BatchNormalization takes its statistics from the 2 parts"
    assert any(says in note for note in parted["several"]["notes"])
    assert not any(says in note for note in found["whole_statistics"]["several"]["notes"])


def test_what_works_under_a_strategy_is_left_alone(found):
    notes = found["untouched"]["notes"]  # use_ema, steps_per_execution
    assert len([n for n in notes if "trained on" not in n and "rows per second" not in n]) == 0


@pytest.mark.parametrize(
    ("case", "says"),
    [
        ("accumulation", "gradient_accumulation_steps=2 does not work under a strategy"),
        ("overwriting_ema", "ema_overwrite_frequency does not work under a strategy"),
        ("sequence", "the Rows makes batches of 33 rows, which 2 devices cannot divide"),
        ("few_rows", "cannot be divided among 2 devices"),
        ("cannot_rebuild", "cannot be rebuilt there"),
    ],
)
def test_what_cannot_be_repaired_is_one_line(found, case, says):
    assert says in found[case]
    assert "\n" not in found[case]


def test_a_batch_per_device_scales_the_learning_rate_when_asked(found):
    scaled = found["scaled"]
    assert scaled["rows"] == 16 and scaled["devices"] == ["CPU:0", "CPU:1"]
    assert 0.01 < scaled["rates"][0] < scaled["rates"][1] < 0.02
    assert scaled["rates"][2:] == pytest.approx([0.02] * 6)
    assert scaled["scaling"] == pytest.approx(1.0)
    assert any("goes from 0.01 to 0.02 within 2 epochs" in n for n in scaled["notes"])
    assert any("--scale-lr multiplies it by 2" in n for n in found["offered"]["notes"])
