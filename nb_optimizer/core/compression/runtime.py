"""One task in a fresh process: ``python -m nb_optimizer.core.compression.runtime REQUEST``.

``REQUEST`` is a JSON file in a private folder; the answer is written beside it. The process
knows the runtime that would serve the file and no TensorFlow, so what is measured here is what
would be served, and a crash inside the runtime ends nothing but this process.
"""

from __future__ import annotations

import gzip
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
ROUNDS = 5  # turns between the file and its reference
_STATEFUL = ("UNIDIRECTIONAL_SEQUENCE_LSTM", "UNIDIRECTIONAL_SEQUENCE_RNN", "SVDF", "LSTM")


class Served:
    """A LiteRT file, loaded as an application would load it."""

    def __init__(self, path: Path, threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415 - slow to load

        self._engine = Interpreter(model_path=str(path), num_threads=threads)
        self._engine.allocate_tensors()
        key = next(iter(self._engine.get_signature_list()))
        runner = self._engine.get_signature_runner(key)
        self.inputs = runner.get_input_details()
        outputs = runner.get_output_details()
        self._output = outputs[min(outputs)]  # output_0, or the first key
        self.stateful = False

    def put(self, row: dict[str, Array]) -> None:
        """Set the inputs, quantized where the file takes whole numbers."""
        for name, detail in self.inputs.items():
            self._engine.set_tensor(detail["index"], _to(row[name], detail))

    def invoke(self) -> None:
        """Run the model."""
        if self.stateful:
            self._engine.reset_all_variables()
        self._engine.invoke()

    def get(self) -> Array:
        """Return the first output as float."""
        value = self._engine.get_tensor(self._output["index"])
        scale, zero = self._output["quantization"]
        if scale and value.dtype.kind in "iu":
            return np.asarray((value.astype("float32") - zero) * scale, "float32")
        return np.asarray(value, "float32")

    def predict(self, rows: dict[str, Array]) -> Array:
        """Return the first output for every row, one row at a time."""
        made = []
        for i in range(len(next(iter(rows.values())))):
            self.put({n: a[i : i + 1] for n, a in rows.items()})
            self.invoke()
            made.append(self.get())
        return np.asarray(np.concatenate(made))

    def seconds(self, row: dict[str, Array], calls: int) -> list[float]:
        """Return how long each of ``calls`` runs on one row took."""
        self.put(row)
        taken = []
        for _ in range(calls):
            start = time.perf_counter()
            self.invoke()
            taken.append(time.perf_counter() - start)
        return taken


def measure(request: dict[str, Any]) -> dict[str, Any]:
    """Measure a file: sizes, what is in it, predictions, latency beside its reference."""
    from nb_optimizer.core.compression.flatfile import FlatFile  # noqa: PLC0415 - as above

    path = Path(request["file"])
    content, file = path.read_bytes(), FlatFile(path)
    answer: dict[str, Any] = {
        "bytes": len(content),
        "gzip_bytes": len(gzip.compress(content, 9, mtime=0)),
        "sparsity": file.sparsity(),
        "values": file.different_values(),
        "float_operations": file.float_operations(),
        "foreign_operations": file.foreign_operations(),
    }
    served = _served(path, request["threads"])
    np.save(request["predictions"], served.predict(_rows(request["inputs"])))
    return answer | _timed(served, request) | _host(request["threads"])


def time_only(request: dict[str, Any]) -> dict[str, Any]:
    """Time a file beside its reference, and nothing else."""
    return _timed(_served(Path(request["file"]), request["threads"]), request)


def quantize(request: dict[str, Any]) -> dict[str, Any]:
    """Quantize a float file."""
    from nb_optimizer.core.compression import ptq  # noqa: PLC0415 - loads the quantizer

    target = Path(request["target"])
    told = ptq.quantize(
        Path(request["source"]), target, request["format"], _rows(request["calibration"]),
        request["mixed"], request["trained"],
    )  # fmt: skip
    return {"bytes": target.stat().st_size, "told": told}


def describe(request: dict[str, Any]) -> dict[str, Any]:
    """List the operations with a kernel."""
    from nb_optimizer.core.compression.flatfile import FlatFile  # noqa: PLC0415 - as above

    return {"operations": [vars(o) for o in FlatFile(Path(request["file"])).operations()]}


def _to(value: Array, detail: dict[str, Any]) -> Array:
    kind = np.dtype(detail["dtype"])
    scale, zero = detail["quantization"]
    if scale and kind.kind in "iu" and value.dtype.kind == "f":
        limits = np.iinfo(kind)
        return np.asarray(np.clip(np.round(value / scale + zero), limits.min, limits.max), kind)
    return np.asarray(value, kind)


def _served(path: Path, threads: int) -> Served:
    from nb_optimizer.core.compression.flatfile import FlatFile  # noqa: PLC0415 - as above

    served = Served(path, threads)
    served.stateful = any(kind in _STATEFUL for kind in FlatFile(path).kinds())
    return served


def _timed(served: Served, request: dict[str, Any]) -> dict[str, float]:
    """Return the latency on one row, and that of the reference file, if there is one."""
    files = [served]
    if request.get("reference"):
        files.append(_served(Path(request["reference"]), request["threads"]))
    one = {n: a[:1] for n, a in _rows(request["inputs"]).items()}
    taken = _by_turns(files, one, request["seconds"])
    told = _latency(taken[0])
    if len(files) > 1:
        told["reference_ms"] = _latency(taken[1])["latency_ms"]
    return told


def _by_turns(
    served: list[Served], row: dict[str, Array], seconds: float
) -> list[list[float]]:  # fmt: skip
    """Time the files by turns, so that a busy host slows all of them."""
    warm = [min(s.seconds(row, 4)[1:]) for s in served]
    calls = [max(4, min(400, int(seconds / ROUNDS / len(served) / max(w, 1e-6)))) for w in warm]
    taken: list[list[float]] = [[] for _ in served]
    for _ in range(ROUNDS):
        for times, one, count in zip(taken, served, calls, strict=True):
            times.extend(one.seconds(row, count))
    return taken


def _latency(taken: list[float]) -> dict[str, float]:
    median, high = np.percentile(taken, [50, 90])
    return {"latency_ms": float(median) * 1e3, "latency_p90_ms": float(high) * 1e3}


def _host(threads: int) -> dict[str, Any]:
    from importlib.metadata import version  # noqa: PLC0415 - only here

    return {"threads": threads, "runtime": f"ai-edge-litert {version('ai-edge-litert')}"}


def _rows(files: dict[str, str]) -> dict[str, Array]:
    return {n: np.load(f, allow_pickle=False) for n, f in files.items()}


TASKS = {"measure": measure, "time": time_only, "quantize": quantize, "describe": describe}


def main(path: Path) -> None:
    """Do the task of a request file and write its answer."""
    request = json.loads(path.read_text())
    answer = TASKS[request["task"]](request)
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(answer))
    partial.replace(path.with_suffix(".answer"))


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main(Path(sys.argv[1]))
