"""A run as a static piece of HTML that reads the same wherever a notebook is shown.

It holds no script, no style sheet and no inline SVG, so no sanitizer takes anything from it.
Text inherits its colour, borders are half transparent: light and dark themes both work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from nb_optimizer.core.events import EpochEnd
from nb_optimizer.core.record import RUNNING, RunRecord
from nb_optimizer.views import svg, text, words
from nb_optimizer.views.html_parts import BORDER, box, grid, image, line, safe, status_word
from nb_optimizer.views.svg import Curve

Drawing = Callable[[int], str]  # the most points of a curve -> an image

MAX_BYTES = 11_000
CHARTS = 4
METRICS = 12
COMPARED = 6
# Charts and points to try, in this order, until the page is small enough.
_TRIES = (*((5, n) for n in (120, 104, 90, 78, 68, 58, 50, 42)), (4, 42), (4, 26), (2, 26), (1, 26))
_MARKS = 24


def page(record: RunRecord) -> str:
    """Return a run as HTML of at most about 12 KB, however long it is."""
    top = _heading(record) + _progress(record)
    parts = (_table, _facts, _trouble, _steering, _footer)
    rest = "".join(part(record) for part in parts)
    draw, whole = _charts(record), ""
    for amount, points in _TRIES:
        pictures = " ".join(drawing(points) for drawing in draw[:amount])
        whole = box(top + line(pictures) + _undrawn(record, amount) + rest)
        if len(whole.encode()) <= MAX_BYTES:
            break
    return whole


def runs_table(rows: Iterable[tuple[str, RunRecord]]) -> str:
    """Return the list of runs as an HTML table."""
    body = [_run_cells(run, record) for run, record in rows]
    return box(grid(text.RUN_COLUMNS, body) if body else "no runs yet")


def _run_cells(run: str, record: RunRecord) -> list[str]:
    cells = [safe(cell) for cell in text.run_row(run, record)]
    cells[text.RUN_COLUMNS.index("status")] = status_word(record)
    return cells


def comparison(records: Sequence[RunRecord]) -> str:
    """Return up to six runs over each other: the monitored metric and a table."""
    shown = records[:COMPARED]
    if not shown:
        return box("no runs to compare")
    metric = shown[0].begin.monitor or "loss"
    runs = [(r, f"run{i}") for i, r in enumerate(shown, 1)]
    curves = [Curve(r.begin.run, _points(r, metric), style) for r, style in runs]
    picture = svg.chart(metric, curves, points=svg.MAX_POINTS // 2, width=640)
    more = len(records) - len(shown)
    hidden = f"<div>{words.many(more, 'more run')} not shown</div>" if more > 0 else ""
    spoken = f"{metric} by epoch of {len(shown)} runs"
    return box(image(picture, spoken, 640) + _compared(shown) + hidden)


def _compared(records: Sequence[RunRecord]) -> str:
    head = ("run", "name", "status", "epochs", "best", "learning rate", "duration")
    rows = [_run_cells(record.begin.run, record) for record in records]
    for cells, record in zip(rows, records, strict=True):
        cells[5] = words.number(record.learning_rate)
    return grid(head, rows)


# ---- the parts of a page


def _heading(record: RunRecord) -> str:
    model = safe(words.model(record))
    about = f' <span style="opacity:.75">{model}</span>' if model else ""
    sentence = f"{status_word(record)} {safe(words.status_rest(record), 400)}"
    return line(f"<b>{safe(words.title(record))}</b>{about}") + line(sentence)


def _progress(record: RunRecord) -> str:
    if record.status != RUNNING or record.progress is None:
        return ""
    now, steps = record.progress, record.begin.steps or 0
    inside = min(1.0, now.step / steps) if steps else 0.0
    share = (now.epoch - 1 + inside) / max(1, record.planned_epochs)
    percent = round(100 * min(1.0, max(0.0, share)))
    bar = f'<div style="width:{percent}%;height:8px;background:#3b82f6"></div>'
    frame = f"width:380px;max-width:100%;border:{BORDER};margin:4px 0"
    return f'<div style="{frame}" title="{percent}% done">{bar}</div>'


def _points(record: RunRecord, name: str) -> list[svg.Point]:
    return [(e.epoch, e.values[name]) for e in record.epochs if name in e.values]


def _charts(record: RunRecord) -> list[Drawing]:
    drawings = [_chart(record, name) for name in record.metrics()[:CHARTS]]
    if record.status == RUNNING and record.progress and len(record.batch_losses) > 1:
        drawings.append(partial(_inside, record.batch_losses, record.progress.epoch))
    return drawings


def _inside(losses: list[svg.Point], epoch: int, points: int) -> str:
    picture = svg.batch_chart(losses, epoch, points=points)
    return image(picture, f"loss of each batch of epoch {epoch}", 380)


def _undrawn(record: RunRecord, drawn: int) -> str:
    hidden = len(record.metrics()) - min(CHARTS, drawn)
    return line(f"{words.many(hidden, 'more metric')} not drawn") if hidden > 0 else ""


def _chart(record: RunRecord, name: str) -> Drawing:
    train, validation = _points(record, name), _points(record, f"val_{name}")
    checked = f"val_{name}" if validation else name
    curves = [*_ghost(record, checked), _curve("training", train)]
    if validation:
        curves.append(_curve("validation", validation, "validation"))
    top = record.best
    ring = next((p for p in validation or train if top and p[0] == top.epoch), None)
    marks = [_position(record, i.epoch, i.step) for i in record.interventions[-_MARKS:]]
    spoken = _spoken(record, name, checked)

    def draw(points: int) -> str:
        again = record.resumed_after[-_MARKS:]
        picture = svg.chart(name, curves, ring=ring, marks=marks, resumes=again, points=points)
        return image(picture, spoken, 380)

    return draw


def _curve(label: str, points: list[svg.Point], style: str = "training") -> Curve:
    # Thinned once here: the page is drawn again with fewer points until it is small enough.
    return Curve(label, svg.thin(points, 2 * svg.MAX_POINTS), style)


def _ghost(record: RunRecord, name: str) -> list[Curve]:
    if record.ghost is None or not record.epochs:
        return []
    # A much longer earlier run must not press this one into a corner.
    end = max(record.epochs[-1].epoch, record.planned_epochs)
    seen = [p for p in _points(record.ghost, name) if p[0] <= end]
    return [_curve(record.ghost.begin.run, seen, "previous")] if seen else []


def _position(record: RunRecord, epoch: int, step: int) -> float:
    steps = record.begin.steps or 0
    return epoch - 1 + (min(1.0, max(0, step - 1) / steps) if steps else 0.5)


def _spoken(record: RunRecord, name: str, checked: str) -> str:
    last = record.epochs[-1]
    told = [f"{n} {words.number(last.values.get(n))}" for n in dict.fromkeys((name, checked))]
    return f"{name} by epoch; epoch {last.epoch}: {', '.join(told)}"


def _table(record: RunRecord) -> str:
    names = record.metrics()[:METRICS]
    if not names:
        return ""
    picked = _picked(record)
    validated = any(f"val_{n}" in record.history for n in names)
    kinds = ("", "val_") if validated else ("",)
    head = ["metric"]
    for title, _ in picked:
        head += [f"{'validation' if k else 'training'}, {title}" for k in kinds]
    rows = [
        [safe(n, 40), *(words.number(e.values.get(k + n)) for _, e in picked for k in kinds)]
        for n in names
    ]
    hidden = len(record.metrics()) - METRICS
    more = line(f"{words.many(hidden, 'more metric')} in run.history") if hidden > 0 else ""
    return grid(head, rows) + more


def _picked(record: RunRecord) -> list[tuple[str, EpochEnd]]:
    last, top = record.epochs[-1], record.best
    if top and top.epoch == last.epoch:
        return [(f"epoch {last.epoch} (last, best)", last)]
    best = [(f"epoch {e.epoch} (best)", e) for e in record.epochs if top and e.epoch == top.epoch]
    return [(f"epoch {last.epoch} (last)", last), *best]


def _facts(record: RunRecord) -> str:
    now = record.progress
    rate, full = record.learning_rate, [e for e in record.epochs if e.steps and e.seconds]
    facts = [f"learning rate {words.number(rate)}" if rate is not None else ""]
    facts.append(f"{words.duration(record.seconds)} so far" if record.status == RUNNING else "")
    if record.status != RUNNING:
        facts.append(f"took {words.duration(record.seconds)}")
    if now and now.batches_per_second:
        facts.append(words.speed(now.batches_per_second))
    elif full:
        facts.append(words.speed(full[-1].steps / full[-1].seconds))
    facts.append(f"memory {words.memory(now.memory_mb)}" if now and now.memory_mb else "")
    return _best(record) + line(safe(" \u00b7 ".join(f for f in facts if f)))


def _best(record: RunRecord) -> str:
    meter = safe(words.meter(record))
    ring = '<b style="color:#b05cc8">\u25cb</b>'
    best = f"{ring} best: {safe(words.best(record))}" if record.best else ""
    if record.stopping:
        return line(best) + line(f"early stopping: {meter}")
    return line(" \u00b7 ".join(p for p in (best, meter) if p))


def _trouble(record: RunRecord) -> str:
    parts = []
    if record.non_finite:
        sign = '<b style="color:#e5484d">\u2716</b>'
        parts.append(f"{sign} {safe(words.non_finite(record.non_finite))}")
        causes = record.non_finite.causes[: text.SHOWN]
        parts += [f"\u2022 likely cause: {safe(c, 160)}" for c in causes]
    signs = {"warning": '<b style="color:#d9730d">\u26a0</b>'}
    hidden = len(record.notes) - text.SHOWN
    parts += [f"{words.many(hidden, 'earlier note')}, see {words.see_again(record)}"] * (hidden > 0)
    for note in record.notes[-text.SHOWN :]:
        parts.append(f"{signs.get(note.level, chr(0x2022))} {safe(words.note(note))}")
    return "".join(line(p) for p in parts)


def _steering(record: RunRecord) -> str:
    hidden = len(record.interventions) - text.SHOWN
    told = [f"and {hidden} earlier"] if hidden > 0 else []
    told += [words.intervention(i) for i in record.interventions[-text.SHOWN :]]
    told += [words.resumed(epoch) for epoch in record.resumed_after[-3:]]
    mark = '<b style="color:#b05cc8">|</b>'
    return "".join(line(f"{mark} {safe(sentence)}") for sentence in told)


def _footer(record: RunRecord) -> str:
    again = f"see it again: {safe(words.see_again(record))}"
    ghost = record.ghost.begin.run if record.ghost else ""
    before = f" \u00b7 dotted: the previous run, {safe(ghost, 60)}" if ghost else ""
    return f'<div style="opacity:.75">{again}{before}</div>'
