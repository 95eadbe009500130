"""Ranges as people write them, and what is said of wrong ones."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nb_optimizer.core.errors import UserError
from nb_optimizer.core.tuning.given import given_values
from nb_optimizer.core.tuning.grammar import parse
from nb_optimizer.core.tuning.space import Range, Space, key_of, rng_of


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("16..64:16", [16, 32, 48, 64]),
        ("1..3", [1, 2, 3]),
        ("lin(0,1):0.25", [0.0, 0.25, 0.5, 0.75, 1.0]),
        ("log(1e-4,1e-1):10", [1e-4, 1e-3, 1e-2, 1e-1]),
        ("32|64", [32, 64]),
        ("relu|tanh", ["relu", "tanh"]),
        ("true|false", [True, False]),
        ("0.1|none", [0.1, None]),
        ("nan|inf", ["nan", "inf"]),
    ],
)
def test_points(text, points):
    assert (
        parse("a", text).points() == pytest.approx(points)
        if text[:3] in ("lin", "log")
        else (parse("a", text).points() == points)
    )
    again = parse("a", str(parse("a", text)))
    assert again == parse("a", text)


def test_continuous_ranges_have_no_points_but_a_scale():
    rate = parse("lr", "log(1e-4,1e-1)")
    assert rate.points() is None
    assert rate.at(0.5) == pytest.approx(10**-2.5)
    assert rate.share(rate.at(0.3)) == pytest.approx(0.3)
    drawn = [rate.sample(np.random.default_rng(0)) for _ in range(50)]
    assert all(1e-4 <= d <= 1e-1 for d in drawn)


def test_bounds_may_be_variables():
    assert parse("n", "low..high", {"low": 2, "high": 9}) == Range("n", "int", 2, 9)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("128..16", "128 is above 16; write 16..128"),
        ("16..16", "at least two values"),
        ("1..2:5", "holds only 1"),
        ("1..9:0", "step"),
        ("0.1..0.5", "lin(0.1,0.5)"),
        ("log(0,1)", "must be above 0"),
        ("log(1e-1,1e-4)", "write log(1e-4,1e-1)"),
        ("log(1,10):1", "above 1"),
        ("lin(1)", "two bounds"),
        ("lgo(1,2)", 'Did you mean "log"'),
        ("a|a", "twice"),
        ("a||b", "empty choice"),
        ("32", "no range"),
        ("1..top", 'the bound "top"'),
        ("lin(0,inf)", "not finite"),
    ],
)
def test_bad_ranges_are_refused_in_one_line(text, told):
    with pytest.raises(UserError) as refused:
        parse("units", text, {"tip": 3})
    assert told in str(refused.value)
    assert "units" in str(refused.value) and "\n" not in str(refused.value)


def test_names_must_be_variables():
    for name in ("class", "a-b", "1x"):
        with pytest.raises(UserError, match="cannot name a variable"):
            parse(name, "1..2")


def conditional():
    return Space(
        [
            Range("kind", "choice", choices=("mlp", "cnn")),
            Range("units", "int", 1, 3, when=(("kind", ("mlp",)),)),
            Range("filters", "int", 1, 2, when=(("kind", ("cnn",)),)),
        ]
    )


def test_a_conditional_grid_holds_each_point_once():
    points = list(conditional().grid())
    assert len(points) == len({key_of(p) for p in points}) == conditional().size() == 5
    assert {"kind": "mlp", "units": 2} in points


def test_samples_hold_what_counts_and_nothing_else():
    space = conditional()
    for seed in range(30):
        values = space.sample(rng_of(seed))
        assert space.known(values)
        assert ("units" in values) == (values["kind"] == "mlp")
        assert len(space.encode(values)) == 3
    assert not space.known({"kind": "mlp", "filters": 1})
    assert Space.from_json(space.to_json()) == space


def test_seeds_are_independent_and_zero_is_one():
    space = Space([parse("a", "lin(0,1)"), parse("b", "lin(0,1)")])
    drawn = [[space.sample(rng_of(seed, n, "values"))["a"] for n in range(20)] for seed in range(9)]
    assert len({x for row in drawn for x in row}) == 180  # no seed repeats another, shifted or not
    assert drawn[0] == [space.sample(rng_of(0, n, "values"))["a"] for n in range(20)]
    assert abs(np.corrcoef(drawn)[0, 1:]).max() < 0.9


def test_given_values():
    ranges = [parse("lr", "log(1e-4,1)"), parse("units", "16..64:16")]
    found = given_values("lr=1,units=32; lr=0.1", ranges)
    assert found == [{"lr": 1.0, "units": 32}, {"lr": 0.1}]
    assert math.isclose(found[1]["lr"], 0.1)
    for text, told in (
        ("units=20", "lies outside"),
        ("unit=32", 'Did you mean "units"'),
        ("lr", "name=value"),
    ):
        with pytest.raises(UserError, match=told):
            given_values(text, ranges)
