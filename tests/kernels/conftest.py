"""Real kernels of several ipykernel versions, spoken to over the raw protocol."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ipykernels import VERSIONS, install
from jupyter_client.manager import KernelManager

PREPARE = """
import json, time
import ipywidgets
from nb_optimizer.core import events as ev
from nb_optimizer.core.record import RunRecord
from nb_optimizer.core.training.control import Control
from nb_optimizer.views.panel import PanelView

foreign, foreign_clicks, order = ipywidgets.Button(), [], []
foreign.on_click(lambda _: foreign_clicks.append(time.time()))
hooks = []
get_ipython().events.register("post_execute", lambda: hooks.append(time.time()))

def train(seconds=8.0):
    global view
    control, record = Control(), RunRecord()
    view = PanelView(record, control)
    begin = ev.RunBegin(time=time.time(), run="r1", epochs=3)
    record.apply(begin)
    view.show(begin, record)
    names = {"stop": view._stop, "pause": view._pause, "more": view._more, "best": view._best,
             "rate": view._rate, "set": view._set_rate, "board": view._board}
    ids = {name: widget.model_id for name, widget in names.items()}
    print("@@" + json.dumps({**ids, "foreign": foreign.model_id}), flush=True)
    seen, began, hooked, paused = [], time.time(), len(hooks), False
    while not control.stop.is_set() and time.time() - began < seconds:
        view.pump()
        time.sleep(0.02)
        seen.extend([c.action, c.value] for c in control.take())
        if control.pause.is_set() != paused:
            paused = not paused
            seen.append(["paused"] if paused else ["resumed"])
    ended = time.time()
    view.pump()
    print("@@" + json.dumps({
        "works": view._pump.works, "why_not": view._pump.why_not, "seen": seen,
        "seconds": ended - began, "ended": ended, "stopped": control.stop.is_set(),
        "ready": view.ready, "hooks": len(hooks) - hooked, "foreign": len(foreign_clicks),
        "answer": view._answer,
    }), flush=True)
    view.close(record)
"""


class Talk:
    """One kernel and what it publishes."""

    def __init__(self, version: str, home: Path) -> None:
        self.version = version
        self.manager = KernelManager(kernel_name="python3")
        env = {**os.environ, "PYTHONPATH": install(version), "IPYTHONDIR": str(home)}
        self.manager.start_kernel(env=env, cwd=str(home))
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    @property
    def has_subshells(self) -> bool:
        """Whether this kernel knows subshells."""
        return not self.version.startswith("6.")

    def close(self) -> None:
        """End the kernel."""
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)

    def subshell(self) -> str:
        """Open a subshell and return its id."""
        request = self.client.session.msg("create_subshell_request")
        self.client.control_channel.send(request)
        reply = self.client.get_control_msg(timeout=10)
        return str(reply["content"]["subshell_id"])

    def send(self, comm: str, data: dict[str, Any], subshell: str | None = None) -> str:
        """Send one comm message as a page would; return its id."""
        return self.ask("comm_msg", {"comm_id": comm, "data": data}, subshell)

    def ask(self, kind: str, content: dict[str, Any], subshell: str | None = None) -> str:
        """Send any message on the shell channel; return its id."""
        message = self.client.session.msg(kind, content)
        if subshell:
            message["header"]["subshell_id"] = subshell
        self.client.shell_channel.send(message)
        return str(message["header"]["msg_id"])

    def click(self, comm: str, subshell: str | None = None) -> str:
        """Press a button."""
        return self.send(comm, {"method": "custom", "content": {"event": "click"}}, subshell)

    def type_in(self, comm: str, text: str, subshell: str | None = None) -> str:
        """Type into a text box."""
        data = {"method": "update", "state": {"value": text}, "buffer_paths": []}
        return self.send(comm, data, subshell)

    def printed(self, timeout: float = 15) -> dict[str, Any]:
        """Return the next line of JSON that a cell has printed."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            message = self.client.get_iopub_msg(timeout=timeout)
            text = message["content"].get("text", "") if message["msg_type"] == "stream" else ""
            for line in text.splitlines():
                if line.startswith("@@"):
                    return dict(json.loads(line[2:]))
        pytest.fail(f"nothing printed within {timeout} s")

    def reply(self, request: str, timeout: float = 15) -> dict[str, Any]:
        """Return the reply to a request; others are dropped."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            message = self.client.get_shell_msg(timeout=timeout)
            if message["parent_header"].get("msg_id") == request:
                return dict(message)
        pytest.fail("no reply")

    def run(self, code: str) -> dict[str, Any]:
        """Run a cell to its end and return the reply's content."""
        content = self.reply(self.client.execute(code))["content"]
        return dict(content)

    def value(self, expression: str) -> Any:
        """Return an expression's value."""
        request = self.client.execute(
            f"print('@@' + json.dumps({{'v': {expression}}}), flush=True)"
        )
        found = self.printed()["v"]
        self.reply(request)
        return found


@pytest.fixture(scope="session", params=VERSIONS)
def talk(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Talk]:
    """Give one running kernel per version of ipykernel, shared by all checks."""
    one = Talk(request.param, tmp_path_factory.mktemp("kernel"))
    try:
        assert one.run(PREPARE)["status"] == "ok"
        assert one.value("__import__('ipykernel').__version__") == request.param
        yield one
    finally:
        one.close()
