"""Fine-tuning on logical CPUs: the same weights as on one device, by either engine."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from nb_optimizer.core.compression.plan import CompressPlan
from nb_optimizer.core.errors import UserError

NEAR = 1e-5
TFMOT = importlib.util.find_spec("tensorflow_model_optimization") is not None


@pytest.fixture(scope="module")
def found(in_fresh_process):
    script, engine = "compression/devices_cases.py", ["tfmot"] if TFMOT else []
    answers = [in_fresh_process(script, *part) for part in (["native"], ["search", *engine])]
    return {name: case for answer in answers for name, case in answer().items()}


def assert_equal(case):
    several, one = case["cpu:2"], case["none"]
    assert "reason" not in several, several["reason"]
    for mine, theirs in zip(several["weights"], one["weights"], strict=True):
        assert np.allclose(mine, theirs, atol=NEAR)


@pytest.mark.parametrize("case", ["prune, cluster and round", "shrink", "tuned before"])
def test_fine_tuning_on_two_devices_ends_as_on_one(found, case):
    assert_equal(found[case])
    told = found[case]["cpu:2"]["notes"]
    assert any("on 2 devices (CPU:0, CPU:1) with MirroredStrategy" in n for n in told)
    assert not any("devices" in n for n in found[case]["none"]["notes"])
    assert found["untouched"]


def test_a_batch_that_the_devices_do_not_divide_is_repaired_and_told(found):
    told = found["three"]["notes"]
    assert "batch size 64 is now 66, which 3 devices divide evenly" in told
    assert any("66 rows per batch, 22 on each" in n for n in told)


def test_a_search_trains_on_the_devices_without_runs_of_its_own(found):
    assert found["search"]["trained"] >= 1
    assert any("on 2 devices" in n for n in found["search"]["notes"])
    assert found["search"]["runs"] == 0


@pytest.mark.skipif(not TFMOT, reason="TF-MOT is not installed")
def test_tfmot_trains_on_two_devices_in_its_process(found):
    assert_equal(found["tfmot"])
    rounded = found["tfmot round"]
    assert (
        rounded["size"] > 0 and "TF-MOT trained on 2 devices, 64 rows per batch" in rounded["notes"]
    )
    assert any("ranges" in n for n in rounded["notes"])  # these are not those of one device


def test_a_wish_is_checked_with_the_other_options():
    with pytest.raises(UserError, match='Did you mean "gpu"'):
        CompressPlan(devices="gpx")
    assert CompressPlan.of({"devices": 2}).devices == "2"
