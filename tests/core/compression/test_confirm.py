"""How a search ends: the float model trains as long as the best, which is measured again."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from nb_optimizer.core.compression import picks, timing, workers
from nb_optimizer.core.compression.plan import CompressPlan
from nb_optimizer.core.compression.recipe import Recipe
from nb_optimizer.core.compression.row import Row
from nb_optimizer.core.compression.runtime import Served
from nb_optimizer.core.compression.search import Search
from nb_optimizer.core.compression.session import Compressing
from nb_optimizer.core.compression.timing import Look


def test_every_pick_is_held_to_the_float_model_that_was_trained_last():
    first = Recipe(tune=True, epochs=10)
    longer = Recipe(tune=True, epochs=20, start=first.to_dict())
    rungs = [Recipe(prune="0.8", quantize="int8", epochs=10 + n, start=first.to_dict())
             for n in range(6)]  # fmt: skip
    rows = [
        Row(0, bytes=100, file="0"),
        Row(1, first.to_dict(), bytes=100, file="1"),
        Row(2, longer.to_dict(), bytes=100, file="2"),
        *(Row(n, r.to_dict(), bytes=40 + n, drop=0.004, file=f"{n}", against=1, samples=9,
              latency_ms=1.0, status="measured") for n, r in enumerate(rungs, 3)),
    ]  # fmt: skip
    rows[8] = replace(rows[8], drop=0.001)

    def confirm(row):  # as the longer float model is 0.8 points better than the other
        at = rows.index(row)
        lost = row.drop + 0.008 * (row.number > 2)
        rows[at] = picks.judged(
            replace(row, drop=lost, against=2, confirmed=True), plan, limits_loss=True
        )

    plan = CompressPlan(budget="1%")
    session = SimpleNamespace(plan=plan, result=SimpleNamespace(rows=rows), confirm=confirm,
                              bench=SimpleNamespace(held_out=range(9)))  # fmt: skip
    session.against = lambda values: Compressing.against(session, values)
    search = Search(session)
    search._confirm()
    best = search._best()
    assert best.number == 8 and best.against == 2 and best.drop == pytest.approx(0.009)
    assert all(r.status == "rejected" for r in rows[3:8])


@pytest.mark.parametrize(("left", "done"), [(100.0, True), (30.0, False), (-1.0, False)])
def test_in_the_end_the_float_model_is_trained_as_long_as_the_best_or_that_is_told(left, done):
    first = Recipe(tune=True, epochs=10)
    best = Recipe(shrink=0.5, quantize="int8", epochs=30, start=first.to_dict())
    rows = [
        Row(0, bytes=100, file="0"),
        Row(1, first.to_dict(), bytes=100, file="1", seconds=20.0),  # 2 seconds an epoch
        Row(2, best.to_dict(), bytes=40, file="2", against=1, latency_ms=1.0),
    ]
    notes, made = [], []
    session = SimpleNamespace(
        plan=CompressPlan(budget="1%"), result=SimpleNamespace(rows=rows),
        seconds_left=lambda: left, note=notes.append, candidate=made.append,
    )  # fmt: skip
    search = Search(session)
    search.base, search.attempt = first, made.append
    search._tune_as_long()
    assert [r.passes for r in made] == ([best.passes] if done else [])
    assert bool(notes) is not done


def test_the_fastest_is_the_one_that_stays_it_when_all_that_came_near_are_timed_again():
    first = {1: 3.6, 2: 3.1, 3: 3.3, 4: 2.0}  # times as fast as float, by one look
    truth = {1: 2.9, 2: 3.4, 3: 3.0, 4: 9.0}  # the last is too far off to be looked at again
    rows = [Row(0, bytes=100, file="0", samples=9)] + [
        Row(n, Recipe(quantize="int8").to_dict(), file=f"{n}", latency_ms=1.0, reference_ms=speed,
            samples=9)
        for n, speed in first.items()
    ]  # fmt: skip
    seen = []

    def confirm(row):
        seen.append(row.number)
        at = rows.index(row)
        rows[at] = replace(row, reference_ms=truth[row.number], confirmed=True)

    plan = CompressPlan(budget="1%", target="latency")
    session = SimpleNamespace(
        plan=plan, result=SimpleNamespace(rows=rows), confirm=confirm, against=lambda _: None,
        bench=SimpleNamespace(held_out=range(9)),
    )  # fmt: skip
    search = Search(session)
    search._confirm()
    assert seen == [1, 3, 2] and search._best().number == 2


def test_a_file_is_looked_at_in_several_processes_and_the_median_counts(compress, tmp_path):
    result = compress(quantize="int8")
    whole, file = (result.path / row.file for row in result.rows)
    inputs = tmp_path / "inputs.npy"
    np.save(inputs, np.zeros((2, 16), "float32"))
    name = next(iter(Served(whole, 1).inputs))
    asked = []

    def call(request):
        asked.append(request)
        return workers.call(request, tmp_path)

    looks = timing.looks(call, file, whole, {name: str(inputs)}, 3)
    assert len(asked) == len(looks) == 3
    assert all(0 < k.latency_ms <= k.latency_p90_ms and k.reference_ms > 0 for k in looks)
    speeds = [look.speed for look in looks]
    assert timing.typical(looks).speed == sorted(speeds)[1]
    lucky = [Look(1.0, 1.0, 9.0), Look(1.0, 1.0, 2.0), Look(2.0, 2.0, 4.2), Look(1.0, 1.0, 1.0)]
    assert timing.typical(lucky) == lucky[1]  # the slower of the two in the middle
