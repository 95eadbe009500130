"""What may be asked for, and how a mistake is told."""

from __future__ import annotations

import pytest

from nb_optimizer.core.compression.plan import CompressPlan
from nb_optimizer.core.compression.recipe import Recipe
from nb_optimizer.core.errors import UserError


def test_units_are_read():
    plan = CompressPlan(budget="0.5%", max_size="1.5MB", time="10m")
    assert plan.allowed_loss == pytest.approx(0.005)
    assert plan.max_bytes == 1.5e6
    assert plan.seconds == 600
    assert CompressPlan(budget="0.02").allowed_loss == pytest.approx(0.02)


def test_one_recipe_for_each_number_format():
    recipes = CompressPlan(prune="0.8", quantize="int8,qat", cluster=16).recipes()
    assert [r.name for r in recipes] == [
        "prune 0.8 + cluster 16 + int8",
        "prune 0.8 + cluster 16 + QAT int8",
    ]


def test_without_a_recipe_the_free_formats_are_tried():
    assert [r.quantize for r in CompressPlan().recipes()] == ["float16", "dynamic", "int8", "int4"]
    assert not any(r.trains for r in CompressPlan().recipes())


def test_numbers_are_welcome_in_python():
    assert CompressPlan.of({"prune": 0.8}).prune == "0.8"
    assert CompressPlan.of({"budget": 0.01}).allowed_loss == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"prune": "80"}, "--prune takes a share between 0 and 1"),
        ({"shrink": 1.5}, "--shrink takes a share"),
        ({"cluster": 1}, "--cluster takes a whole number from 2 to 256"),
        ({"quantize": "int9"}, 'Did you mean "int8"?'),
        ({"engine": "natve"}, 'Did you mean "native"?'),
        ({"budget": "150%"}, "--budget takes a loss"),
        ({"max_size": "big"}, "--max-size takes a size"),
        ({"time": "soon"}, "--time takes a length of time"),
        ({"target": "gzip"}, "--target gzip needs a goal"),
        ({"budget": "1%", "quantize": "int8"}, "leave out --quantize"),
        ({"prune": 0.8, "schedule": "cubic"}, "--schedule takes polynomial, constant"),
        ({"schedule": "constant"}, "--schedule constant needs a share to prune"),
        ({"epochs": 0}, "--epochs takes a whole number"),
    ],
)
def test_a_mistake_says_what_is_right(options, words):
    with pytest.raises(UserError) as told:
        CompressPlan.of(options)
    assert words in str(told.value)


def test_all_mistakes_are_told_at_once():
    with pytest.raises(UserError) as told:
        CompressPlan(prune="2", quantize="int9")
    assert "--prune" in str(told.value) and "--quantize" in str(told.value)


def test_a_recipe_survives_json():
    start = Recipe(prune="0.5").to_dict()
    recipe = Recipe(prune="0.8", layers={"dense": 0.9}, quantize="int8", start=start)
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    with pytest.raises(UserError, match='Did you mean "prune"'):
        Recipe.from_dict({"prun": "0.8"})
