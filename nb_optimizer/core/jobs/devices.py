"""Shares the machine among workers: accelerators, cores, memory."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Any

import psutil

from nb_optimizer.core.devices import nvidia
from nb_optimizer.core.devices.wish import MOST_CPUS
from nb_optimizer.core.errors import UserError

_KEPT = 0.8  # of what is free at the start, for all workers together
_FULL = 0.75  # of a GPU's memory: what is left may be too little for workers


@dataclass(frozen=True)
class Share:
    """What one worker may use."""

    gpus: tuple[str, ...] = ()
    threads: int = 1
    memory_mb: float = 0.0
    devices: int = 1  # that share one trial

    @property
    def device(self) -> str:
        """The share in words."""
        if self.gpus:
            return "GPU " + ", ".join(self.gpus)
        cores = f"{self.threads} core" + ("s" if self.threads > 1 else "")
        return cores + (f", {self.devices} logical devices" if self.devices > 1 else "")

    @property
    def wish(self) -> str | None:
        """The share as ``--devices`` says it; ``None`` where no strategy is needed."""
        if self.devices < 2:  # noqa: PLR2004 - one device
            return None
        return "gpu" if self.gpus else f"cpu:{self.devices}"  # a worker sees its own GPUs only

    def environment(self) -> dict[str, str]:
        """Return the variables that a worker is started with."""
        return {
            "CUDA_VISIBLE_DEVICES": ",".join(self.gpus) or "-1",
            "OMP_NUM_THREADS": str(self.threads),
            "OPENBLAS_NUM_THREADS": str(self.threads),
            "TF_NUM_INTRAOP_THREADS": str(self.threads),
            "TF_NUM_INTEROP_THREADS": str(self.threads),
            "TF_FORCE_GPU_ALLOW_GROWTH": "true",
            "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2"),
            "MPLBACKEND": "Agg",
        }

    def to_json(self) -> dict[str, Any]:
        """Return the share as plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Share:
        """Read what :meth:`to_json` returned."""
        return cls(**{**values, "gpus": tuple(values["gpus"])})


def shares(workers: str, devices_per_trial: int, memory: int | None) -> list[Share]:
    """Divide the machine: one accelerator for each worker, or several with ``devices_per_trial``.

    Raises:
        UserError: more devices for one trial than there are.
    """
    gpus, cores = nvidia.visible(), _cores()
    if gpus and devices_per_trial > len(gpus):
        has = f"{len(gpus)} GPU{'s' * (len(gpus) > 1)}"
        message = f"--devices-per-trial {devices_per_trial}: this machine has {has}."
        raise UserError(message)
    if not gpus and devices_per_trial > MOST_CPUS:
        message = (
            f"--devices-per-trial {devices_per_trial}: no GPU is here, and a processor is divided "
            f"into at most {MOST_CPUS} logical devices."
        )
        raise UserError(message)
    if workers == "auto":
        count = len(gpus) // devices_per_trial if gpus else max(1, cores // 2)
    else:
        count = int(workers)
    free = psutil.virtual_memory().available / 1e6
    limit = float(memory or _KEPT * free / count)
    return [
        Share(
            _slice(gpus, slot, devices_per_trial), max(1, cores // count), limit, devices_per_trial
        )
        for slot in range(count)
    ]


def remarks() -> list[str]:
    """Return what is to be said of GPUs that other processes, the kernel among them, fill."""
    gpus = nvidia.visible()
    return [
        f"GPU {gpu}: {used / 1e9:.3g} of its {total / 1e9:.3g} GB are taken, so trials may run out "
        "of memory. TensorFlow takes a whole GPU unless TF_FORCE_GPU_ALLOW_GROWTH=true is set "
        "before the kernel first computes."
        for gpu, (used, total) in zip(gpus, nvidia.memory(gpus), strict=False)
        if used > _FULL * total
    ]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _slice(gpus: list[str], slot: int, each: int) -> tuple[str, ...]:
    if not gpus:
        return ()
    return tuple(gpus[(slot * each + i) % len(gpus)] for i in range(each))
