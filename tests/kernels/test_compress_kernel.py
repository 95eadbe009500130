"""``%compress`` in a real kernel: a cell, its text, its static HTML; mistakes; an interrupt."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytestmark = pytest.mark.kernel
ROOT = Path(__file__).parents[2]

PREPARE = """
%load_ext nb_optimizer
import keras, numpy as np
rng = np.random.default_rng(0)
x = rng.random((900, 12), dtype="float32"); y = (x[:, :6].sum(1) > x[:, 6:].sum(1)).astype("int32")
keras.utils.set_random_seed(0)
model = keras.Sequential([keras.Input((12,)), keras.layers.Dense(64, activation="relu"),
    keras.layers.Dense(64, activation="relu"), keras.layers.Dense(2, activation="softmax")])
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x[:500], y[:500], epochs=3, verbose=0)
before = [w.copy() for w in model.get_weights()]
x_train, y_train, x_test, y_test = x[:500], y[:500], x[500:], y[500:]
"""


class Kernel:
    """One kernel; ``run`` returns the reply, what was printed, and what was shown."""

    def __init__(self, folder):
        from jupyter_client.manager import start_new_kernel

        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.manager, self.client = start_new_kernel(
            kernel_name="python3", cwd=str(folder), env=env, startup_timeout=60
        )

    def run(self, code, timeout=180, during=None):
        out, shown = [], []

        def keep(message):
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                out.append(content["text"])
                if during:
                    during(content["text"])
            elif kind == "error":
                out.append("\n".join(content["traceback"]))
            elif kind in ("execute_result", "display_data"):
                shown.append(content["data"])

        reply = self.client.execute_interactive(code, timeout=timeout, output_hook=keep)
        return reply["content"], "".join(out), shown

    def close(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    one = Kernel(tmp_path_factory.mktemp("compress"))
    try:
        reply, said, _ = one.run(PREPARE)
        assert reply["status"] == "ok", said
        yield one
    finally:
        one.close()


def test_a_cell_gives_a_text_table_and_static_html(kernel):
    line = "%compress model --quantize int8,dynamic --data x_test,y_test --train x_train,y_train"
    reply, said, shown = kernel.run(f"{line} -o small")
    assert reply["status"] == "ok", said
    assert "int8:" in said and "loss" in said  # a line for each row, as a log shows them
    bundle = shown[-1]
    assert "recommended:" in bundle["text/plain"] and "int8" in bundle["text/plain"]
    page = bundle["text/html"]
    assert "<table" in page and page.count("data:image/svg+xml;base64,") == 2
    assert "<script" not in page
    _, said, _ = kernel.run(
        "print(small.status, small.best.bytes < small.baseline.bytes,"
        " all((a == b).all() for a, b in zip(before, model.get_weights())))"
    )
    assert said.strip() == "completed True True"


def test_a_line_is_resumed_with_its_own_options_only(kernel):
    data = "--data x_test,y_test --train x_train,y_train --resume"
    reply, said, _ = kernel.run(f"%compress model --quantize int8,dynamic {data} -o again")
    assert reply["status"] == "ok", said
    _, said, _ = kernel.run("print(again.id, again.record.notes[-1].text)")
    assert said.strip() == "compress-1 this compression was complete: nothing is left to make"
    reply, _, _ = kernel.run(f"%compress model --quantize int8 {data}")
    assert reply["ename"] == "UsageError" and "\n" not in reply["evalue"]
    assert "--quantize was 'int8,dynamic', now 'int8'" in reply["evalue"]


def test_the_run_is_read_back_and_shown_again(kernel):
    kernel.run("%runs")
    _, _, shown = kernel.run("%runs show 1")
    assert "compress-1" in shown[-1]["text/plain"]
    assert "data:image/svg+xml" in shown[-1]["text/html"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("%compress", "takes a model first"),
        ("%compress modle --data x_test,y_test", 'Did you mean "model"?'),
        ("%compress model", "--data x,y is needed"),
        ("%compress model --data x_tset,y_test", 'Did you mean "x_test"?'),
        ("%compress model --data x_test", "--data takes x,y or a data set"),
        ("%compress model --data y_test,y_test", "rows of shape (12,)"),
        ("%compress model --data x_test,y_train", "different lengths"),
        ("%compress model --data x_test,y_test --train x_test,y_test", "of the rows of --data"),
        ("%compress model --data x_test,y_test --prune 0.5", "--train x,y"),
        ("%compress model --data x_test,y_test --quantize int9", 'Did you mean "int8"?'),
        ("%compress model --data x_test,y_test --bugdet 1%", 'Did you mean "--budget"?'),
        ("%compress model --data x_test,y_test --budget 1% --prune 0.5", "leave out --prune"),
        ("%compress x --data x_test,y_test", "takes a Keras model, got ndarray"),
    ],
)
def test_a_mistake_is_one_clear_line(kernel, line, words):
    reply, _, _ = kernel.run(line)
    assert reply["status"] == "error"
    assert reply["ename"] == "UsageError"
    assert words in reply["evalue"]
    assert "\n" not in reply["evalue"]


def test_an_interrupt_keeps_what_was_made(kernel):
    pressed = []

    def press(text):
        if "dynamic:" in text and not pressed:
            pressed.append(kernel.manager.interrupt_kernel())

    line = "%compress model --quantize dynamic,int8,int4,float16,int16x8,int8,int4,dynamic,int8"
    reply, said, _ = kernel.run(
        f"cut = None\n{line} --data x_test,y_test --train x_train,y_train -o cut", during=press
    )
    assert pressed
    assert reply["status"] == "ok", said
    _, said, _ = kernel.run("print(cut.status, len(cut.candidates) >= 1, 'kept' in cut.reason)")
    assert said.strip() == "stopped True True"


def test_fine_tuning_is_a_run_of_its_own_that_is_shown(kernel):
    line = "%compress model --prune 0.6 --quantize int8 --epochs 2 -o pruned"
    reply, said, _ = kernel.run(f"{line} --data x_test,y_test --train x_train,y_train")
    assert reply["status"] == "ok", said
    assert "epoch 2/2" in said
    _, said, _ = kernel.run(
        "import nb_optimizer as nbo\n"
        "print(pruned.candidates[0].sparsity > 0.4, pruned.best.recipe['prune'],"
        " 'prune' in nbo.runs()[-1].name)"
    )
    assert said.strip() == "True 0.6 True"


def test_fine_tuning_on_devices_leaves_the_kernel_where_tensorflow_runs_already(kernel):
    line = "%compress model --prune 0.6 --quantize float16 --epochs 2"
    data = "--data x_test,y_test --train x_train,y_train"
    reply, said, shown = kernel.run(f"{line} --devices cpu:2 -o two {data}")
    assert reply["status"] == "ok", said
    assert "epoch 2/2" in said and "float16:" in said  # the run and the rows, live
    assert "recommended:" in shown[-1]["text/plain"]
    kernel.run(f"{line} -o one {data}")
    _, said, _ = kernel.run(
        "a, b = (r.candidates[0].load().get_weights() for r in (two, one))\n"
        "print(two.status, max(abs(a - b).max() for a, b in zip(a, b)) < 1e-5,\n"
        "      all((a == b).all() for a, b in zip(before, model.get_weights())))\n"
        "print([n.text for n in two.record.notes])\n"
        "import os; print(os.listdir('.nb_optimizer/jobs'))"
    )
    assert said.startswith("completed True True"), said
    assert "on 2 devices (CPU:0, CPU:1)" in said and "a process of its own" in said
    assert said.strip().endswith("[]")


def test_a_model_that_cannot_leave_the_kernel_is_one_line(kernel):
    reply, said, _ = kernel.run(
        "class Own(keras.layers.Layer):\n"
        "    def __init__(self, units):\n"
        "        super().__init__()\n"
        "        self.inside = keras.layers.Dense(units)\n"
        "    def call(self, x):\n"
        "        return self.inside(x)\n"
        "entry = keras.Input((12,))\n"
        "end = keras.layers.Dense(2, activation='softmax')(Own(64)(entry))\n"
        "odd = keras.Model(entry, end)\n"
        "odd.compile('adam', 'sparse_categorical_crossentropy')"
    )
    assert reply["status"] == "ok", said
    data = "--data x_test,y_test --train x_train,y_train"
    reply, _, _ = kernel.run(f"%compress odd --prune 0.5 --devices cpu:2 {data}")
    assert reply["ename"] == "UsageError" and "\n" not in reply["evalue"]
    assert "--devices cpu:2 needs a process of its own here" in reply["evalue"]


def test_an_interrupt_reaches_the_process_of_a_compression(kernel):
    pressed = []

    def press(text):
        if "100,000 epochs" in text and not pressed:
            pressed.append(kernel.manager.interrupt_kernel())

    line = "%compress model --prune 0.6 --quantize float16 --epochs 100000 --devices cpu:2 -o cut"
    reply, said, _ = kernel.run(
        f"{line} --data x_test,y_test --train x_train,y_train", during=press
    )
    assert pressed
    assert reply["status"] == "ok", said
    _, said, _ = kernel.run("print(cut.status, cut.baseline.bytes > 0, 'kept' in cut.reason)")
    assert said.strip() == "stopped True True"


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ("tpu", "sees no TPU here. One can be had in Colab"),
        ("gpu:0,1", "sees no GPU here"),
        ("gpx", 'Did you mean "gpu"?'),
    ],
)
def test_devices_that_are_not_there_are_one_line(kernel, wish, words):
    reply, _, _ = kernel.run(
        f"%compress model --prune 0.5 --devices {wish} --data x_test,y_test --train x_train,y_train"
    )
    assert reply["ename"] == "UsageError"
    assert words in reply["evalue"] and "\n" not in reply["evalue"]
