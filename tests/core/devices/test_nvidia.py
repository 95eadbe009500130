"""What a search learns of GPUs from ``nvidia-smi``; here a script answers in its form."""

from __future__ import annotations

import pytest

from nb_optimizer.core.devices import nvidia
from nb_optimizer.core.jobs import devices

GPUS = """#!/bin/sh
case "$*" in
  -L) echo "GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-1)"; echo "GPU 1: NVIDIA H100 (UUID: GPU-2)" ;;
  "-i 0,1 "*) echo "79373, 81559"; echo "512, 81559" ;;
  "-i 1 "*) echo "512, 81559" ;;
  "-i shared "*) echo "[N/A], [N/A]" ;;
  *) echo "No devices were found"; exit 6 ;;
esac
"""


@pytest.fixture
def gpus(tmp_path, monkeypatch):
    program = tmp_path / "nvidia-smi"
    program.write_text(GPUS)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_gpus_are_named_and_measured(gpus, monkeypatch):
    assert nvidia.visible() == ["0", "1"]
    assert nvidia.memory(["0", "1"]) == [
        (79373 * 2**20, 81559 * 2**20),
        (512 * 2**20, 81559 * 2**20),
    ]
    assert nvidia.memory(["shared"]) == nvidia.memory(["7"]) == nvidia.memory([]) == []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert nvidia.visible() == ["1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert nvidia.visible() == []


def test_without_the_program_there_are_none(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert nvidia.visible() == [] and nvidia.memory(["0"]) == []


def test_a_gpu_that_the_kernel_fills_is_told_before_a_search(gpus, monkeypatch):
    (said,) = devices.remarks()
    assert said.startswith("GPU 0: 83.2 of its 85.5 GB are taken, so trials may run out of memory")
    assert "TF_FORCE_GPU_ALLOW_GROWTH=true" in said
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert devices.remarks() == []
