"""The words and numbers of a compression, for its text and its HTML alike."""

from __future__ import annotations

from collections import Counter
from typing import Any

from nb_optimizer.core.compression.plan import CompressPlan
from nb_optimizer.core.compression.result import CompressionResult
from nb_optimizer.core.compression.row import FAILED, MEASURED, REJECTED, Row
from nb_optimizer.core.record import RUNNING
from nb_optimizer.views import words

COLUMNS = (
    "model", "by", "file", "", "gzip", "", "score", "loss", "95 % interval", "agrees", "latency",
    "", "zeros", "float ops", "",
)  # fmt: skip
OF_A_LAYER = ("layer", "kind", "weights", "of all", "pruning and shared values")
AXES = {"size": "size of the file", "gzip": "size after gzip", "latency": "latency"}
_SIGNS = {MEASURED: "", REJECTED: "rejected", FAILED: "failed"}
_SPARSE = 0.3  # share of zeros from which on the file's own size needs a word


def state(result: CompressionResult) -> str:
    """Return how a compression stands or how it ended."""
    record = result.record
    done = words.many(max(0, len(result.rows) - 1), "candidate")
    if record.status == RUNNING:
        return f"running, {done} so far, {words.duration(record.seconds)}"
    told = f"{words.status_word(record)}, {done}, {words.duration(record.seconds)}"
    return f"{told}: {words.one_line(record.reason)}" if record.reason else told


def size(count: float) -> str:
    """Return bytes as people read them: ``845.7 KB`` (1 KB is 1,000 bytes)."""
    if count >= 1e6:  # noqa: PLR2004 - a megabyte
        return f"{count / 1e6:.2f} MB"
    return f"{count / 1e3:.1f} KB" if count >= 1e3 else f"{count:.0f} B"  # noqa: PLR2004


def latency(milliseconds: float) -> str:
    """Return a latency: ``14.2 µs``, ``1.32 ms``."""
    if milliseconds < 1:
        return f"{milliseconds * 1e3:.3g} µs"
    return f"{milliseconds:.3g} ms"


def loss(value: float, relative: bool) -> str:  # noqa: FBT001 - one of two units
    """Return a loss: in points of a share, or in per cent of the float model's error."""
    return f"{100 * value:+.2f} {unit(relative)}"


def unit(relative: bool) -> str:  # noqa: FBT001 - one of two units
    """Return the unit of a loss."""
    return "%" if relative else "pt"


def cells(row: Row, base: Row, result: CompressionResult) -> list[str]:
    """Return the cells of one row under ``COLUMNS``."""
    name = words.one_line(row.name, 60)
    if row.status == FAILED:
        return [name, row.engine or "-", *["-"] * (len(COLUMNS) - 3), _SIGNS[FAILED]]
    unit = is_relative(result)
    first = row.number == 0
    interval = f"{100 * row.drop_low:+.2f} .. {100 * row.drop_high:+.2f}"
    return [
        name,
        row.engine,
        size(row.bytes),
        times(base.bytes, row.bytes) if not first else "",
        size(row.gzip_bytes),
        times(base.gzip_bytes, row.gzip_bytes) if not first else "",
        words.number(row.score),
        "" if first else loss(row.drop, unit),
        "" if first else interval,
        "" if first else f"{row.agreement:.1%}",
        f"{latency(row.latency_ms)} (p90 {latency(row.latency_p90_ms)})",
        f"{row.speedup:.2f}x" if row.speedup and not first else "",
        f"{row.sparsity:.0%}",
        str(sum(row.float_operations.values()) or "none"),
        verdict(row, result),
    ]


def layer(row: dict[str, Any]) -> list[str]:
    """Return one kernel of the model as cells of the table of layers."""
    left = row["left_alone"]
    done = (
        f"left alone: {words.one_line(left, 80)}" if left else "can be pruned, can take few values"
    )
    name, kind = words.one_line(row["layer"], 60), words.one_line(row["kind"], 40)
    return [name, kind, words.count(row["weights"]), f"{row['share']:.1%}", done]


def line(row: Row) -> str:
    """Return one line for a row that has just been measured."""
    if row.status == FAILED:
        return f"{row.name}: failed, {reason(row)}"
    told = f"{row.name}: {size(row.bytes)}, gzip {size(row.gzip_bytes)}"
    lost = f", loss {100 * row.drop:+.2f}" if row.number else f", score {words.number(row.score)}"
    end = f", rejected: {reason(row)}" if row.status == REJECTED else ""
    again = ", confirmed on all held-out rows" if row.confirmed else ""
    return f"{told}{lost}, {latency(row.latency_ms)}{end}{again}"


def reason(row: Row) -> str:
    """Return why a row was refused, as one line."""
    return words.one_line(row.reason, 300)


def times(before: float, after: float) -> str:
    """Return how many times smaller: ``3.9x``."""
    return f"{before / after:.1f}x" if after else ""


def conditions(result: CompressionResult) -> list[str]:
    """Return on what the numbers were measured."""
    made = [r for r in result.rows if r.status != FAILED]
    if not made:
        return []
    one = made[-1]
    threads = words.many(one.threads, "thread")
    return [(
        f"{metric(result)} on {words.count(one.samples)} held-out rows, loss paired with the "
        f"float model on the same rows; latency of one row on {words.one_line(one.host, 60)}, "
        f"{threads}, {words.one_line(one.runtime, 40)}, by turns with the float file"
        + ("; * layer by layer, see .recipe" if any("*" in r.name for r in made) else "")
    ), *_like_with_like(result)]  # fmt: skip


def _like_with_like(result: CompressionResult) -> list[str]:
    """Say which models are compared with a fine-tuned float model."""
    rows = {r.number: r for r in result.rows}
    held = Counter(r.against for r in rows.values() if r.against in rows and r.against)
    return [
        (
            f"fine-tuning alone gave the float model {metric(result)} "
            f"{words.number(rows[number].score)} ({words.many(rows[number].passes, 'epoch')}); "
            "the loss of "
            f"{words.many(count, 'model')} that began with it is counted against that"
        )
        for number, count in held.items()
    ]


def meaning(result: CompressionResult) -> list[str]:
    """Return what the recommendation means, in plain words."""
    by_number = {r.number: r for r in result.rows}
    row = by_number.get(result.record.picks.get("best", -1))
    if row is None:
        if result.record.status == RUNNING or len(by_number) < 2:  # noqa: PLR2004 - float and one
            return []
        return [f"recommended: nothing; no candidate met {goal(result)}"]
    base = by_number[0]
    gains = [f"{size(row.bytes)}, {times(base.bytes, row.bytes)} smaller"]
    gains += [f"{times(base.gzip_bytes, row.gzip_bytes)} after gzip"]
    gains += [f"{row.speedup:.1f}x as fast as float"] if row.speedup else []
    told = [f"recommended: {row.name} ({', '.join(gains)})"]
    others = {n: k for n, k in result.record.picks.items() if n != "best"}
    if len(others) > 1 and set(others.values()) == {row.number}:
        told.append(f"also the {', '.join(others)} pick")
    else:
        told += [f"{name}: {by_number[number].name}" for name, number in others.items()]
    lines = ["; ".join(told)]
    if row.drop > allowed(result) and "max_size" not in result.record.begin.options:
        lines.append(
            f"careful: it loses {loss(row.drop, is_relative(result))}; more --epochs may win some "
            "of it back, and --budget 1% searches for what stays within it"
        )
    if row.sparsity > _SPARSE:
        lines.append(
            "zeros do not make the file itself smaller: ship it compressed "
            f"({size(row.gzip_bytes)} by gzip)"
        )
    return lines


def goal(result: CompressionResult) -> str:
    """Return what was asked for, in words."""
    options = result.record.begin.options
    parts = [f"a loss of at most {allowed(result):.2%}"] if "max_size" not in options else []
    if "max_size" in options:
        parts.append(f"a file of at most {words.one_line(options['max_size'], 20)}")
    return " and ".join(parts)


def allowed(result: CompressionResult) -> float:
    """Return the allowed loss, as a share."""
    return plan(result).allowed_loss


def plan(result: CompressionResult) -> CompressPlan:
    """Return the plan that the record tells of."""
    known: dict[str, Any] = {
        k: v
        for k, v in result.record.begin.options.items()
        if k in CompressPlan.__dataclass_fields__
    }
    return CompressPlan(**known)


def metric(result: CompressionResult) -> str:
    """Return the name of the metric."""
    return words.one_line(result.record.begin.monitor, 30)


def is_relative(result: CompressionResult) -> bool:
    """Whether losses are relative to the float model's error."""
    return result.record.begin.direction == "min"


def verdict(row: Row, result: CompressionResult) -> str:
    """Return what a row was picked as, or that it was refused."""
    picked = [n for n, number in result.record.picks.items() if number == row.number]
    known = [n for n in picked if n != "best"]
    told = (["best"] if "best" in picked else []) + known
    return ", ".join([*told, *([_SIGNS[row.status]] if _SIGNS[row.status] else [])])
