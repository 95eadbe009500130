"""Post-training quantization of a float LiteRT file by the LiteRT quantizer.

Runs in a process of its own, without TensorFlow. Static formats calibrate with rows of the
training data; an operation whose kernel has few different values (a clustered one) gets one
scale for the whole kernel, for a scale per channel would multiply its values. In a file with such
kernels, which is meant for gzip, what stays float keeps its upper 16 bits only.
"""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
from litert_quantizer import quantizer
from litert_quantizer.calibrator import Calibrator
from litert_quantizer.qtyping import QuantGranularity
from litert_quantizer.recipe_manager import RecipeManager

from nb_optimizer.core.compression.flatfile import FlatFile, Operation, shorten_floats
from nb_optimizer.core.compression.runtime import Served

Array = np.ndarray[Any, Any]
_FEW_VALUES = 64
_TIES = 0.005  # share of the rows from which equal outputs are no chance
SMALL = 1024  # kernels below this stay float where they may: 8 bits save nothing and cost time
_ALL = ".*"
_MIN_MAX, _MSE, _NONE = "min_max_uniform_quantize", "MSE", "no_quantize"
_HALF = {
    "weight_tensor_config": {"num_bits": 16, "dtype": "FLOAT"},
    "compute_precision": "FLOAT",
    "explicit_dequantize": True,
}
FORMATS = ("float16", "dynamic", "int8", "int16x8", "int4")


def quantize(  # noqa: PLR0913, PLR0917 - what one file is made of
    source: Path,
    target: Path,
    form: str,
    calibration: dict[str, Array],
    mixed: dict[str, str],
    trained: bool = False,  # noqa: FBT001, FBT002 - as above
) -> str:
    """Write ``source`` in the number format ``form`` to ``target``; return what to tell of it.

    Where 8-bit results of the last dense layer make equal outputs of different ones, so that a
    classifier's first choice becomes a matter of order, they stay float; its weights do not.

    Args:
        source: a float LiteRT file.
        target: the file to write.
        form: one of ``FORMATS``.
        calibration: rows by input name, for ``int8`` and ``int16x8``.
        mixed: operation index (as text) to ``float32``, ``int8`` or ``int4`` instead.
        trained: the kernels were trained with this rounding, so their extremes are the scale.
    """
    maker = quantizer.Quantizer(str(source))
    file = FlatFile(source)
    _base(maker, form, _MIN_MAX if trained else _MSE)
    for op in file.operations():
        if op.weights < SMALL and form in ("dynamic", "int4"):
            _rule(maker, op, "float32", QuantGranularity.CHANNELWISE)
        elif op.values <= _FEW_VALUES and form in ("int8", "dynamic"):
            _rule(maker, op, form, QuantGranularity.TENSORWISE)
        if str(op.index) in mixed:
            _rule(maker, op, mixed[str(op.index)], QuantGranularity.CHANNELWISE, base=form)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        ranges = _ranges(maker, source, calibration) if maker.need_calibration else None
        target.write_bytes(bytes(maker.quantize(ranges).quantized_model))
        if form == "dynamic" and any(_shares(op) for op in file.operations()):
            shorten_floats(target)
        head = file.head() if form == "int8" else []
        ties = _ties(target, calibration) if head else 0
        if ties <= _TIES * _count(calibration):
            return ""
        _float_results(maker, head)
        target.write_bytes(bytes(maker.quantize(ranges).quantized_model))
    return (
        f"int8: on {ties} of {_count(calibration)} rows of calibration two classes came out equal "
        "and first, so the results of the last layer stay float (its weights have 8 bits)"
    )


def _shares(op: Operation) -> bool:
    """Whether a kernel has few values for its size: those of a tiny one are few anyway."""
    return op.values <= _FEW_VALUES and op.weights >= SMALL


def _ties(path: Path, calibration: dict[str, Array]) -> int:
    """Count the rows for which the two largest outputs of a file are the same."""
    said = Served(path, 1).predict(calibration)
    if said.ndim != 2 or said.shape[1] < 2:  # noqa: PLR2004 - rows of classes
        return 0
    said.sort(axis=1)
    return int(np.sum(said[:, -1] == said[:, -2]))


def _float_results(maker: Any, head: list[tuple[str, str]]) -> None:
    for kind, name in head:
        scope = re.escape(name)
        if kind == "SOFTMAX":
            maker.update_quantization_recipe(scope, kind, None, _NONE)
        else:
            maker.add_dynamic_config(scope, kind, 8)


def _count(rows: dict[str, Array]) -> int:
    return len(next(iter(rows.values())))


def _ranges(maker: Any, source: Path, calibration: dict[str, Array]) -> Any:
    """Return the true extremes of every activation over all rows.

    The quantizer's own default is a moving average, which cuts off rare large values: on a
    classifier, confident outputs become ties.
    """
    watch = Calibrator(str(source), num_threads=1, qsv_update_func=_wider)
    recipe = RecipeManager()
    recipe.load_quantization_recipe(maker.get_quantization_recipe())
    samples = [
        {n: a[i : i + 1] for n, a in calibration.items()} for i in range(_count(calibration))
    ]
    watch.calibrate({_signature(source): samples}, recipe)
    return watch.get_model_qsvs()


def _wider(old: Any, new: Any) -> Any:
    """Join two ranges."""
    if not old or not new:
        return new or old
    pairs = {"min": np.minimum, "max": np.maximum}
    return {k: pairs[k](old[k], v) if k in pairs and k in old else v for k, v in new.items()}


def _base(maker: Any, form: str, scale: str) -> None:
    if form == "float16":
        recipe = {"regex": _ALL, "operation": "*", "algorithm_key": "float_casting"}
        maker.load_quantization_recipe([{**recipe, "op_config": _HALF}])
    elif form == "dynamic":
        maker.add_dynamic_config(_ALL, "*", 8)
    elif form == "int8":
        maker.add_static_config(_ALL, "*", 8, 8)
    elif form == "int16x8":
        maker.add_static_config(_ALL, "*", 16, 8)
    else:
        # Kernels that 4 bits do not serve (depthwise, say) keep 8.
        maker.add_dynamic_config(_ALL, "*", 8)
        for kind in ("CONV_2D", "FULLY_CONNECTED"):
            maker.add_dynamic_config(_ALL, kind, 4, algorithm_key=scale)


def _rule(maker: Any, op: Operation, form: str, grain: Any, base: str = "") -> None:
    scope = re.escape(op.scope)
    if form == "float32":
        maker.update_quantization_recipe(scope, op.kind, None, _NONE)
    elif form == "int4":
        if op.kind not in ("CONV_2D", "FULLY_CONNECTED"):
            return
        if base == "int8":
            maker.add_static_config(scope, op.kind, 8, 4, grain, _MSE)
        else:
            maker.add_dynamic_config(scope, op.kind, 4, grain, _MSE)
    elif (base or form) == "int8":
        maker.add_static_config(scope, op.kind, 8, 8, grain, _MIN_MAX)
    else:
        maker.add_dynamic_config(scope, op.kind, 8, grain, _MIN_MAX)


def _signature(source: Path) -> str:
    from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415 - slow to load

    return str(next(iter(Interpreter(model_path=str(source)).get_signature_list())))
