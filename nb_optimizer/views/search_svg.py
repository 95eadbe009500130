"""Pictures of a search as SVG text: best so far, all learning curves, parallel coordinates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from nb_optimizer.core.tuning.record import PRUNED, SearchRecord, Trial
from nb_optimizer.core.tuning.space import Range
from nb_optimizer.views import search_words as sw
from nb_optimizer.views import words
from nb_optimizer.views.svg import MAX_POINTS, Curve, Point, chart, thin

CURVES = 60  # most learning curves in one picture: the best ones, and others at even distances
LINES = 80
_WIDTH, _HEIGHT, _TOP, _BOTTOM = 640, 220, 34, 30
_GREY, _BEST = "#777", "#d9730d"


def progress(record: SearchRecord, points: int = MAX_POINTS) -> str:
    """Return the best score by epochs of all trials, over what random search would have reached."""
    steps = _stairs(record.progress)
    curves = [Curve("random search, expected", expected_of_random(record), "previous")]
    curves = [c for c in curves if c.points] + [
        Curve("best so far", thin(steps, points), "training")
    ]
    return chart(f"best {record.on}", curves, x_label="epochs", points=points)


def expected_of_random(record: SearchRecord) -> list[Point]:
    """Return the score that random search would be expected to have after so many epochs.

    From the trials whose values were drawn at random: the mean best of k of them, each at the
    price of a whole training. Of a pruned one it is estimated what it would have reached, from
    how much the others gained after that epoch.
    """
    drawn = [t for t in record.trials if t.origin == "uniform" and t.score is not None]
    full = max((t.planned or t.epochs for t in record.trials), default=0)
    if len(drawn) < 3 or not full:  # noqa: PLR2004 - fewer say nothing
        return []
    sign = 1 if record.direction == "max" else -1
    ordered = sorted(sign * _final(record, t) for t in drawn)
    most = max(1, math.ceil(record.epochs_done / full))
    total = len(ordered)
    found = []
    for k in range(1, min(most, 60) + 1):
        # The chance that the best of k draws is the i-th of all, drawn with replacement.
        weights = [((i + 1) / total) ** k - (i / total) ** k for i in range(total)]
        mean = sum(w * v for w, v in zip(weights, ordered, strict=True))
        found.append((float(k * full), sign * mean))
    return found


def _final(record: SearchRecord, trial: Trial) -> float:
    """Return the score of a trial, or what it would have had at its end, had it gone on."""
    score, epoch = trial.score or 0.0, trial.epochs
    while trial.status == PRUNED and epoch and epoch < (trial.planned or 0):
        later = min(3 * epoch, trial.planned or 0)
        pairs = [(t.score_at(epoch), t.score_at(later)) for t in record.trials if t.epochs >= later]
        gains = [b - a for a, b in pairs if a is not None and b is not None]
        if not gains:
            break
        score, epoch = score + sum(gains) / len(gains), later
    # Who was among the worst is not lifted over the best.
    best = record.best.score if record.best and record.best.score is not None else score
    return score if record.better(best, score) else best


def curves(record: SearchRecord, points: int = 24) -> str:
    """Return the learning curves of all trials; pruned ones are pale, the best one stands out."""
    shown = _chosen(record)
    lines = [_curve(record, t, points) for t in shown if t is not record.best]
    found = [line for line in lines if line.points]
    if record.best is not None:
        best = _curve(record, record.best, MAX_POINTS // 2)
        found.append(Curve(f"trial {record.best.number}, best", best.points, "validation"))
    return chart(record.on or "metric", found, points=points)


def _curve(record: SearchRecord, trial: Trial, points: int) -> Curve:
    values = [(float(i), log[record.on]) for i, log in enumerate(trial.logs, 1) if record.on in log]
    return Curve("", thin(values, points), "pale" if trial.status == PRUNED else "plain")


def _chosen(record: SearchRecord) -> list[Trial]:
    trials = [t for t in record.trials if t.logs]
    if len(trials) <= CURVES:
        return trials
    top = record.ranked()[: CURVES // 2]
    others = [t for t in trials if t not in top]
    step = len(others) / (CURVES - len(top))
    spread = [others[int(i * step)] for i in range(CURVES - len(top))]
    return sorted([*top, *spread], key=lambda t: t.number)


def parallel(record: SearchRecord) -> str:
    """Return parallel coordinates: an axis for each range, a line for each trial with a score."""
    ranges = _axes(record)
    ranked = record.ranked()[:LINES]
    if not ranges or not ranked:
        return ""
    gap = (_WIDTH - 120) / max(1, len(ranges))
    xs = [60 + gap * i for i in range(len(ranges) + 1)]
    body = "".join(_axis(x, _ends(r), r.name) for x, r in zip(xs, ranges, strict=False))
    scores = [t.score or 0.0 for t in ranked]
    ends = (words.number(min(scores)), words.number(max(scores)))
    body += _axis(xs[-1], ends, record.on)
    for place, trial in reversed(list(enumerate(ranked))):
        body += _line(trial, place, len(ranked), ranges, xs, (min(scores), max(scores)))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'width="{_WIDTH}" height="{_HEIGHT}" font-family="sans-serif" font-size="11" '
        f'fill="{_GREY}">{body}</svg>'
    )


def _axes(record: SearchRecord) -> list[Range]:
    by_name = {r.name: r for r in record.space.ranges}
    weight = {name: share for name, share, _ in sw.importance(record)}
    ordered = sorted(by_name.values(), key=lambda r: weight.get(r.name, 0.0))
    return ordered[-8:]  # the most important ones, nearest to the score


def _ends(one: Range) -> tuple[str, str]:
    return sw.value(one.at(0.0)), sw.value(one.at(1.0))


def _axis(x: float, ends: tuple[str, str], name: str) -> str:
    low, high = (escape(words.one_line(e, 14)) for e in ends)
    return (
        f'<path d="M{x:.0f} {_TOP}V{_HEIGHT - _BOTTOM}" stroke="{_GREY}" stroke-opacity=".6"/>'
        f'<text x="{x:.0f}" y="12" text-anchor="middle">{escape(words.one_line(name, 18))}</text>'
        f'<text x="{x:.0f}" y="{_TOP - 6}" text-anchor="middle">{high}</text>'
        f'<text x="{x:.0f}" y="{_HEIGHT - _BOTTOM + 14}" text-anchor="middle">{low}</text>'
    )


def _line(  # noqa: PLR0913, PLR0917 - one line of one picture
    trial: Trial,
    place: int,
    count: int,
    ranges: Sequence[Range],
    xs: Sequence[float],
    scores: tuple[float, float],
) -> str:
    low, high = scores
    points = []
    for x, one in zip(xs, ranges, strict=False):
        if one.name in trial.values:
            points.append((x, one.share(trial.values[one.name])))
    share = ((trial.score or 0.0) - low) / (high - low) if high > low else 0.5
    points.append((xs[-1], share))
    height = _HEIGHT - _BOTTOM - _TOP
    path = "L".join(f"{x:.0f} {_HEIGHT - _BOTTOM - y * height:.0f}" for x, y in points)
    colour = _BEST if place == 0 else "#3b82f6"
    opacity = 1.0 if place == 0 else 0.75 - 0.6 * place / max(1, count)
    width = 2.5 if place == 0 else 1.2
    look = f'stroke="{colour}" stroke-opacity="{opacity:.2f}" stroke-width="{width}"'
    return f'<path d="M{path}" fill="none" {look}/>'


def _stairs(points: Sequence[tuple[int, float]]) -> list[Point]:
    found: list[Point] = []
    for x, y in points:
        if found and y != found[-1][1]:
            found.append((float(x), found[-1][1]))
        if not found or y != found[-1][1] or (x, y) == points[-1]:
            found.append((float(x), y))
    return found
