"""Options of a search, and what is said of wrong ones."""

from __future__ import annotations

import math

import pytest

from nb_optimizer.core.errors import UserError
from nb_optimizer.core.tuning.cell import check_ranges, filled, names_of
from nb_optimizer.core.tuning.plan import SEARCHES as NAMES
from nb_optimizer.core.tuning.plan import TunePlan, seconds_of
from nb_optimizer.core.tuning.searches import SEARCHES


def test_every_search_of_the_plan_exists():
    assert set(NAMES) == set(SEARCHES)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"trials": 0}, "--trials takes a whole number of at least 1, got 0"),
        ({"time": "0m"}, "above 0"),
        ({"time": "soon"}, "90s, 10m or 2h"),
        ({"workers": "0"}, "at least 1"),
        ({"search": "asah"}, 'Did you mean "asha"'),
        ({"engine": "clutser"}, 'Did you mean "cluster"'),
        ({"engine": "local:x"}, "no address"),
        ({"direction": "up"}, "min, max"),
        ({"resume": True, "fresh": True}, "exclude"),
        ({"trails": 3}, 'Did you mean "trials"'),
        ({"disk": -1}, "at least 0"),
    ],
)
def test_bad_options_are_refused_in_one_line(options, told):
    with pytest.raises(UserError) as refused:
        TunePlan.of(options)
    assert told in str(refused.value) and "\n" not in str(refused.value)


def test_times():
    assert (seconds_of("90"), seconds_of("1h30m"), seconds_of("1.5m")) == (90, 5400, 90)
    assert math.isnan(seconds_of("10 m"))
    assert TunePlan().seconds == math.inf


CELL = """
import keras
def make(n):
    return keras.layers.Dense(n * factor, activation=act)
x = x / scale
if flag:
    extra = 1
total += 1
pairs = [k for k in units_list]
model = make(units)
"""


def test_names_that_come_from_outside():
    found = names_of(CELL)
    expected = {"factor", "act", "x", "scale", "flag", "total", "units_list", "units"}
    assert found.free == expected
    assert found.sets["x"] == 5 and found.sets["model"] == 10


def test_ranges_that_could_have_no_effect_are_refused():
    found = names_of("lr = 0.1\nmodel(lr, units)")
    with pytest.raises(UserError, match="sets lr itself in line 1"):
        check_ranges(found, ["lr"])
    with pytest.raises(UserError, match='never reads unts.*Did you mean "units"'):
        check_ranges(found, ["unts"])
    check_ranges(found, ["units"])


def test_the_cell_with_values_filled_in():
    assert filled("fit(lr)", {"lr": 0.1}, uses_hp=False) == "lr = 0.1\n\nfit(lr)"
    text = "a = hp.Int('ünits', 1, 9) + hp.Choice(\n  name='k', values=['p'])"
    assert filled(text, {"ünits": 3, "k": "p"}, uses_hp=True) == "a = 3 + 'p'"
    left = filled("build(hp)", {"units": 3}, uses_hp=True)
    assert "hp.values = {'units': 3}" in left and left.endswith("build(hp)")
