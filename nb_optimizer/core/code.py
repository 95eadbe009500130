"""A run as Keras code: what the options set and what was steered, without this package."""

from __future__ import annotations

from nb_optimizer.core.events import Intervention
from nb_optimizer.core.record import RunRecord


def to_code(record: RunRecord) -> str:
    """Return the code; running it with the cell's own model and data repeats the run."""
    begin = record.begin
    options = begin.options
    lines = [
        f"# Repeats {begin.run}: put it before model.fit of the same cell.",
        "import keras",
        "",
    ]
    if (seed := options.get("seed")) is not None:
        lines += [f"keras.utils.set_random_seed({seed})  # before the model is built", ""]
    if (precision := options.get("precision")) is not None:
        lines += [f'keras.mixed_precision.set_dtype_policy("{precision}")  # before it, too', ""]
    if record.distributed is not None:
        lines += [f"# It was {record.distributed.text}:", "# build and compile there.", ""]
    lines += _callbacks(record)
    for name in ("l1", "l2", "dropout"):
        if options.get(name):
            notes = [n.text for n in record.notes if "added" in n.text or "left alone" in n.text]
            lines += ["# By hand in the model's own code:"] + [f"#   {text}" for text in notes]
            break
    if (rate := options.get("lr")) is not None:
        lines.append(f"model.optimizer.learning_rate = {rate!r}")
    if options.get("scale_lr"):
        lines += [
            f"# {n.text}" for n in record.notes if n.text.startswith("the learning rate goes")
        ]
    batch = f", batch_size={begin.batch_size}" if "batch_size" in options else ""
    call = f"model.fit(..., epochs={record.planned_epochs}{batch}, callbacks=callbacks)"
    return "\n".join([*lines, "", f"# {call}", ""])


def _callbacks(record: RunRecord) -> list[str]:
    options, monitor = record.begin.options, record.begin.monitor
    entries = []
    if (patience := options.get("patience")) is not None:
        entries.append(
            f"keras.callbacks.EarlyStopping(monitor={monitor!r}, patience={patience}, "
            f"min_delta={options.get('min_delta', 0.0)}, restore_best_weights=True)"
        )
    if (patience := options.get("reduce_lr")) is not None:
        entries.append(
            f"keras.callbacks.ReduceLROnPlateau(monitor={monitor!r}, patience={patience}, "
            f"min_delta={options.get('min_delta', 0.0)})"
        )
    steered = [i for i in record.interventions if i.action in _REPLAYED]
    head = _replay(record, steered) if steered else []
    if steered:
        entries.append("Replay()")
    body = ["callbacks = [", *(f"    {entry}," for entry in entries), "]"]
    return [*head, *(body if entries else ["callbacks = []"])]


_REPLAYED = ("learning_rate", "back_to_best", "stop")

_SCALED = """
class Scaled(keras.optimizers.schedules.LearningRateSchedule):
    def __init__(self, schedule, factor):
        self.schedule, self.factor = schedule, factor

    def __call__(self, step):
        return self.schedule(step) * self.factor

"""

_REPLAY = """
class Replay(keras.callbacks.Callback):
    \"\"\"Repeats what was steered by hand. Epochs count from 1, batches from 0.\"\"\"

    steps = {steps}
    needed = {needed}  # epochs whose state is wanted again
    saved = {{}}

    def state(self):
        return [*self.model.variables, *self.model.optimizer.variables]

    def go_back(self, epoch):
        for variable, value in zip(self.state(), self.saved[epoch]):
            if "learning_rate" not in variable.path:
                variable.assign(value)

    def set_rate(self, value):
        {set_rate}

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch + 1

    def on_train_batch_begin(self, batch, logs=None):
        for action, value in self.steps.get((self.epoch, batch), ()):
            if action == "learning_rate":
                self.set_rate(value)
            elif action == "back_to_best":
                self.go_back(value)
            else:
                self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        if epoch + 1 in self.needed:
            self.saved[epoch + 1] = [v.numpy() for v in self.state()]
"""

_RESTORE = """
    def on_train_end(self, logs=None):
        self.go_back({epoch})
"""

_FIXED = "self.model.optimizer.learning_rate = value"
_SCHEDULED = """optimizer = self.model.optimizer
        self.schedule = getattr(self, "schedule", optimizer._learning_rate)
        factor = value / float(self.schedule(optimizer.iterations))
        optimizer.learning_rate = Scaled(self.schedule, factor)
        self.model.make_train_function(force=True)"""


def _replay(record: RunRecord, steered: list[Intervention]) -> list[str]:
    steps: dict[tuple[int, int], list[tuple[str, float | None]]] = {}
    for deed in steered:
        value = int(deed.value) if deed.action == "back_to_best" and deed.value else deed.value
        steps.setdefault((deed.epoch, deed.step), []).append((deed.action, value))
    needed = {int(i.value) for i in steered if i.action == "back_to_best" and i.value}
    needed |= {record.restored_epoch} if record.restored_epoch else set()
    scheduled = bool(record.begin.schedule)
    text = _SCALED if scheduled else ""
    text += _REPLAY.format(
        steps=steps, needed=sorted(needed), set_rate=_SCHEDULED if scheduled else _FIXED
    )
    if record.restored_epoch:
        text += _RESTORE.format(epoch=record.restored_epoch)
    return [*text.splitlines(), "", ""]
