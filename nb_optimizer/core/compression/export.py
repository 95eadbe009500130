"""A Keras model as a float LiteRT file, with a fixed batch of one row.

One row is what an application asks for, and with a fixed batch recurrent layers stay within
the operations that the bare runtime has.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nb_optimizer.core.compression import graph
from nb_optimizer.core.compression.data import Data
from nb_optimizer.core.errors import UserError


def export_float(model: Any, data: Data, path: Path) -> None:
    """Write ``model`` as float LiteRT to ``path``; ``data`` tells the shapes of a row.

    Raises:
        UserError: the converter refuses the model.
    """
    try:
        with quiet():
            if graph.is_old(model):
                path.write_bytes(_convert_legacy(model, data))
            else:
                model.export(
                    str(path), format="litert", verbose=False, input_signature=_signature(data)
                )
    except OSError:
        raise
    except Exception as error:  # a guarded place: the converter raises whatever its passes raise
        first = str(error).strip().splitlines()[0][:200] if str(error).strip() else ""
        message = f"The model cannot be exported to LiteRT: {type(error).__name__}: {first}"
        raise UserError(message) from error


def convert(model: Any, data: Data, form: str) -> bytes:
    """Quantize with TensorFlow's own converter: the way out where the quantizer refuses.

    Args:
        model: a Keras 3 model.
        data: rows to calibrate with.
        form: ``float16``, ``dynamic``, ``int8`` or ``int16x8``.
    """
    import tensorflow as tf  # noqa: PLC0415 - loads on first use

    options: dict[str, Any] = {"optimizations": [tf.lite.Optimize.DEFAULT]}
    if form == "float16":
        options["target_spec"] = {"supported_types": [tf.float16]}
    if form in ("int8", "int16x8"):
        options["representative_dataset"] = lambda: _samples(data)
    if form == "int16x8":
        wide = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        options["target_spec"] = {"supported_ops": [wide]}
    with tempfile.TemporaryDirectory() as place, quiet():
        file = Path(place) / "model.tflite"
        model.export(
            str(file), format="litert", verbose=False, input_signature=_signature(data), **options
        )
        return file.read_bytes()


def _samples(data: Data) -> Iterator[list[Any]]:
    for i in range(len(data)):
        yield [a[i : i + 1] for a in data.inputs.values()]


def _signature(data: Data) -> list[Any]:
    import keras  # noqa: PLC0415 - loads on first use

    specs = {
        name: keras.InputSpec(
            shape=(1, *a.shape[1:]), dtype=str(a.dtype), name=None if _plain(name) else name
        )
        for name, a in data.inputs.items()
    }
    if not all(_plain(n) for n in specs):
        return [specs]
    values = list(specs.values())
    return values if len(values) == 1 else [values]


def _plain(name: str) -> bool:
    return name.startswith("args_0")


def _convert_legacy(model: Any, data: Data) -> bytes:
    import tensorflow as tf  # noqa: PLC0415 - loads on first use

    specs = [
        tf.TensorSpec((1, *a.shape[1:]), a.dtype, name=name) for name, a in data.inputs.items()
    ]

    def serve(*rows: Any) -> Any:
        return model(rows[0] if len(rows) == 1 else list(rows), training=False)

    holder = tf.Module()
    holder.model = model  # so that the saved function finds its variables
    holder.serve = tf.function(serve, input_signature=specs)
    with tempfile.TemporaryDirectory() as place:
        tf.saved_model.save(holder, place, signatures=holder.serve)
        return bytes(tf.lite.TFLiteConverter.from_saved_model(place).convert())


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the converter's chatter out of the cell; most of it comes from C++."""
    loggers = [logging.getLogger(n) for n in ("tensorflow", "absl")]
    levels = [log.level for log in loggers]
    for log in loggers:
        log.setLevel(logging.ERROR)
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
        for log, level in zip(loggers, levels, strict=True):
            log.setLevel(level)
