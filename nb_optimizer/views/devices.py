"""The devices of this machine as a table, and what would be picked of them."""

from __future__ import annotations

from html import escape

from nb_optimizer.core.devices.choice import PLAIN, Choice
from nb_optimizer.core.devices.inventory import Inventory
from nb_optimizer.core.devices.wish import Wish

_COLUMNS = ("device", "what it is", "used")


class DeviceTable:
    """What there is (``inventory``), and what ``--devices`` picks of it (``choice``)."""

    def __init__(self, inventory: Inventory, wish: Wish, choice: Choice) -> None:
        self.inventory, self.wish, self.choice = inventory, wish, choice

    @property
    def rows(self) -> list[tuple[str, str, str]]:
        """One row for each device: its name, what it is, whether it is used."""
        there, used = self.inventory, set(self.choice.devices)
        cpus = max(there.logical_cpus, sum(d.startswith("CPU") for d in used))
        named = [("CPU", f"processor, {there.cores} cores"), *_divided(cpus)]
        named += [(f"GPU:{i}", text) for i, text in enumerate(there.gpus)]
        named += [(f"TPU:{i}", "TPU") for i in range(there.tpus)]
        plain = "GPU:0" if there.gpus else "CPU"
        used = used or {plain}
        return [(name, text, "yes" if name in used else "") for name, text in named]

    @property
    def verdict(self) -> str:
        """What would be picked, and why, in one sentence."""
        picked = "no strategy" if self.choice.strategy == PLAIN else self.choice.strategy
        if self.choice.devices:
            picked += f" on {', '.join(self.choice.devices)}"
        return f"--devices {self.wish}: {picked} ({self.choice.why})"

    def __repr__(self) -> str:
        """Return the table as text."""
        table = [_COLUMNS, *self.rows]
        widths = [max(len(row[i]) for row in table) for i in range(len(_COLUMNS))]
        lines = ["  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)) for r in table]
        return "\n".join([*(line.rstrip() for line in lines), self.verdict])

    def _repr_html_(self) -> str:
        head = "".join(f"<th style='text-align:left'>{name}</th>" for name in _COLUMNS)
        cells = ("".join(f"<td>{escape(c)}</td>" for c in row) for row in self.rows)
        body = "".join(f"<tr>{row}</tr>" for row in cells)
        return f"<table><tr>{head}</tr>{body}</table><p>{escape(self.verdict)}</p>"


def _divided(count: int) -> list[tuple[str, str]]:
    return [(f"CPU:{i}", "a part of the processor") for i in range(count)] if count > 1 else []
