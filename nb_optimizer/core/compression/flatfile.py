"""What is in a LiteRT file: operations, number formats, weights. Runs without TensorFlow."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

_OPERATIONS = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
_FORMATS = {v: k for k, v in vars(schema.TensorType).items() if isinstance(v, int)}
_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")
_READ = {"FLOAT32": "<f4", "FLOAT16": "<f2", "INT8": "i1", "INT16": "<i2"}
_CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")
_HEAD = ("FULLY_CONNECTED", "SOFTMAX")
_LEAST = 16  # smaller constants are shapes and axes


@dataclass(frozen=True)
class Operation:
    """An operation with a kernel: what mixed precision chooses formats for."""

    index: int
    kind: str
    scope: str  # its output's name, by which the quantizer finds it
    weights: int
    values: int  # different values in its kernel


class FlatFile:
    """A LiteRT file that has been read."""

    def __init__(self, path: Path) -> None:
        content = bytearray(path.read_bytes())
        self._model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
        self._graphs = self._model.subgraphs

    def operations(self) -> list[Operation]:
        """Return the operations with a constant kernel, in order."""
        found = []
        for index, (kind, op, graph) in enumerate(self._all()):
            kernel = self._kernel(op, graph) if kind in _WEIGHTED else None
            if kernel is not None:
                scope = ";".join(_name(graph.tensors[i]) for i in op.outputs) + ";"
                found.append(
                    Operation(index, kind, scope, kernel.size, len(np.unique(kernel)))
                )  # fmt: skip
        return found

    def head(self) -> list[tuple[str, str]]:
        """Return kind and scope of the last dense operation and of the softmax behind it.

        Empty where the file ends in anything else.
        """
        graph = self._graphs[0]
        made = {i: (kind, op) for kind, op, owner in self._all() if owner is graph
                for i in op.outputs}  # fmt: skip
        at, found = graph.outputs[0], []
        while at in made and made[at][0] in _HEAD:
            kind, op = made[at]
            found.append((kind, ";".join(_name(graph.tensors[i]) for i in op.outputs) + ";"))
            if kind != "SOFTMAX":
                return found[::-1]
            at = op.inputs[0]
        return []

    def kinds(self) -> set[str]:
        """Return the kinds of its operations."""
        return {kind for kind, _, _ in self._all()}

    def sparsity(self) -> float:
        """Return the share of zeros in all kernels."""
        kernels = self._kernels()
        total = sum(k.size for k in kernels)
        return sum(int(k.size - np.count_nonzero(k)) for k in kernels) / total if total else 0.0

    def different_values(self) -> int:
        """Return how many different values the kernel with the most elements has."""
        kernels = self._kernels()
        return len(np.unique(max(kernels, key=np.size))) if kernels else 0

    def float_operations(self) -> dict[str, int]:
        """Return the operations whose result is float, by kind; conversions do not count."""
        kinds = [
            kind
            for kind, op, graph in self._all()
            if kind not in _CONVERSIONS
            and any(_FORMATS[graph.tensors[i].type].startswith("FLOAT") for i in op.outputs)
        ]
        return dict(Counter(kinds))

    def foreign_operations(self) -> list[str]:
        """Return the operations that the bare runtime does not have (``Flex...``)."""
        codes = self._model.operatorCodes
        return sorted({c.customCode.decode() for c in codes if c.customCode})

    def _all(self) -> Any:
        for graph in self._graphs:
            for op in graph.operators:
                code = self._model.operatorCodes[op.opcodeIndex]
                kind = max(code.builtinCode, code.deprecatedBuiltinCode)
                yield _OPERATIONS.get(kind, "?"), op, graph

    def _kernel(self, op: Any, graph: Any) -> Any:
        position = 2 if len(op.inputs) > 2 and self._is_transposed(op) else 1  # noqa: PLR2004
        return self._constant(graph.tensors[op.inputs[position]])

    def _is_transposed(self, op: Any) -> bool:
        code = self._model.operatorCodes[op.opcodeIndex]
        return _OPERATIONS.get(code.builtinCode) == "TRANSPOSE_CONV"

    def _kernels(self) -> list[Any]:
        read = [self._constant(t) for graph in self._graphs for t in graph.tensors]
        return [k for k in read if k is not None and k.ndim > 1 and k.size >= _LEAST]

    def _constant(self, tensor: Any) -> Any:
        data = self._model.buffers[tensor.buffer].data
        kind = _FORMATS[tensor.type]
        if data is None or tensor.shape is None or len(tensor.shape) == 0:
            return None
        raw = np.asarray(data, "uint8")
        if kind == "INT4":  # two to a byte, the lower half first
            halves = np.stack([raw & 15, raw >> 4], axis=-1).reshape(-1)
            return halves[: int(np.prod(tensor.shape))].reshape(tensor.shape)
        if kind not in _READ:
            return None
        return np.frombuffer(raw.tobytes(), _READ[kind]).reshape(tensor.shape)


def shorten_floats(path: Path) -> None:
    """Round the float constants of a file to 8 bits of precision, so that half their bytes are 0.

    The file keeps its size; it is gzip that makes use of it.
    """
    content = bytearray(path.read_bytes())
    model = schema.Model.GetRootAsModel(content, 0)
    for graph in (model.Subgraphs(i) for i in range(model.SubgraphsLength())):
        for tensor in (graph.Tensors(i) for i in range(graph.TensorsLength())):
            buffer = model.Buffers(tensor.Buffer())
            if _FORMATS[tensor.Type()] == "FLOAT32" and not buffer.DataIsNone():
                bits = buffer.DataAsNumpy().view("<u4")  # in place
                bits[:] = (bits + np.uint32(0x8000)) & np.uint32(0xFFFF0000)
    path.write_bytes(content)


def _name(tensor: Any) -> str:
    return str(tensor.name.decode())
