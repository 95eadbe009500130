"""The search for narrower models: the order of the steps, and where the ladder goes on."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

from nb_optimizer.core import events as ev
from nb_optimizer.core import journal
from nb_optimizer.core.compression import ladder, narrow, search, shrink
from nb_optimizer.core.compression.bench import Probe
from nb_optimizer.core.compression.plan import CompressPlan
from nb_optimizer.core.compression.recipe import Recipe
from nb_optimizer.core.compression.row import Row


def steps(layer, *pairs):
    """Return the steps of a layer from what each gains and costs."""
    shares = narrow.SHARES
    return [narrow._Step(layer, s, *pair) for s, pair in zip(shares, pairs, strict=False)]


def test_steps_come_in_the_order_of_what_they_gain_for_their_cost():
    first = steps("a", (0.3, 0.01), (0.1, 0.1))  # 30, then 1
    hidden = steps("b", (0.0, 0.01), (0.4, 0.01))  # gains with its second step only: 20
    useless = steps("c", (-0.01, 0.001))
    order = [(s.layer, s.share) for s in narrow._in_order([useless, hidden, first, []])]
    assert order == [("a", 0.5), ("b", 0.5), ("b", 0.75), ("a", 0.75)]


def test_a_timing_by_which_a_narrower_layer_is_slower_is_not_believed():
    looks = {
        "a": [(3.57, 0.011), (2.82, 0.024)],  # once a lucky look
        "b": [(2.82, 0.010), (2.84, 0.013)],
        "c": [(2.36, 0.016), (2.52, 0.031)],
    }
    whole = Probe(0.0, 0.0, 2.42)
    layers = [
        narrow._steps_of(name, [whole, *(Probe(0.0, change, speed) for speed, change in seen)])
        for name, seen in looks.items()
    ]
    gains = {(s.layer, s.share): round(math.exp(s.gain), 2) for steps in layers for s in steps}
    assert gains["a", 0.5] == 1.31 and gains["a", 0.75] == 1.0  # both 3.17 times as fast as float
    assert gains["b", 0.5] == 1.17 and gains["b", 0.75] == 1.01
    assert gains["c", 0.5] == 1.0 and gains["c", 0.75] == 1.05
    rungs = narrow._rungs(narrow._in_order(layers))
    # What gains less than a training is worth comes with the next step, or not at all.
    assert rungs == [{"a": 0.5}, {"a": 0.5, "b": 0.5}]


def test_after_a_layer_that_cannot_be_narrower_the_others_go_on():
    a, ab, abc = ({"a": 0.5}, {"a": 0.5, "b": 0.5}, {"a": 0.75, "b": 0.5, "c": 0.5})
    rungs = [Recipe(widths=w) for w in (a, ab, abc)]
    left = ladder._around(rungs[0], rungs[1], rungs[2:])
    assert [r.widths for r in left] == [{"a": 0.75, "c": 0.5}]
    # What was trained for longer has passed, so its layers stay as narrow as they are.
    healed = Recipe(widths=a, epochs=64, quantize="int8")
    assert [r.widths for r in ladder._around(healed, rungs[1], rungs[2:])] == [
        {"a": 0.75, "c": 0.5}
    ]
    assert ladder._around(Recipe(), rungs[0], [Recipe(widths={"a": 0.75})]) == []
    # What lost only a little too much is tried half as narrow.
    near = ladder._around(rungs[0], rungs[1], rungs[2:], near=True)
    assert [r.widths for r in near] == [{"a": 0.5, "b": 0.25}, {"a": 0.75, "c": 0.5}]
    assert ladder._is_narrower(rungs[2], rungs[1]) and not ladder._is_narrower(rungs[1], rungs[1])


def climbed(rungs, loses, of_float=0.0):
    """Return the widths and epochs of a climb over ``rungs``; ``loses`` tells the loss of each.

    A rung takes 10 of 600 seconds, whatever its epochs; one of the float model's ``of_float``.
    """
    plan = CompressPlan(budget="1%", target="latency", time="600s")
    made, clock = [], [600.0]

    def attempt(recipe, **_):
        made.append((recipe.widths, recipe.epochs))
        clock.append(clock[-1] - 10.0)
        status = "measured" if (drop := loses(recipe)) <= plan.allowed_loss else "rejected"
        row = Row(
            len(made), recipe.to_dict(), drop=drop, status=status, seconds=10.0, latency_ms=1.0,
            reference_ms=1.0 + sum(recipe.widths.values()),
        )  # fmt: skip
        result.rows.append(row)
        return row

    maker = SimpleNamespace(
        attempt=attempt, base=None, epochs=lambda *_: 16, tuning=lambda n: n * of_float
    )
    result = SimpleNamespace(rows=[])
    session = SimpleNamespace(plan=plan, seconds_left=lambda: clock[-1], result=result)
    climber = ladder.Ladder(maker, session, Recipe(quantize="int8"), [])
    climber._rungs = rungs
    climber._climb(rungs)
    while (missed := climber._promising()) is not None:
        climber._longer(missed)
    return made


def test_what_longer_training_has_healed_stays_narrow_when_the_next_rung_fails():
    widths = [{"a": 0.5}, {"a": 0.5, "b": 0.5}, {"a": 0.5, "b": 0.5, "c": 0.5}]

    def loses(recipe):
        if "b" in recipe.widths or not recipe.widths.get("a"):
            return 0.2
        return 0.03 if recipe.epochs < 64 else 0.005

    made = climbed([Recipe(widths=w) for w in widths], loses)
    healed = made.index(({"a": 0.5}, 64))
    assert made[healed + 1 :] == [({"a": 0.5, "b": 0.5}, 64), ({"a": 0.5, "c": 0.5}, 64)]


@pytest.mark.parametrize(
    ("lost", "half", "then"),
    [
        (0.02, 0.015, [{"a": 0.5}, {"a": 0.5, "b": 0.5}]),  # both may heal: the faster first
        (0.03, 0.025, [{"a": 0.25}, {"a": 0.5}, {"a": 0.5, "b": 0.5}]),  # what lost less
        (0.02, 0.025, [{"a": 0.5}, {"a": 0.5, "b": 0.5}]),
    ],
)
def test_of_the_misses_the_fastest_that_may_heal_is_trained_for_longer(lost, half, then):
    def loses(recipe):
        if recipe.epochs == 64:
            return 0.005
        return lost if recipe.widths.get("a", 0.5) == 0.5 else half

    made = climbed([Recipe(widths={"a": 0.5}), Recipe(widths={"a": 0.5, "b": 0.5})], loses)
    assert made[:3] == [({"a": 0.5}, 16), ({"a": 0.25}, 16), ({"b": 0.5}, 16)]
    assert [widths for widths, epochs in made[3:] if epochs == 64][: len(then)] == then


def test_where_longer_training_fails_the_next_of_the_misses_has_its_turn():
    def loses(recipe):
        healed = recipe.widths == {"a": 0.25} and recipe.epochs == 64
        return 0.005 if healed else 0.2 if "b" in recipe.widths else 0.03

    made = climbed([Recipe(widths={"a": 0.5}), Recipe(widths={"a": 0.5, "b": 0.5})], loses)
    longer = [widths for widths, epochs in made if epochs == 64]
    assert longer[:2] == [{"a": 0.5}, {"a": 0.25}]
    assert longer.count({"a": 0.5}) == 1  # not again on the climb's end from what has healed


@pytest.mark.parametrize(
    ("of_float", "longest"), [(2.0, [64, 64, 64]), (4.0, [64, 64]), (9.0, [32, 32])]
)
def test_long_training_leaves_time_to_train_the_float_model_for_as_long(of_float, longest):
    widths = [{"a": 0.5}, {"a": 0.5, "b": 0.5}, {"a": 0.5, "b": 0.5, "c": 0.5}]
    made = climbed(
        [Recipe(widths=w) for w in widths],
        lambda recipe: 0.03 if recipe.epochs < 32 else 0.005,
        of_float,
    )
    assert [epochs for _, epochs in made if epochs > 16] == longest


def test_rungs_begin_with_the_most_accurate_float_model_and_learn_from_it():
    short = Recipe(tune=True, epochs=30)
    long = Recipe(tune=True, epochs=24, start=short.to_dict())
    rows = [
        Row(1, short.to_dict(), drop=-0.008, file="a"),
        Row(2, long.to_dict(), drop=-0.012, file="b"),
    ]
    plan = CompressPlan(budget="1%", target="latency", time="600s")
    session = SimpleNamespace(plan=plan, result=SimpleNamespace(rows=rows))
    seeking = search.Search(session)
    assert seeking.best_float() is None
    seeking.base = short
    assert seeking.best_float() == long == Recipe(widths={"a": 0.5}, start=long.to_dict()).teacher
    rows[1] = Row(2, long.to_dict(), drop=-0.001, file="b")
    assert seeking.best_float() == short


def test_where_8_bits_gain_little_narrower_models_are_tried_in_float_too():
    def forms(**speeds):
        rows = [
            Row(1, Recipe(quantize=n).to_dict(), latency_ms=1.0, reference_ms=s)
            for n, s in speeds.items()
        ]
        return [form.quantize for form in search._by_speed(rows)]

    assert forms(dynamic=1.4, int8=2.3) == ["int8", "dynamic"]
    assert forms(dynamic=0.9, int8=1.1) == ["int8", "", "dynamic"]
    assert forms(dynamic=0.9, int8=0.6) == ["", "dynamic", "int8"]


def test_between_two_shares_there_is_one():
    passed, missed = Recipe(shrink=0.25), Recipe(shrink=0.4)
    assert ladder._around(passed, missed, [Recipe(shrink=0.55)]) == [Recipe(shrink=0.325)]
    assert ladder._around(Recipe(), missed, [Recipe(shrink=0.55)]) == []
    assert ladder._is_narrower(missed, passed) and not ladder._is_narrower(passed, missed)


def test_single_layers_get_narrower_and_are_read_back(compress, trained):
    names = [layer.name for layer in shrink.layers_of(trained)]
    recipe = {"widths": {names[0]: 0.5}, "quantize": "int8", "epochs": 2}
    row = compress(recipe=recipe).candidates[0]
    assert row.name == f"shrink {names[0]} 0.5 + int8"
    assert [w.shape for w in row.load().get_weights() if w.ndim > 1] == [
        (16, 32),
        (32, 48),
        (48, 4),
    ]
    assert row.bytes < compress(quantize="int8").candidates[0].bytes
    many = Recipe(widths=dict.fromkeys("abc", 0.5), quantize="int8")
    assert many.name == "shrink by layer* + int8"


def test_a_look_leaves_nothing_but_its_figures(compress, monkeypatch):
    seen = []

    def found(self):
        first = shrink.layers_of(self._session.model)[0].name
        seen.extend([self._look({}), self._look({first: 0.5}), self._look({"unknown": 0.5})])
        seen.append(sorted(p.name for p in self._session.path.glob("*.tflite")))
        return []

    monkeypatch.setattr(narrow.Narrow, "_found", found)
    monkeypatch.setattr(ladder, "_SHARES", (0.4,))
    result = compress(budget="50%", target="latency", time="60s", epochs=1)
    whole, less, unknown, files = seen
    assert whole.speed > 0 and less.speed > 0 and less.change > whole.change >= 0
    assert unknown is None
    assert not any("narrow" in name or "probe" in name for name in files)
    assert any(row.recipe.get("shrink") for row in result.rows)  # no rungs: all layers alike
    kept = [e for e in journal.read(result.path / journal.FILE)[0] if isinstance(e, ev.Kept)]
    assert [e.values for e in kept if e.key == "rungs"] == [{"rungs": []}]  # for a resume
    assert sum(e.key.startswith("probe narrow") for e in kept) == 2
