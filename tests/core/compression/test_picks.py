"""Which of the measured rows are the picks."""

from __future__ import annotations

from nb_optimizer.core.compression import picks
from nb_optimizer.core.compression.plan import CompressPlan
from nb_optimizer.core.compression.recipe import Recipe
from nb_optimizer.core.compression.row import Row, name_among


def row(number, drop, size, **more):
    known = {"latency_ms": 1.0, **more}
    return Row(number, drop=drop, bytes=size, gzip_bytes=size, **known)


def test_quality_is_the_most_accurate_whatever_a_row_is_held_to():
    plan = CompressPlan(budget="1%", target="gzip")
    made = [
        row(0, 0.0, 1000),
        row(1, 0.0005, 500, recipe={"quantize": "int8"}),
        row(2, -0.02, 1000, recipe={"tune": True}),
        row(3, 0.001, 100, against=2, recipe={"prune": "0.8"}),  # 1.9 points above the model
        row(4, 0.008, 50, against=2, recipe={"prune": "0.9"}),
    ]
    chosen = picks.choose(made, plan)
    assert chosen["quality"] == 3 and chosen["best"] == chosen["compact"] == 4
    alone = picks.choose(made[:2], plan)
    assert alone == dict.fromkeys(("best", "quality", "balanced", "compact"), 1)


def test_of_equal_sizes_the_faster_wins_and_of_equal_times_the_more_accurate():
    plan = CompressPlan(budget="1%", target="gzip")
    base = row(0, 0.0, 1000)
    noisy = [row(1, 0.0048, 100, latency_ms=0.9), row(2, 0.002, 98), row(3, 0.0, 120)]
    assert picks.choose([base, *noisy], plan)["best"] == 2
    slow = [row(1, 0.0048, 100, latency_ms=0.5), row(2, 0.002, 98)]
    assert picks.choose([base, *slow], plan)["best"] == 1


def test_of_two_rows_with_the_same_words_the_second_tells_its_epochs():
    short, long = (Recipe(shrink=0.5, quantize="int8", epochs=n) for n in (16, 64))
    made = [row(1, 0.01, 500, recipe=short.to_dict(), name=short.name)]
    assert name_among(short, []) == name_among(short, made) == "shrink 0.5 + int8"
    assert name_among(long, made) == "shrink 0.5 + int8, 64 epochs"
    assert name_among(Recipe(quantize="int8"), made) == "int8"
