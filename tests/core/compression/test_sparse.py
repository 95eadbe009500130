"""The search for the sparsest model: which rung comes next, and what it is compared with."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from nb_optimizer.core.compression import sparse
from nb_optimizer.core.compression.plan import CompressPlan
from nb_optimizer.core.compression.recipe import Recipe
from nb_optimizer.core.compression.row import Row
from nb_optimizer.core.compression.search import Search
from nb_optimizer.core.compression.session import Compressing


def climbed(limit):
    """Return the densities of a climb where rungs hold down to ``limit``."""
    made, good, bad, density = [], 0.0, 0.0, sparse._DENSITY
    while density:
        made.append(density)
        good, bad = (density, bad) if density >= limit else (good, density)
        density = sparse._next(good, bad, (limit / density) ** (1 / sparse._POWER))
    return made, good


@pytest.mark.parametrize("limit", [0.015, 0.03, 0.09, 0.12, 0.15, 0.3])
def test_a_climb_ends_near_the_sparsest_that_holds(limit):
    made, good = climbed(limit)
    assert limit <= good <= limit / sparse._CLOSE and len(made) < 12


def test_a_climb_ends_where_nothing_holds_and_where_everything_does():
    made, good = climbed(1.0)
    assert good == 0 and max(made) <= sparse._DENSEST
    made, good = climbed(0.0)
    assert good == made[-1] >= sparse._SPARSEST


@pytest.mark.parametrize(
    ("losses", "tried", "held"),
    [
        ({16: 0.002, 8: 0.004}, [16, 8], True),
        ({16: 0.002, 8: 0.02}, [16, 8], True),
        ({16: 0.008}, [16], True),  # no room for fewer values
        ({16: 0.02}, [16], False),
    ],
)
def test_fewer_values_are_tried_where_sixteen_leave_room(losses, tried, held, trained):
    made = []

    def attempt(recipe):
        made.append(recipe.cluster)
        drop = losses.get(recipe.cluster, 0.0)
        return Row(1, drop=drop, status="measured" if drop <= 0.01 else "rejected")

    plan = CompressPlan(budget="1%", target="gzip")
    models = SimpleNamespace(model=lambda _: trained)
    session = SimpleNamespace(model=trained, plan=plan, trained=models)
    search = SimpleNamespace(attempt=attempt, base=None)
    climber = sparse.Sparse(search, session, Recipe(quantize="dynamic"))
    found = climber._holds(Recipe(prune="0.86", quantize="dynamic"))
    assert found == (held, losses[16])
    assert made == [0, *tried]


@pytest.mark.parametrize(
    ("target", "dynamic", "chosen"),
    [("gzip", 0.002, "dynamic"), ("gzip", 0.03, "int8"), ("size", 0.002, "int8")],
)
def test_for_gzip_activations_are_rounded_without_training(target, dynamic, chosen):
    losses = {"dynamic": dynamic, "int8": 0.001}
    rows = [
        Row(n, {"quantize": f}, drop=d, status="measured", bytes=100, gzip_bytes=100)
        for n, (f, d) in enumerate(losses.items(), 1)
    ]
    plan = CompressPlan(budget="1%", target=target)
    session = SimpleNamespace(plan=plan, result=SimpleNamespace(rows=rows))
    assert Search(session)._choose_format().quantize == chosen


def test_a_search_holds_what_it_trained_against_the_fine_tuned_float_model(compress):
    result = compress(budget="8%", target="gzip", time="45s", epochs=3)
    floats = [r for r in result.rows if r.name.startswith("fine-tuned float32")]
    tuned = floats[-1]
    if tuned.drop < 0:
        assert [r.name for r in floats[1:]] == [f"fine-tuned float32 for {floats[1].passes} epochs"]
    trained = [r for r in result.rows if Recipe.from_dict(r.recipe).prune]
    assert trained and all(r.against == (tuned.number if tuned.drop < 0 else 0) for r in trained)
    float_score = tuned.score if tuned.drop < 0 else result.baseline.score
    for row in trained:
        if row.confirmed == tuned.confirmed:
            assert row.drop == pytest.approx(float_score - row.score, abs=1e-6)
    assert tuned.number not in result.record.picks.values()
    assert any(r.recipe.get("cluster") for r in trained)
    passes = [Recipe.from_dict(r.recipe).passes for r in trained]
    assert tuned.drop >= 0 or max(passes) == Recipe.from_dict(tuned.recipe).passes
    assert result.best.row.confirmed


def test_single_layers_take_numbers_of_values_of_their_own(compress, trained):
    last = trained.layers[-1].name
    recipe = {"prune": "0.6", "cluster": 8, "values": {last: 20}, "quantize": "dynamic"}
    row = compress(recipe={**recipe, "epochs": 2}).candidates[0]
    assert row.name == "prune 0.6 + cluster 8* + dynamic"
    kernels = {w.shape: w for w in row.load().get_weights()}
    wide, end = kernels[64, 48], kernels[48, 4]
    assert len(np.unique(wide)) <= 8 and np.mean(wide == 0) == pytest.approx(0.6, abs=0.01)
    assert 8 < len(np.unique(end)) <= 20 and np.mean(end == 0) < 0.1


def test_a_recipe_knows_how_long_everything_behind_it_was_trained():
    tuned = Recipe(tune=True, epochs=10, start=Recipe(trim=True).to_dict())
    rung = Recipe(prune="0.8", cluster=16, epochs=7, start=tuned.to_dict())
    assert [r.passes for r in (Recipe(trim=True), tuned, rung)] == [0, 10, 20]
    assert Recipe(shrink=0.5, qat=True, quantize="int8", epochs=6).passes == 9
    assert rung.teacher == tuned
    longer = Recipe(tune=True, epochs=5, start=tuned.to_dict())
    assert [r.name for r in (tuned, longer)] == [
        "fine-tuned float32",
        "fine-tuned float32 for 15 epochs",
    ]


def test_what_was_trained_is_held_to_the_float_model_that_was_for_as_long():
    first = Recipe(tune=True, epochs=10)
    longer, longest = (Recipe(tune=True, epochs=n, start=first.to_dict()) for n in (5, 50))
    rows = [Row(0, file="0"), *(Row(n, r.to_dict(), file=f"{n}") for n, r in
                                enumerate((first, longest, longer), 1))]  # fmt: skip
    session = SimpleNamespace(result=SimpleNamespace(rows=rows))

    def against(recipe):
        row = Compressing.against(session, recipe.to_dict())
        return row and row.number

    rung = Recipe(prune="0.8", epochs=4, start=first.to_dict())
    assert against(rung) == 3
    assert against(Recipe(cluster=8, epochs=100, start=first.to_dict())) == 2
    assert against(Recipe(prune="0.8")) is None and against(longer) is None
