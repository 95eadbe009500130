"""What the live panel sends stays small, however long the run."""

from __future__ import annotations

import time

from panel_bench import BEGIN, Bench, Wire, epoch_end, progress

from nb_optimizer.core import events as ev
from nb_optimizer.core.record import RunRecord

KILOBYTES = 1024
PUSH_BYTES = 64 * KILOBYTES


def test_a_very_long_run_stays_small(wire: Wire, record_property):
    bench = Bench()
    bench.record.ghost = RunRecord.of([BEGIN, *(epoch_end(n, metrics=6) for n in range(1, 3000))])
    epochs, batches, spent, pushes = 10_000, 10, 0.0, 0
    bench.emit(BEGIN)
    wire.sizes.clear()
    for epoch in range(1, epochs + 1):
        for batch in range(1, batches + 1):
            bench.record.apply(progress(epoch, batch * 10, batches_per_second=90.0))
        event = epoch_end(epoch, metrics=6)
        bench.record.apply(event)
        if epoch % 100 == 0:
            bench.record.apply(ev.Intervention(1.0, "learning_rate", epoch, 3, 0.1))
            bench.record.apply(ev.Note(1.0, "x" * 5000))
        bench.clock.now += 0.01  # forty epochs between two pushes
        before, began = len(wire.sizes), time.process_time()
        bench.view.show(event, bench.record)
        if len(wire.sizes) > before:
            pushes += 1
            spent += time.process_time() - began
    bench.view.close(bench.record)
    # 100 s of the fake clock: one push every 0.4 s, and each writes the board once.
    assert 240 <= pushes <= 252
    assert max(wire.sizes) < PUSH_BYTES
    record_property("milliseconds per push", 1000 * spent / pushes)
    record_property("bytes per message, at most", max(wire.sizes))


def test_an_event_between_two_pushes_sends_nothing(bench: Bench, wire: Wire):
    bench.emit(BEGIN)
    bench.clock.now += 1
    bench.emit(progress(1, 1))
    sent = len(wire.sizes)
    for step in range(2, 1000):
        bench.emit(progress(1, step))
        bench.view.pump()
    assert len(wire.sizes) == sent
