"""A search as a static piece of HTML, free of scripts, that reads the same everywhere."""

from __future__ import annotations

from nb_optimizer.core.record import RUNNING
from nb_optimizer.core.tuning.record import SearchRecord, Trial
from nb_optimizer.views import search_svg as pictures
from nb_optimizer.views import search_words as sw
from nb_optimizer.views import text, words
from nb_optimizer.views.html_parts import box, grid, image, line, safe, status_word

_ROWS = 10


def page(record: SearchRecord, *, with_table: bool = True) -> str:
    """Return a search as HTML of at most about 40 KB, however many trials it had."""
    parts = [_heading, _progress, _charts, _parallel, _table, _importance, _workers, _trouble]
    if not with_table:
        parts.remove(_table)
    return box("".join(part(record) for part in parts) + _footer(record))


def _heading(record: SearchRecord) -> str:
    run = record.as_run()
    about = f'<span style="opacity:.75">{safe(sw.about(record))}</span>'
    sentence = safe(sw.status(record).partition(", ")[2], 400)
    best = line(f'<b style="color:#d9730d">\u25cb</b> best: <b>{safe(sw.best(record), 300)}</b>')
    return (
        line(f"<b>{safe(sw.title(record))}</b> {about}")
        + line(f"{status_word(run)} {sentence}")
        + (best if record.best else "")
    )


def _progress(record: SearchRecord) -> str:
    if record.status != RUNNING or not record.planned_trials:
        return ""
    over = sum(t.is_over for t in record.trials)
    percent = min(100, round(100 * over / record.planned_trials))
    bar = f'<div style="width:{percent}%;height:8px;background:#3b82f6"></div>'
    frame = "width:380px;max-width:100%;border:1px solid rgba(128,128,128,.4);margin:4px 0"
    return f'<div style="{frame}" title="{percent}% of the trials are over">{bar}</div>'


def _charts(record: SearchRecord) -> str:
    if not record.progress:
        return ""
    top = words.number(record.best.score) if record.best else "-"
    spoken = f"best {record.on} so far by epochs of all trials: {top}"
    drawn = image(pictures.progress(record), spoken, 380)
    if any(t.logs for t in record.trials):
        told = f"{record.on} by epoch of {words.many(len(record.trials), 'trial')}"
        drawn += " " + image(pictures.curves(record), told, 380)
    return line(drawn)


def _parallel(record: SearchRecord) -> str:
    picture = pictures.parallel(record)
    return line(image(picture, "values of the trials, best ones strongest", 640)) if picture else ""


def _table(record: SearchRecord) -> str:
    ranked = record.ranked()
    if not ranked:
        return ""
    names = list(dict.fromkeys(r.name for r in record.space.ranges))[:10]
    head = ["trial", record.on or "score", "epochs", "status", *names, "why it ended"]
    rows = [_row(t, names) for t in ranked[:_ROWS]]
    more = len(record.trials) - len(rows)
    tail = line(f"{words.many(more, 'more trial')} in search.trials") if more > 0 else ""
    return grid(head, rows) + tail


def _row(trial: Trial, names: list[str]) -> list[str]:
    score, status = words.number(trial.score), sw.trial_word(trial)
    cells = [str(trial.number), score, sw.epochs(trial), status]
    cells += [sw.value(trial.values[n]) if n in trial.values else "" for n in names]
    return [safe(c, 40) for c in cells] + [safe(trial.reason, 90)]


def _importance(record: SearchRecord) -> str:
    rows = sw.importance(record)[: text.SHOWN]
    if not rows or record.importance is None:
        return ""
    cells = [[safe(n, 40), _bar(s), f"{s:.0%} \u00b1 {e:.0%}"] for n, s, e in rows]
    return grid((f"importance, from {record.importance.trials} trials", "", ""), cells)


def _bar(share: float) -> str:
    width = max(1, round(120 * share))
    return f'<div style="width:{width}px;height:8px;background:#3b82f6"></div>'


def _workers(record: SearchRecord) -> str:
    rows = []
    for number, worker in sorted(record.workers.items()):
        busy = next((t for t in record.trials if t.worker == number and t.status == RUNNING), None)
        does = f"trial {busy.number}, epoch {sw.epochs(busy)}" if busy else worker.state
        memory = words.memory(busy.memory_mb) if busy and busy.memory_mb else ""
        rows.append([str(number), safe(worker.device, 60), safe(does, 80), memory])
    return grid(("worker", "on", "does", "memory"), rows) if rows else ""


def _trouble(record: SearchRecord) -> str:
    failed = record.of_status("failed")
    sign = '<b style="color:#e5484d">\u2716</b>'
    parts = [
        f"{sign} trial {t.number} ({safe(sw.values(t), 80)}): {safe(t.reason, 200)}"
        for t in failed[: text.SHOWN]
    ]
    if len(failed) > text.SHOWN:
        parts.append(f"and {words.many(len(failed) - text.SHOWN, 'more failed trial')}")
    parts += [safe(words.note(n)) for n in record.notes[-text.SHOWN :]]
    return "".join(line(p) for p in parts)


def _footer(record: SearchRecord) -> str:
    again = f"see it again: {safe(sw.see_again(record))} \u00b7 {words.duration(record.seconds)}"
    dotted = "dotted: what random search is expected to have, from the trials drawn at random"
    shown = f" \u00b7 {dotted}" if pictures.expected_of_random(record) else ""
    return f'<div style="opacity:.75">{again}{shown}</div>'
