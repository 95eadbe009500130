"""``%devices``: what TensorFlow can use here, and what ``%%train`` would pick."""

from __future__ import annotations

from typing import Any

from nb_optimizer.core.devices import wish
from nb_optimizer.core.errors import UserError
from nb_optimizer.magics.arguments import OUT, read
from nb_optimizer.magics.settings import NbOptimizer

EXAMPLES = ("auto", "none", "2", "cpu:2", "gpu", "gpu:0,1", "tpu")

HELP = f"""Show the devices that TensorFlow can use here, and what would be picked.

  %devices           the devices, and what --devices auto would pick
  %devices gpu:0,1   what --devices gpu:0,1 would pick

A wish is {wish.FORMS}. Looking takes no device into use.

Options:
  --out NAME  bind the table to NAME; also -o NAME
"""


def run(shell: Any, settings: NbOptimizer, line: str) -> Any:  # noqa: ARG001 - one signature
    """Run the magic and return the table."""
    words = line.split()
    at = next((i for i, w in enumerate(words) if w.startswith("-")), len(words))
    out = read(" ".join(words[at:]), {OUT.flag: OUT}, shell.user_ns).get("out", "")
    if at > 1:
        message = f"%devices takes one wish, as in %devices cpu:2; got {' '.join(words[:at])}."
        raise UserError(message)
    wished = wish.read(words[0]) if at else wish.Wish(wish.AUTO)
    from nb_optimizer.core.devices.choice import choose  # noqa: PLC0415 - only when asked
    from nb_optimizer.core.devices.inventory import look  # noqa: PLC0415 - loads TensorFlow
    from nb_optimizer.views.devices import DeviceTable  # noqa: PLC0415

    there = look()
    table = DeviceTable(there, wished, choose(wished, there))
    if out:
        shell.user_ns[out] = table
    return table
