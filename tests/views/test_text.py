"""Plain text, to the letter."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from nb_optimizer.core import events as ev
from nb_optimizer.core.record import RunRecord
from nb_optimizer.core.training.control import Control
from nb_optimizer.views import text, words

BEGIN = ev.RunBegin(
    1000.0, "train-3", "dense", model="sequential", parameters=12345, epochs=50, steps=100,
    validates=True, monitor="val_loss",
)  # fmt: skip


def epoch(n: int, loss: float = 0.35, **more: object) -> ev.EpochEnd:
    values = {"loss": 0.3123, "accuracy": 0.89, "val_loss": loss, "val_accuracy": 0.87}
    return ev.EpochEnd(1000.0 + 2.1 * n, n, values, 0.001, 100, 2.1, **more)  # type: ignore[arg-type]


def told(*stream: ev.Event) -> str | None:
    return text.line(stream[-1], RunRecord.of(stream))


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def watch(
    planned: int, done: int, seconds: float, end: str = "completed"
) -> tuple[list[str], RunRecord]:
    lines: list[str] = []
    clock, record = Clock(), RunRecord()
    view = text.TextView(record, Control(), lines.append, clock)
    stream = [replace(BEGIN, epochs=planned), *(epoch(n) for n in range(1, done + 1))]
    for event in [*stream, ev.RunEnd(5000.0, end)]:
        clock.now += seconds
        record.apply(event)
        view.show(event, record)
    view.close(record)
    return [x for x in lines if x.startswith("epoch ") and "/" in x], record


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.31234, "0.3123"),
        (0.89, "0.89"),
        (1.2e-5, "1.2e-05"),
        (0.0001, "0.0001"),
        (12345.6, "12,346"),
        (0.0, "0"),
        (-2.5, "-2.5"),
        (1e12, "1e+12"),
        (math.nan, "NaN"),
        (-math.inf, "-inf"),
        (None, "-"),
    ],
)
def test_number(value: float | None, shown: str) -> None:
    assert words.number(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 s"),
        (0.25, "250 ms"),
        (0.9996, "1.0 s"),
        (2.13, "2.1 s"),
        (9.97, "10 s"),
        (59.7, "1 min 00 s"),
        (190, "3 min 10 s"),
        (7500, "2 h 05 min"),
        (90_000, "1 d 01 h"),
        (math.inf, "unknown time"),
    ],
)
def test_duration(seconds: float, shown: str) -> None:
    assert words.duration(seconds) == shown


def test_speed_and_memory() -> None:
    assert words.speed(1234.4) == "1,234 batches/s"
    assert words.speed(0.214) == "0.21 batches/s"
    assert words.memory(45.2) == "45 MB"
    assert words.memory(1234) == "1.2 GB"


def test_first_line() -> None:
    wanted = 'train-3 "dense": sequential, 12,345 parameters, 50 epochs of 100 batches'
    assert told(BEGIN) == wanted


def test_epoch_line_with_everything() -> None:
    now = ev.Progress(1015.0, 7, 100, batches_per_second=50.0)
    assert told(BEGIN, now, epoch(7)) == (
        "epoch  7/50  loss 0.3123  accuracy 0.89  val_loss 0.35  val_accuracy 0.87"
        "  lr 0.001  2.1 s  best  ETA 1 min 26 s"
    )


def test_epoch_line_cut_short() -> None:
    cut = ev.EpochEnd(1.0, 8, {"loss": 0.5}, None, 3, 0.4, partial=True)
    assert told(BEGIN, cut) == "epoch  8/50  cut short  loss 0.5  400 ms"


@pytest.mark.parametrize(
    ("event", "shown"),
    [
        (ev.Note(1.0, "two\nlines", "warning"), "warning: two lines"),
        (
            ev.NonFinite(1.0, 3, 12, 18, math.nan, ["rate too high"]),
            (
                "loss became NaN (not a number) in epoch 3, batches 12 to 18; "
                "likely causes: rate too high"
            ),
        ),
        (
            ev.Intervention(1.0, "learning_rate", 4, 12, 3e-4),
            "learning rate set to 0.0003 at epoch 4, batch 12",
        ),
        (
            ev.Intervention(1.0, "stop", 4, 0, origin="interrupt"),
            "stopped by the interrupt button at epoch 4",
        ),
        (ev.Resumed(1.0, 4, 60), "resumed after epoch 4, up to epoch 60"),
        (ev.Progress(1.0, 1, 3), None),
        (ev.Checkpoint(1.0, 1, "f"), None),
        (ev.RunEnd(1.0, "stopped", "by hand"), "stopped after 0 of 50 epochs: by hand"),
    ],
)
def test_other_lines(event: ev.Event, shown: str | None) -> None:
    assert told(BEGIN, event) == shown


def test_early_stopping_sentences() -> None:
    state = {"monitor": "val_loss", "patience": 5, "wait": 5, "best": 0.1234, "min_delta": 0.001,
             "direction": "min", "first_epoch": 0}  # fmt: skip
    record = RunRecord.of([BEGIN, epoch(1, stopping=state), ev.RunEnd(9.0, "early_stopped")])
    assert words.status(record) == (
        "early stopped after 1 of 50 epochs: val_loss has not improved for 5 epochs"
    )
    assert words.meter(record) == (
        "patience 5 of 5 used, best 0.1234 (val_loss), improvement means a drop of more than 0.001"
    )


def test_interrupted_says_how_to_go_on() -> None:
    record = RunRecord.of([BEGIN, epoch(1)])
    record.status = "interrupted"
    wanted = "interrupted after 1 of 50 epochs: its process is gone; resume with --resume"
    assert words.status(record) == wanted


def test_meter_without_early_stopping() -> None:
    record = RunRecord.of([BEGIN, epoch(1, 0.2), *(epoch(n) for n in (2, 3, 4))])
    assert words.meter(record) == "no improvement for 3 epochs"


def test_summary() -> None:
    stream = [replace(BEGIN, epochs=2), epoch(1, 0.5), epoch(2, 0.4)]
    stream.append(ev.RunEnd(1005.0, "completed", seconds=5.0, restored_epoch=2))
    assert text.summary(RunRecord.of(stream)).splitlines() == [
        'train-3 "dense": completed 2 epochs; the weights are those of epoch 2',
        "best val_loss 0.4 in epoch 2, sequential, 12,345 parameters, 5.0 s in all",
        "epoch    loss  val_loss  accuracy  val_accuracy     lr   time",
        "    1  0.3123       0.5      0.89          0.87  0.001  2.1 s",
        "    2  0.3123       0.4      0.89          0.87  0.001  2.1 s  best",
        "see it again: %runs show train-3",
    ]


def test_summary_of_a_long_run_shows_first_last_and_best() -> None:
    stream = [BEGIN, *(epoch(n, abs(n - 777) + 1.0) for n in range(1, 10_001))]
    record = RunRecord.of(stream)
    shown = [e.epoch for e in text.chosen(record)]
    assert len(shown) <= 12
    assert {1, 777, 10_000} <= set(shown)
    assert len(text.summary(record)) < 2500


def test_table() -> None:
    rows = [("train-3", RunRecord.of([BEGIN, epoch(1)]))]
    head, row = text.table(rows).splitlines()
    assert head.split() == list(text.RUN_COLUMNS)
    assert row.startswith("train-3  dense  running    1/50  val_loss 0.35 in epoch 1  1970-01-01")
    assert text.table([]) == "no runs yet"


def test_short_runs_print_every_epoch() -> None:
    lines, _ = watch(planned=30, done=30, seconds=1.0)
    assert len(lines) == 30


@pytest.mark.parametrize("planned", [31, 200, 5000])
def test_long_runs_print_few_lines_and_the_last(planned: int) -> None:
    lines, _ = watch(planned, planned, seconds=1.0)
    assert 15 <= len(lines) <= 40
    assert lines[-1].startswith(f"epoch {planned}/{planned}")


def test_fast_epochs_are_skipped_but_not_the_last() -> None:
    lines, _ = watch(planned=20, done=17, seconds=0.01, end="stopped")
    assert [x.split("/")[0] for x in lines] == ["epoch  1", "epoch 17"]


def test_a_plan_that_keeps_growing_stays_bounded() -> None:
    lines: list[str] = []
    clock, record = Clock(), RunRecord()
    view = text.TextView(record, Control(), lines.append, clock)
    record.apply(replace(BEGIN, epochs=6))
    for n in range(1, 2001):
        clock.now += 1.0
        record.planned_epochs = n + 5
        record.apply(epoch(n))
        view.show(epoch(n), record)
    assert len(lines) <= 45


def test_messages_are_bounded_and_no_line_returns() -> None:
    lines: list[str] = []
    record = RunRecord.of([BEGIN])
    view = text.TextView(record, Control(), lines.append, Clock())
    for n in range(500):
        note = ev.Note(1.0, f"{n}\r\x1b[31m")
        record.apply(note)
        view.show(note, record)
    view.close(record)
    assert len(lines) <= text.MESSAGES + 2
    assert not any("\r" in x or "\x1b" in x for x in lines)
