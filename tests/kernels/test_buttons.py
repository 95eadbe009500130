"""The panel's buttons work while the cell that trains is running, on every ipykernel."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.kernels.conftest import Talk

pytestmark = pytest.mark.kernel
QUICK = 3.0  # seconds; the cell would go on for 8


@pytest.fixture(params=["main", "subshell"])
def address(request: pytest.FixtureRequest, talk: Talk) -> str | None:
    """Give the subshell that the page addresses, or ``None`` for the main shell."""
    if request.param == "main":
        return None
    if not talk.has_subshells:
        pytest.skip(f"ipykernel {talk.version} has no subshells")
    return talk.subshell()


def test_stop_is_handled_while_the_cell_runs_and_queued_cells_follow(
    talk: Talk, address: str | None
) -> None:
    """Stop ends the loop at once; two queued cells run afterwards, in order."""
    cell = talk.client.execute("train()")
    ids = talk.printed()
    first = talk.client.execute("order.append('a')")
    second = talk.client.execute("order.append('b')")
    time.sleep(0.2)  # the queued cells are picked up by the pump before the click comes
    pressed = time.time()
    talk.click(ids["stop"], address)
    told = talk.printed()
    replies = [talk.reply(cell), talk.reply(first), talk.reply(second)]
    assert told["stopped"]
    assert told["works"], told["why_not"]
    assert told["ended"] - pressed < QUICK
    counts = [r["content"]["execution_count"] for r in replies]
    assert counts == [counts[0], counts[0] + 1, counts[0] + 2]
    assert talk.value("order[-2:]") == ["a", "b"]


def test_pause_resume_rate_and_epochs_arrive(talk: Talk, address: str | None) -> None:
    """Every control reaches ``Control``, and the page's handshake reaches the view."""
    cell = talk.client.execute("train()")
    ids = talk.printed()
    ready: dict[str, Any] = {"method": "custom", "content": {"type": "ready"}}
    talk.send(ids["board"], ready, address)
    for name in ("pause", "more", "pause", "best"):
        talk.click(ids[name], address)
        time.sleep(0.15)
    talk.type_in(ids["rate"], "0.0003", address)
    time.sleep(0.15)
    talk.click(ids["set"], address)
    time.sleep(0.15)
    talk.click(ids["stop"], address)
    told = talk.printed()
    talk.reply(cell)
    wanted = [["paused"], ["more_epochs", 5.0], ["resumed"], ["back_to_best", None]]
    assert told["seen"] == [*wanted, ["learning_rate", 0.0003]]
    assert told["ready"]
    assert told["seconds"] < QUICK


def test_foreign_widgets_wait_for_the_end_of_the_cell(talk: Talk) -> None:
    """Another widget's callback runs after the cell, and none of IPython's events fire in it."""
    cell = talk.client.execute("train()")
    ids = talk.printed()
    talk.click(ids["foreign"])
    time.sleep(0.3)
    talk.click(ids["stop"])
    told = talk.printed()
    talk.reply(cell)
    assert told["foreign"] == 0
    assert told["hooks"] == 0
    assert talk.value("len(foreign_clicks)") == 1
    talk.run("foreign_clicks.clear()")


def test_queued_cells_are_aborted_after_a_failing_cell(talk: Talk) -> None:
    """An error after polling still aborts what was queued, and only that."""
    talk.run("order.clear()")
    failing = talk.client.execute("train(1.0); 1 / 0")
    talk.printed()
    queued = [talk.client.execute(f"order.append({n})") for n in range(3)]
    talk.printed()
    assert talk.reply(failing)["content"]["status"] == "error"
    states = [talk.reply(request)["content"]["status"] for request in queued]
    assert states == ["aborted"] * 3
    time.sleep(0.3)
    assert talk.run("order.append('later')")["status"] == "ok"
    assert talk.value("order") == ["later"]


def test_a_reloaded_page_is_answered_while_the_cell_runs(talk: Talk) -> None:
    """The questions a page asks before it can show a widget are answered during the cell."""
    cell = talk.client.execute("train()")
    ids = talk.printed()
    asked = time.time()
    info = talk.reply(talk.ask("kernel_info_request", {}), timeout=QUICK)
    comms = talk.reply(talk.ask("comm_info_request", {"target_name": "jupyter.widget"}), QUICK)
    state = talk.send(ids["board"], {"method": "request_state"})
    content = _state(talk, state)
    seconds = time.time() - asked
    talk.click(ids["stop"])
    told = talk.printed()
    talk.reply(cell)
    assert info["content"]["implementation"] == "ipython"
    assert ids["board"] in comms["content"]["comms"]
    assert content["data"]["state"]["_status"]["run"] == "r1"
    assert seconds < QUICK
    assert told["stopped"]


def test_the_kernel_stays_busy_for_the_page(talk: Talk) -> None:
    """The last status before the cell's end is busy, with the cell as its parent."""
    cell = talk.client.execute("train()")
    ids = talk.printed()
    click = talk.click(ids["pause"])
    states = []
    while not states or states[-1] != ("busy", cell):
        message = talk.client.get_iopub_msg(timeout=QUICK)
        if message["msg_type"] == "status":
            parent = message["parent_header"]["msg_id"]
            states.append((message["content"]["execution_state"], parent))
    talk.click(ids["stop"])
    talk.printed()
    talk.reply(cell)
    assert states == [("busy", click), ("idle", click), ("busy", cell)]


def test_the_pump_gives_up_for_good_and_says_why(talk: Talk) -> None:
    talk.run("""
import threading
from nb_optimizer.views.pump import Pump
broken = Pump(frozenset)
fine = broken.works
broken._stream = None
broken.poll(); broken.poll()
found = []
thread = threading.Thread(target=lambda: found.append(Pump(frozenset)))
thread.start(); thread.join()
""")
    assert talk.value("fine")
    assert not talk.value("broken.works")
    assert "AttributeError" in talk.value("broken.why_not")
    assert "main thread" in talk.value("found[0].why_not")


def _state(talk: Talk, request: str) -> dict[str, Any]:
    while True:
        message = talk.client.get_iopub_msg(timeout=QUICK)
        is_answer = message["parent_header"].get("msg_id") == request
        if is_answer and message["msg_type"] == "comm_msg":
            return dict(message["content"])
