"""What is known to fail or to change under a strategy: found before anything is trained.

Each check repairs and says so in ``call.notes``, or raises a ``UserError`` of one line.
"""

from __future__ import annotations

import importlib
import itertools
from typing import TYPE_CHECKING, Any

from nb_optimizer.core.devices import machines
from nb_optimizer.core.errors import UserError

if TYPE_CHECKING:
    from nb_optimizer.core.training.call import FitCall

_STATISTICS = ("BatchNormalization",)
_RANDOM = ("Dropout", "GaussianNoise", "GaussianDropout", "AlphaDropout")


def check_settings(model: Any) -> None:
    """Refuse a model that is compiled in a way no repair helps."""
    optimizer = getattr(model, "optimizer", None)
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    steps = getattr(inner, "gradient_accumulation_steps", None)
    if steps and steps > 1:
        message = (
            f"gradient_accumulation_steps={steps} does not work under a strategy of TensorFlow. "
            f"Leave it out and use a batch {steps} times as large: the same gradients."
        )
        raise UserError(message)
    if getattr(inner, "use_ema", False) and getattr(inner, "ema_overwrite_frequency", None):
        message = (
            "use_ema with ema_overwrite_frequency does not work under a strategy of TensorFlow. "
            "Leave ema_overwrite_frequency out: the averages replace the weights at the end."
        )
        raise UserError(message)


def repair_settings(model: Any, notes: list[str]) -> None:
    """Take off what does not work for as long as the model is bound to a strategy."""
    if getattr(model, "jit_compile", False) is True:
        model.jit_compile = False
        notes.append("jit_compile is off: XLA does not compile steps under a strategy")
    if machines.is_member() and model.steps_per_execution > 1:
        model.steps_per_execution = 1
        notes.append("steps_per_execution is 1: several machines take their steps one by one")


def tell_differences(model: Any, layers: list[Any], replicas: int, notes: list[str]) -> None:
    """Say what is not the same as on one device, by nature."""
    kinds = [layer for layer in layers if type(layer).__name__ in _STATISTICS]
    if any(not getattr(layer, "synchronized", False) for layer in kinds):
        notes.append(
            f"BatchNormalization takes its statistics from the {replicas} parts of a batch one by "
            "one; the moving ones that are kept are those of the first device. "
            "BatchNormalization(synchronized=True) takes them from the whole batch"
        )
    if any(type(layer).__name__ in _RANDOM and getattr(layer, "rate", 1) for layer in layers):
        notes.append(f"{model.name} draws its random masks on each device, not once for the batch")


def check_batches(call: FitCall, replicas: int) -> None:
    """See that every batch can be divided among the devices."""
    kind = _kind(call.values["x"])
    {"arrays": _arrays, "dataset": _dataset, "sequence": _sequence}.get(kind, _other)(
        call, replicas
    )


def divisible(size: int, replicas: int) -> int:
    """Return the smallest batch of at least ``size`` rows that the replicas divide evenly."""
    return -(-size // replicas) * replicas


def grown(before: int, now: int, replicas: int) -> str:
    """Say that a batch was made larger for the replicas."""
    return f"batch size {before} is now {now}, which {replicas} devices divide evenly"


def _arrays(call: FitCall, replicas: int) -> None:
    if not call.takes_arrays:
        return
    size = call.batch_size or 32
    if size % replicas:
        size = divisible(size, replicas)
        call.notes.append(grown(call.batch_size or 32, size, replicas))
        call.values["batch_size"] = size
    rows = _rows(call.values["x"])
    split = call.values["validation_split"]
    trained = int(rows * (1 - split)) if split else rows
    if trained < replicas:
        few = "1 row" if trained == 1 else f"{trained} rows"
        message = f"{few} cannot be divided among {replicas} devices."
        raise UserError(message)
    rest = trained % min(size, trained)
    if not rest % replicas or call.values["steps_per_epoch"]:
        return
    if rest >= replicas:
        call.notes.append(
            f"the last batch of an epoch has {rest} rows, which {replicas} devices share unevenly:"
            " its rows weigh slightly differently from those on one device"
        )
        return
    _leave_out(call, trained, rest)
    call.notes.append(
        f"the last {rest} of {trained:,} rows {'is' if rest == 1 else 'are'} left out: too few to "
        f"give each of the {replicas} devices one"
    )


def _leave_out(call: FitCall, trained: int, rest: int) -> None:
    """Take ``rest`` rows off the end of the training part, the validation part untouched."""
    tree = importlib.import_module("keras").tree
    names = [n for n in ("x", "y", "sample_weight") if call.values[n] is not None]
    if call.values["validation_split"]:
        parts = [tree.map_structure(lambda v: v[trained:], call.values[n]) for n in names]
        if "y" not in names:
            message = (
                "validation_split needs y where rows have to be left out; pass validation_data."
            )
            raise UserError(message)
        call.values["validation_data"] = tuple(parts)
        call.values["validation_split"] = 0.0
    for name in names:
        call.values[name] = tree.map_structure(lambda v: v[: trained - rest], call.values[name])


def _dataset(call: FitCall, replicas: int) -> None:
    tf: Any = importlib.import_module("tensorflow")
    data = call.values["x"]
    if isinstance(data, tf.distribute.DistributedDataset):
        return
    leaf = tf.nest.flatten(data.element_spec)[0]
    static = leaf.shape[0] if leaf.shape.rank else None
    size = int(static or _first_rows(tf, data))
    call.known_batch = size
    if size % replicas:
        wanted = divisible(size, replicas)
        data = data.rebatch(wanted, drop_remainder=static is not None)
        call.known_batch = wanted
        call.notes.append(
            f"the dataset's batches of {size} are now of {wanted}, which {replicas} devices "
            "divide evenly"
        )
    if static is None and data.cardinality() != tf.data.INFINITE_CARDINALITY:
        enough = replicas
        data = data.filter(lambda *row: tf.shape(tf.nest.flatten(row)[0])[0] >= enough)
        call.notes.append(f"a last batch with fewer than {replicas} rows is left out of each epoch")
    if machines.is_member():  # each takes its part of every batch, whatever the files
        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = (
            tf.data.experimental.AutoShardPolicy.DATA
        )
        data = data.with_options(options)
    call.values["x"] = data


def _first_rows(tf: Any, data: Any) -> int:
    for batch in data.take(1):
        return int(tf.shape(tf.nest.flatten(batch)[0])[0])
    message = "the dataset is empty: there is nothing to train on."
    raise UserError(message)


def _sequence(call: FitCall, replicas: int) -> None:
    _check_rows(call, _rows(call.values["x"][0][0]), replicas)


def _other(call: FitCall, replicas: int) -> None:
    """Look at the first batch of a generator, and put it back in front."""
    source = call.values["x"]
    if not hasattr(source, "__next__"):
        return
    first = next(source, None)
    if first is None:
        message = "the generator yields nothing: there is nothing to train on."
        raise UserError(message)
    call.values["x"] = (batch for batch in itertools.chain([first], source))
    _check_rows(call, _rows(first[0] if isinstance(first, tuple) else first), replicas)


def _check_rows(call: FitCall, rows: int, replicas: int) -> None:
    call.known_batch = rows
    if rows % replicas:
        source = type(call.values["x"]).__name__
        message = (
            f"the {source} makes batches of {rows} rows, which {replicas} devices cannot divide "
            f"evenly. Make them a multiple of {replicas}."
        )
        raise UserError(message)


def _kind(source: Any) -> str:
    tf: Any = importlib.import_module("tensorflow")
    if isinstance(source, tf.data.Dataset | tf.distribute.DistributedDataset):
        return "dataset"
    if hasattr(source, "__getitem__") and hasattr(source, "on_epoch_end"):
        return "sequence"
    return "other" if hasattr(source, "__next__") else "arrays"


def _rows(x: Any) -> int:
    tree = importlib.import_module("keras").tree
    return int(tree.flatten(x)[0].shape[0])
