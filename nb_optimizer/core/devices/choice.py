"""Which devices a run uses, and why: a wish held against what is there."""

from __future__ import annotations

from dataclasses import dataclass

from nb_optimizer.core.devices.inventory import Inventory
from nb_optimizer.core.devices.wish import AUTO, COUNT, CPU, GPU, NONE, TPU, Wish
from nb_optimizer.core.errors import UserError

PLAIN, MIRRORED, ON_TPU = "none", "MirroredStrategy", "TPUStrategy"
_TRY_CPU = "To try data-parallel training on the processor: --devices cpu:2"


@dataclass(frozen=True)
class Choice:
    """The strategy and its devices, as TensorFlow names them; ``why`` is one sentence."""

    strategy: str
    devices: tuple[str, ...]
    why: str

    @property
    def replicas(self) -> int:
        """How many copies of the model are trained together (a TPU tells when it is opened)."""
        return max(1, len(self.devices))


def choose(wish: Wish, there: Inventory) -> Choice:
    """Pick the devices for a wish.

    Raises:
        UserError: the wish cannot be met here.
    """
    return _CHOOSE[wish.kind](wish, there)


def _auto(wish: Wish, there: Inventory) -> Choice:
    if there.tpus:
        return _tpu(wish, there)
    if len(there.gpus) > 1:
        return _mirrored("GPU", range(len(there.gpus)), f"{len(there.gpus)} GPUs are here")
    where = f"one GPU ({there.gpus[0]})" if there.gpus else "one processor and no GPU"
    return Choice(PLAIN, (), f"{where}: nothing to divide the work among")


def _none(wish: Wish, there: Inventory) -> Choice:  # noqa: ARG001
    return Choice(PLAIN, (), "no strategy was asked for")


def _count(wish: Wish, there: Inventory) -> Choice:
    if wish.count == 1:
        return Choice(PLAIN, (), "one device needs no strategy")
    if wish.count > len(there.gpus):
        seen = f"{len(there.gpus)} GPU{'s' * (len(there.gpus) > 1)}" if there.gpus else "no GPU"
        message = f"--devices {wish} asks for {wish.count} GPUs; TensorFlow sees {seen} here."
        message = f"{message} {_TRY_CPU}"
        raise UserError(message)
    return _mirrored("GPU", range(wish.count), f"{wish.count} of {len(there.gpus)} GPUs")


def _cpu(wish: Wish, there: Inventory) -> Choice:
    if wish.count == 1:
        return Choice(PLAIN, (), "one device needs no strategy")
    cores = f"{there.cores} core{'s' * (there.cores > 1)}"
    why = f"{wish.count} logical devices share {cores}: to try things out, not to be faster"
    if there.computes and there.logical_cpus < wish.count:
        why += "; in a process of its own, as TensorFlow already computes in this one"
    return _mirrored("CPU", range(wish.count), why)


def _gpu(wish: Wish, there: Inventory) -> Choice:
    if not there.gpus:
        message = f"--devices {wish}: TensorFlow sees no GPU here. {_TRY_CPU}"
        raise UserError(message)
    missing = [i for i in wish.indices if i >= len(there.gpus)]
    if missing:
        last = len(there.gpus) - 1
        message = f"--devices {wish}: there is no GPU {missing[0]}; the last one is gpu:{last}."
        raise UserError(message)
    indices = wish.indices or tuple(range(len(there.gpus)))
    if indices == (0,):
        return Choice(PLAIN, (), f"one GPU ({there.gpus[0]}), which computes without a strategy")
    return _mirrored("GPU", indices, f"{len(indices)} of {len(there.gpus)} GPUs")


def _tpu(wish: Wish, there: Inventory) -> Choice:  # noqa: ARG001
    if not there.tpus:
        message = (
            "--devices tpu: TensorFlow sees no TPU here. One can be had in Colab (Runtime, Change "
            "runtime type) or as a Cloud TPU VM, with the package tensorflow-tpu."
        )
        raise UserError(message)
    return Choice(ON_TPU, tuple(f"TPU:{i}" for i in range(there.tpus)), "a TPU is here")


def _mirrored(kind: str, indices: range | tuple[int, ...], why: str) -> Choice:
    return Choice(MIRRORED, tuple(f"{kind}:{i}" for i in indices), why)


_CHOOSE = {AUTO: _auto, NONE: _none, COUNT: _count, CPU: _cpu, GPU: _gpu, TPU: _tpu}
