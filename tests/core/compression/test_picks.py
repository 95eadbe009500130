"""Which of the measured rows are the picks."""

from __future__ import annotations

from nb_optimizer.core.compression import picks
from nb_optimizer.core.compression.plan import CompressPlan
from nb_optimizer.core.compression.row import Row


def row(number, drop, size, **more):
    return Row(number, drop=drop, bytes=size, gzip_bytes=size, latency_ms=1.0, **more)


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
