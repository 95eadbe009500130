"""The pieces that static pages are built of; all foreign text goes through ``safe``."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

from nb_optimizer.core.record import RUNNING, RunRecord
from nb_optimizer.views import words

BORDER = "1px solid rgba(128,128,128,.4)"
_SIGNS = {
    RUNNING: ("\u25b6", "#3b82f6"),
    "completed": ("\u2714", "#2e9e5b"),
    "early_stopped": ("\u2714", "#2e9e5b"),
    "stopped": ("\u25a0", "#d9730d"),
    "failed": ("\u2716", "#e5484d"),
    "interrupted": ("\u26a0", "#d9730d"),
}


def box(inner: str) -> str:
    """Return the frame of a page."""
    return f'<div style="font-family:sans-serif;font-size:13px;line-height:1.5">{inner}</div>'


def safe(value: object, limit: int = 240) -> str:
    """Return foreign text as one escaped line."""
    safe = escape(words.one_line(value, limit))
    if len(safe) <= limit + 60:
        return safe
    # Escaping can make a text six times as long; the page has to stay small all the same.
    return escape(words.one_line(value, max(8, limit * limit // len(safe))))


def line(inner: str) -> str:
    """Return a line of HTML, or nothing for nothing."""
    return f"<div>{inner}</div>" if inner else ""


def image(picture: str, spoken: str, width: int) -> str:
    """Return an SVG picture as an image with its text alternative."""
    data = base64.b64encode(picture.encode()).decode()
    style = "max-width:100%;margin:4px 12px 0 0"
    source = f"data:image/svg+xml;base64,{data}"
    return f'<img width="{width}" style="{style}" alt="{safe(spoken)}" src="{source}">'


def inline(picture: str, spoken: str, width: int) -> str:
    """Return an SVG picture as a part of the page, which can be clicked on."""
    style = f"display:inline-block;max-width:100%;width:{width}px;margin:4px 12px 0 0"
    return f'<span role="img" aria-label="{safe(spoken)}" style="{style}">{picture}</span>'


def grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Build a table of cells that are HTML already; ``head`` is plain text."""
    left = 'style="text-align:left"'
    top = "".join(f"<th {left}>{safe(h)}</th>" for h in head)
    body = "".join(
        "<tr>" + "".join(f"<td {left} nowrap>{c}</td>" for c in row) + "</tr>" for row in rows
    )
    style = f"font-size:13px;border-collapse:collapse;margin:6px 0;border:{BORDER}"
    return f'<table cellpadding="4" style="{style}"><tr>{top}</tr>{body}</table>'


def status_word(record: RunRecord) -> str:
    """Return a run's status as a coloured sign and a word."""
    sign, colour = _SIGNS.get(record.status, ("?", "#8a8a8a"))
    return f'<b style="color:{colour}">{sign} {safe(words.status_word(record))}</b>'
