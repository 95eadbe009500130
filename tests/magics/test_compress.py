"""The line of ``%compress``: names become objects, options a plan, words are completed."""

from __future__ import annotations

import pytest

from nb_optimizer.core.errors import UserError
from nb_optimizer.magics.completion import complete
from nb_optimizer.magics.compress import read

NAMES = {
    "model": object(),
    "x": [1],
    "y": [2],
    "small": type("R", (), {"recipe": {"prune": "0.5"}}),
}


def test_names_become_what_they_stand_for():
    request = read("model --data x,y --prune 0.8 --quantize int8,qat --epochs 3 -o out", NAMES)
    assert request.model is NAMES["model"]
    assert request.data == ([1], [2]) and request.train is None
    assert (request.plan.prune, request.plan.epochs, request.out) == ("0.8", 3, "out")


def test_one_name_is_a_data_set_and_dots_are_followed():
    request = read("model --data x --recipe small.recipe", NAMES)
    assert request.data == [1] and request.recipe == {"prune": "0.5"}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "takes a model first"),
        ("modl --data x,y", 'Did you mean "model"?'),
        ("model --data x,f(y)", "takes names of variables, got 'f(y)'"),
        ("model --data x,y --recipe small.recip", 'small has no "recip"'),
        ("model --data x,y --cluster many", 'there is no variable "many"'),
        ("model --data", "--data needs a value: --data x,y"),
    ],
)
def test_a_mistake_is_told(line, words):
    with pytest.raises(UserError) as told:
        read(line, NAMES)
    assert words in str(told.value)


def test_models_options_and_choices_are_completed():
    assert complete("%compress mo", NAMES) == ["model"]
    assert "--budget" in complete("%compress model --bu", NAMES)
    assert complete("%compress model --target g", NAMES) == ["gzip"]
