"""Detached training in a real kernel: the panel is live, its buttons reach the worker process."""

from __future__ import annotations

import queue
import time

import pytest
from jupyter_client.manager import start_new_kernel

pytestmark = pytest.mark.kernel
WIDGET = "application/vnd.jupyter.widget-view+json"
PREPARE = """
%load_ext nb_optimizer
import keras, numpy as np, tensorflow as tf
x = np.random.default_rng(0).random((640, 4), dtype="float32")
y = x.sum(axis=1, keepdims=True)
tf.constant(1)

def net():
    made = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    made.compile("sgd", "mse")
    return made
"""
LONG = "model = net()\nh = model.fit(x, y, epochs=100000)"


class Page:
    """A front end that draws panels: it runs cells and keeps what the kernel publishes."""

    def __init__(self, client):
        self._client = client
        self.messages = []

    def start(self, code):
        message = self._client.session.msg("execute_request", {
            "code": code, "silent": False, "store_history": True, "user_expressions": {},
            "allow_stdin": False, "stop_on_error": True,
        })  # fmt: skip
        message["metadata"] = {"cellId": "abc"}
        self._client.shell_channel.send(message)
        return message["header"]["msg_id"]

    def reply(self, request, timeout=60):
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            self.collect(0.1)
            while self._client.shell_channel.msg_ready():
                message = self._client.get_shell_msg(timeout=1)
                if message["parent_header"].get("msg_id") == request:
                    return message["content"]
        return pytest.fail("no reply")

    def run(self, code):
        return self.reply(self.start(code))

    def collect(self, seconds):
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                self.messages.append(self._client.get_iopub_msg(timeout=left))
            except queue.Empty:
                return

    def until(self, true, timeout=60):
        end = time.monotonic() + timeout
        while not (found := true()):
            assert time.monotonic() < end, "waited too long"
            self.collect(0.2)
        return found

    def button(self, description):
        """Return the comm of a button the kernel has opened."""
        for message in self.messages:
            if message["msg_type"] == "comm_open":
                state = message["content"]["data"].get("state", {})
                if state.get("description") == description:
                    return message["content"]["comm_id"]
        return None

    def click(self, comm):
        data = {"method": "custom", "content": {"event": "click"}}
        message = self._client.session.msg("comm_msg", {"comm_id": comm, "data": data})
        self._client.shell_channel.send(message)

    def pictures(self):
        kinds = ("display_data", "update_display_data")
        return [m for m in self.messages if m["msg_type"] in kinds]

    def printed(self):
        texts = [m["content"] for m in self.messages if m["msg_type"] == "stream"]
        return "".join(t["text"] for t in texts if t["name"] == "stdout")


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    manager, client = start_new_kernel(cwd=str(tmp_path_factory.mktemp("detached")))
    page = Page(client)
    assert page.run(PREPARE)["status"] == "ok"
    yield manager, page
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def test_a_detached_run_is_live_and_its_stop_button_works(kernel):
    _, page = kernel
    page.messages.clear()
    assert page.run(f"%%train --detach -o run\n{LONG}")["status"] == "ok"
    first = page.until(page.pictures)[0]
    assert WIDGET in first["content"]["data"]
    assert first["parent_header"]["msg_id"]
    page.run("while not run.runs:\n    import time; time.sleep(0.1)\nprint(run.status)")
    assert "running" in page.printed()
    page.click(page.until(lambda: page.button("Stop")))
    page.until(lambda: "stopped" in page.pictures()[-1]["content"]["data"]["text/plain"])
    last = page.pictures()[-1]["content"]
    assert set(last["data"]) == {"text/html", "text/plain"}
    assert last["transient"] == first["content"]["transient"]
    page.run("print(run.status, run.reason)\nassert h.model is model is run.model")
    assert "stopped the Stop button was pressed" in page.printed()


def test_an_interrupt_stops_a_worker_gracefully(kernel):
    manager, page = kernel
    page.messages.clear()
    request = page.start(f"%%train --devices cpu:2 -o run\n{LONG}")
    page.until(page.pictures)
    page.collect(2)
    manager.interrupt_kernel()
    assert page.reply(request)["status"] == "ok"
    page.run("print(run.status, run.reason, len(h.epoch) == run.epochs, h.model is model)")
    assert "stopped the kernel was interrupted True True" in page.printed()
