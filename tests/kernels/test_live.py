"""One output per run: a panel where a page draws it, live HTML elsewhere, static at last."""

from __future__ import annotations

import re

import pytest
from jupyter_client.manager import start_new_kernel

pytestmark = pytest.mark.kernel
WIDGET = "application/vnd.jupyter.widget-view+json"

PREPARE = """
%load_ext nb_optimizer
import pathlib, time, keras, numpy as np
from nb_optimizer.views import stage
stage._PATIENCE = 3.0  # s; the 10 s of every day would only make these tests longer
x = np.random.default_rng(0).random((640, 4), dtype="float32")
y = x.sum(axis=1, keepdims=True)

class Until(keras.callbacks.Callback):
    def __init__(self, seconds):
        super().__init__()
        self.end = time.time() + seconds

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = time.time() > self.end or pathlib.Path("enough").exists()

def net():
    made = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    made.compile("sgd", "mse")
    return made
"""
TRAIN = "%%train {0}\nh = net().fit(x, y, epochs=100000, callbacks=[Until({1})])"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return a function that runs a cell and gives the messages it publishes."""
    folder = tmp_path_factory.mktemp("live")
    manager, client = start_new_kernel(cwd=str(folder))

    def execute(code, metadata=None, *, answer_ready=False, pictures=None):
        messages = []
        (folder / "enough").unlink(missing_ok=True)

        def keep(message):
            messages.append(message)
            if [m["msg_type"] for m in messages].count("update_display_data") == pictures:
                (folder / "enough").touch()
            state = message["content"].get("data", {}).get("state", {})
            if answer_ready and message["msg_type"] == "comm_open" and "_esm" in state:
                data = {"method": "custom", "content": {"type": "ready"}}
                content = {"comm_id": message["content"]["comm_id"], "data": data}
                client.shell_channel.send(client.session.msg("comm_msg", content))

        request = client.session.msg("execute_request", {
            "code": code, "silent": False, "store_history": True,
            "user_expressions": {}, "allow_stdin": False, "stop_on_error": True,
        })  # fmt: skip
        request["metadata"] = metadata or {}
        client.shell_channel.send(request)
        while True:
            message = client.get_iopub_msg(timeout=60)
            if message["parent_header"].get("msg_id") != request["header"]["msg_id"]:
                continue
            keep(message)
            is_idle = message["content"].get("execution_state") == "idle"
            if message["msg_type"] == "status" and is_idle:
                break
        errors = [m["content"]["evalue"] for m in messages if m["msg_type"] == "error"]
        assert errors == []
        return messages

    execute(PREPARE)
    yield execute
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def displays(messages):
    kinds = ("display_data", "update_display_data")
    found = [m for m in messages if m["msg_type"] in kinds]
    assert len({m["content"]["transient"]["display_id"] for m in found}) == 1
    assert [m["msg_type"] for m in found].count("display_data") == 1
    assert not [m for m in messages if m["msg_type"] == "clear_output"]
    return [set(m["content"]["data"]) for m in found]


def test_without_a_page_lines_are_printed_and_the_picture_is_static(run):
    messages = run(TRAIN.format("", 0.5))
    assert displays(messages) == [{"text/html", "text/plain"}]
    text = "".join(m["content"]["text"] for m in messages if m["msg_type"] == "stream")
    assert re.search(r"epoch +1/100000 +loss", text)


def test_a_page_that_draws_keeps_the_panel_until_the_end(run):
    shown = displays(run(TRAIN.format("", 8), {"cellId": "abc"}, answer_ready=True))
    assert shown[0] == {"text/html", "text/plain", WIDGET}
    assert shown[1:] == [{"text/html", "text/plain"}]


def test_a_page_that_draws_no_widgets_gets_live_html(run):
    shown = displays(run(TRAIN.format("", 120), {"cellId": "abc"}, pictures=3))
    assert shown[0] == {"text/html", "text/plain", WIDGET}
    assert len(shown) > 3
    assert all(kind == {"text/html", "text/plain"} for kind in shown[1:])


def test_html_is_live_and_bounded(run):
    messages = run(TRAIN.format("--live html", 3))
    shown = displays(messages)
    assert 2 <= len(shown) <= 9
    assert all(kind == {"text/html", "text/plain"} for kind in shown)


def test_several_fits_have_an_output_each(run):
    messages = run("%%train\nfor n in (1, 2):\n    net().fit(x, y, epochs=n)")
    assert len([m for m in messages if m["msg_type"] == "display_data"]) == 2


def test_off_shows_keras_own_progress(run):
    messages = run("%%train --live off\nh = net().fit(x, y, epochs=1)")
    text = "".join(m["content"].get("text", "") for m in messages if m["msg_type"] == "stream")
    assert "Epoch 1/1" in text or "20/20" in text
    assert not [m for m in messages if m["msg_type"] == "display_data"]


def test_attach_shows_a_run_and_ends_with_it(run):
    messages = run("%runs attach 1")
    assert len([m for m in messages if m["msg_type"] == "display_data"]) == 1
