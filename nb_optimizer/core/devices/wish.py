"""The text of ``--devices``: read and checked without looking at any device."""

from __future__ import annotations

import re
from dataclasses import dataclass

from nb_optimizer.core.errors import UserError, nearest

AUTO, NONE, COUNT, CPU, GPU, TPU = "auto", "none", "count", "cpu", "gpu", "tpu"
FORMS = "auto, none, a number, cpu:N, gpu, gpu:0,1 or tpu"
MOST_CPUS = 64  # logical devices of one processor; more is a typing error
_SHAPE = re.compile(r"(?:(auto|none|tpu)|(\d+)|(cpu):(\d+)|(gpu)(?::(\d+(?:,\d+)*))?)")


@dataclass(frozen=True)
class Wish:
    """What was asked for: ``kind`` is one of the words above, the rest depends on it."""

    kind: str
    count: int = 0  # for ``count`` and ``cpu``
    indices: tuple[int, ...] = ()  # for ``gpu``; empty means all

    def __str__(self) -> str:
        """Return the text that asks for this."""
        if self.kind == COUNT:
            return str(self.count)
        if self.kind == CPU:
            return f"cpu:{self.count}"
        return self.kind + (":" + ",".join(map(str, self.indices)) if self.indices else "")


def read(text: str) -> Wish:
    """Read the value of ``--devices``.

    Raises:
        UserError: it has none of the known forms.
    """
    found = _SHAPE.fullmatch(text.strip().lower())
    if found is None:
        guess = nearest(text, ("auto", "none", "gpu", "tpu", "cpu:2"))
        message = f"--devices takes {FORMS}, got {text[:40]!r}.{guess}"
        raise UserError(message)
    word, number, cpu, cpus, gpu, gpus = found.groups()
    if word:
        return Wish(word)
    if gpu:
        indices = tuple(int(i) for i in gpus.split(",")) if gpus else ()
        if len(set(indices)) != len(indices):
            message = f"--devices {text} names a GPU twice."
            raise UserError(message)
        return Wish(GPU, indices=indices)
    count = int(number or cpus)
    if not 1 <= count <= (MOST_CPUS if cpu else 10_000):
        right = f"1 to {MOST_CPUS} logical CPUs, as in cpu:2" if cpu else "at least 1 device"
        message = f"--devices takes {right}, got {text!r}."
        raise UserError(message)
    return Wish(CPU if cpu else COUNT, count)


def fault(text: str) -> str:
    """Return what is wrong with a value of ``--devices``, or an empty string."""
    try:
        read(text)
    except UserError as error:
        return str(error).rstrip(".")
    return ""
