"""Which rows may be recommended, and which are."""

from __future__ import annotations

from dataclasses import replace

from nb_optimizer.core.compression.plan import CompressPlan
from nb_optimizer.core.compression.row import FAILED, MEASURED, REJECTED, Row

_TIE = 1.03  # sizes within 3 % of each other are equal: the faster file wins
_TIMED = 1.35  # so far apart may two timings of one file be: then the more accurate one wins


def judged(row: Row, plan: CompressPlan, *, limits_loss: bool) -> Row:
    """Return the row as rejected, with the reason, where it may not be recommended."""
    exempt = row.status == FAILED or (row.number and row.is_reference)
    reason = "" if exempt else _fault(row, plan, limits_loss=limits_loss)
    return replace(row, status=REJECTED, reason=reason) if reason else row


def choose(rows: list[Row], plan: CompressPlan) -> dict[str, int]:
    """Return the picks: ``best`` and, as far as they differ, quality, balanced and compact.

    ``best`` is the smallest (or fastest) of the rows within the allowed loss; with a largest
    size, the most accurate of the files that fit.
    """
    made = [r for r in rows if r.status == MEASURED and not r.is_reference]
    if not made:
        return {}
    compact = _smallest(made, plan.target)
    gained = {r.number: r.drop for r in rows if r.is_reference}  # by fine-tuning alone
    quality = min(made, key=lambda r: (_whole(r, gained), r.cost(plan.target)))
    best = quality if plan.max_size and not plan.budget else compact
    balanced = min(made, key=lambda r: _distance(r, made, plan))
    return {
        "best": best.number,
        "quality": quality.number,
        "balanced": balanced.number,
        "compact": compact.number,
    }


def rivals(rows: list[Row], target: str) -> list[Row]:
    """Return the rows of which the next timing might make any the fastest, the fastest first."""
    made = [r for r in rows if r.status == MEASURED and not r.is_reference]
    least = min((r.cost(target) for r in made), default=0.0)
    near = [r for r in made if r.cost(target) <= least * _TIMED]
    return sorted(near, key=lambda r: r.cost(target))


def tuned(rows: list[Row]) -> list[Row]:
    """Return the rows of the float model that was fine-tuned, those of the most epochs last."""
    found = [r for r in rows if r.number and r.is_reference and r.file]
    return sorted(found, key=lambda r: r.passes)


def _whole(row: Row, gained: dict[int, float]) -> float:
    """Return the loss against the float model as it was handed in, whatever a row is held to."""
    return round(row.drop + gained.get(row.against, 0.0), 4)


def _smallest(made: list[Row], target: str) -> Row:
    least = min(r.cost(target) for r in made)
    equal = [r for r in made if r.cost(target) <= least * _TIE]
    fastest = min(r.latency_ms for r in equal)
    fast = [r for r in equal if r.latency_ms <= fastest * _TIMED]
    return min(fast, key=lambda r: (r.drop, r.cost(target)))


def _distance(row: Row, made: list[Row], plan: CompressPlan) -> float:
    """How far a row is from the smallest size and no loss at once, both on a scale of 1."""
    costs = [r.cost(plan.target) for r in made]
    width = (max(costs) - min(costs)) or 1.0
    size = (row.cost(plan.target) - min(costs)) / width
    loss = max(0.0, row.drop) / plan.allowed_loss
    return float((size**2 + loss**2) ** 0.5)


def _fault(row: Row, plan: CompressPlan, *, limits_loss: bool) -> str:
    faults = []
    if limits_loss and row.drop > plan.allowed_loss:
        faults.append(f"loses {row.drop:.2%}, allowed {plan.allowed_loss:.2%}")
    if plan.max_bytes is not None and row.bytes > plan.max_bytes:
        faults.append(f"{row.bytes:,} bytes, allowed {plan.max_bytes:,.0f}")
    if plan.target == "latency" and row.latency_ms > row.reference_ms:
        faults.append(f"slower than float: {row.latency_ms:.3g} ms against {row.reference_ms:.3g}")
    return "; ".join(faults)
