"""``%%tune`` in a real kernel: its result, its buttons, its life beyond the kernel."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

pytestmark = pytest.mark.kernel

PREPARE = """
%load_ext nb_optimizer
import json, numpy as np
rng = np.random.default_rng(0)
x = rng.random((400, 4), dtype="float32")
y = (x.sum(axis=1) > 2).astype("int32")
"""
HEAVY = "import keras; from keras import layers"
CELL = """%%tune lr=log(1e-3,1e-1) units=4..16:4 --on val_accuracy --workers 1 --seed 1 {more}
model = keras.Sequential([keras.Input((4,)), layers.Dense(units), layers.Dense(2)])
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(keras.optimizers.Adam(lr), loss, metrics=["accuracy"])
history = model.fit(x, y, validation_split=0.25, epochs={epochs})
"""


class Kernel:
    """One kernel; ``run`` returns the messages of a cell."""

    def __init__(self, folder, *, light=False):
        from jupyter_client.manager import start_new_kernel

        self.folder = folder
        self.manager, self.client = start_new_kernel(
            kernel_name="python3", cwd=str(folder), startup_timeout=60
        )
        self.run(PREPARE)
        if not light:
            self.run(HEAVY)

    def ask(self, code, metadata=None):
        message = self.client.session.msg("execute_request", {"code": code, "silent": False})
        message["metadata"] = metadata or {}
        self.client.shell_channel.send(message)
        return message["header"]["msg_id"]

    def messages(self, request, until, seconds=120):
        found, end = [], time.monotonic() + seconds
        while time.monotonic() < end:
            message = self.client.get_iopub_msg(timeout=seconds)
            if message["parent_header"].get("msg_id") == request or "comm" in message["msg_type"]:
                found.append(message)
            if until(message):
                return found
        pytest.fail("not within the time")

    def run(self, code, *, metadata=None, fails=False):
        request = self.ask(code, metadata)
        found = self.messages(request, lambda m: idle(m, request))
        while (reply := self.client.get_shell_msg(timeout=30))["parent_header"][
            "msg_id"
        ] != request:
            pass
        assert (reply["content"]["status"] == "error") == fails, (reply, text(found))
        return found

    def value(self, expression):
        found = self.run(f"print(json.dumps({expression}))")
        return json.loads("".join(text(found)))

    def close(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


def idle(message, request):
    is_status = message["msg_type"] == "status" and message["content"]["execution_state"] == "idle"
    return is_status and message["parent_header"].get("msg_id") == request


def text(messages):
    return [m["content"]["text"] for m in messages if m["msg_type"] == "stream"]


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    one = Kernel(tmp_path_factory.mktemp("tune"))
    yield one
    one.close()


def journal(folder, number, seconds=60):
    path = folder / ".nb_optimizer" / "runs" / f"tune-{number}" / "search.jsonl"
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        lines = path.read_text().splitlines() if path.is_file() else []
        yield [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        time.sleep(0.05)
    pytest.fail("not within the time")


def wait(folder, number, event, count=1, **more):
    for events in journal(folder, number):
        found = [e for e in events if e["event"] == event]
        if len([e for e in found if all(e[k] == v for k, v in more.items())]) >= count:
            return events
    return []


def test_a_search_binds_its_best_and_leaves_one_static_picture(kernel):
    found = kernel.run(CELL.format(epochs=3, more="--trials 4 -o search"))
    pictures = [m for m in found if m["msg_type"] in ("display_data", "execute_result")]
    assert len(pictures) == 1
    data = pictures[0]["content"]["data"]
    assert set(data) == {"text/html", "text/plain"} and "<script" not in data["text/html"]
    assert len(data["text/html"]) < 60_000 and "best val_accuracy" in data["text/plain"]
    assert any("trial 1/4" in line for line in text(found))
    wanted = "search.status, search.best_trial.score, search.best_values, lr, units"
    status, best, values, lr, units, epochs = kernel.value(f"[{wanted}, len(history.epoch)]")
    assert status == "completed" and values == {"lr": lr, "units": units} and epochs <= 3
    score = kernel.value("model.evaluate(x[300:], y[300:], verbose=0)[1]")
    assert score == pytest.approx(best, abs=1e-6)
    assert kernel.value("search.best_model is model")
    shown = kernel.run("search")
    assert [m["msg_type"] for m in shown if "d" in m["msg_type"]].count("display_data") == 1
    code = kernel.value("search.to_code()")
    assert f"lr = {lr!r}" in code
    listed = kernel.run("%runs")
    assert any("tune-1" in str(m["content"]) and "in trial" in str(m["content"]) for m in listed)


def test_mistakes_are_one_line_and_start_nothing(kernel):
    for line, told in (
        ("lr=log(0,1)", "above 0"),
        ("lr=1e-3..1e-1", "lin(1e-3,1e-1)"),
        ("lrr=log(1e-3,1)", 'Did you mean "lr"'),
        ("lr=log(1e-3,1) --trials 0", "at least 1"),
        ("lr=log(1e-3,1) --trails 3", 'Did you mean "--trials"'),
        ("lr=log(1e-3,1) lr=1|2", "twice"),
        ("bulid_model", "no function"),
        ("--trials 3 lr=log(1e-3,1)", "before the options"),
    ):
        found = kernel.run(f"%%tune {line}\nprint(lr)", fails=True)
        said = "".join(text(found)).strip()
        assert said.startswith("UsageError: ") and told in said and "\n" not in said, said
    assert len(list((kernel.folder / ".nb_optimizer" / "runs").iterdir())) == 1


def test_a_fault_of_the_cell_is_raised_at_its_line(kernel):
    cell = "%%tune a=1..9 --workers 1\nb = a + 1\nc = np.nothing_like_it\nmodel.fit(x, y)"
    found = kernel.run(cell, fails=True)
    (error,) = [m["content"] for m in found if m["msg_type"] == "error"]
    assert error["ename"] == "AttributeError"
    shown = "\n".join(error["traceback"])
    assert "nothing_like_it" in shown and "line 2" in shown


def test_hp_and_a_build_function(kernel):
    kernel.run("""
def build_model(hp):
    kind = hp.Choice("kind", ["wide", "deep"])
    model = keras.Sequential([keras.Input((4,))])
    if kind == "wide":
        with hp.conditional_scope("kind", ["wide"]):
            model.add(layers.Dense(hp.Int("units", 4, 8, step=4)))
    else:
        with hp.conditional_scope("kind", ["deep"]):
            for _ in range(hp.Int("layers", 1, 2)):
                model.add(layers.Dense(4))
    model.add(layers.Dense(2, activation="softmax"))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
""")
    kernel.run(
        "%%tune build_model --on val_loss --search grid --workers 1 -o built\n"
        "model.fit(x, y, validation_split=0.25, epochs=1)"
    )
    values = kernel.value("[t.values for t in built.trials]")
    assert len(values) == 4 and {v["kind"] for v in values} == {"wide", "deep"}
    assert len({json.dumps(v, sort_keys=True) for v in values}) == 4
    assert all(("units" in v) == (v["kind"] == "wide") for v in values)


def test_buttons_of_the_panel_work_while_the_cell_is_busy(kernel):
    request = kernel.ask(CELL.format(epochs=9000, more="--search random"), {"cellId": "page"})
    opened = kernel.messages(
        request,
        lambda m: m["msg_type"] == "display_data" and m["parent_header"]["msg_id"] == request,
    )
    ids = {}
    for m in opened:
        if m["msg_type"] == "comm_open":
            state = m["content"]["data"].get("state", {})
            name = state.get("description") or state.get("placeholder") or state.get("_model_name")
            ids[name] = m["content"]["comm_id"]

    def send(comm, data):
        message = kernel.client.session.msg("comm_msg", {"comm_id": ids[comm], "data": data})
        kernel.client.shell_channel.send(message)

    def click(name):
        send(name, {"method": "custom", "content": {"event": "click"}})

    def type_in(name, text):
        send(name, {"method": "update", "state": {"value": text}, "buffer_paths": []})

    send("AnyModel", {"method": "custom", "content": {"type": "ready"}})
    number = max(int(p.name[5:]) for p in (kernel.folder / ".nb_optimizer/runs").glob("tune-*"))
    wait(kernel.folder, number, "TrialEpoch")
    click("Pause")
    wait(kernel.folder, number, "TrialEnd", status="waiting")
    click("Pause")  # it is Resume now
    wait(kernel.folder, number, "TrialBegin", count=2, trial=1)
    type_in("lr=0.01, units=64", "lr=0.02, units=12")
    click("Try values")
    type_in("trial", "1")
    for ended in journal(kernel.folder, number):
        if any(e["event"] == "TrialEnd" and e["status"] == "pruned" for e in ended):
            break
        click("Skip trial")  # refused until the panel has seen that the trial runs again
    assert [e["reason"] for e in ended if e["event"] == "TrialEnd"][-1] == "skipped by hand"
    begun = wait(kernel.folder, number, "TrialBegin", trial=2)
    (second,) = [e for e in begun if e["event"] == "TrialBegin" and e["trial"] == 2]
    assert (second["origin"], second["values"]) == ("given", {"lr": 0.02, "units": 12})
    wait(kernel.folder, number, "TrialEpoch", trial=2)
    click("Stop")
    kernel.messages(request, lambda m: idle(m, request))
    end = wait(kernel.folder, number, "SearchEnd")[-1]
    assert end["status"] == "stopped" and "Stop button" in end["reason"]


def test_another_kernel_attaches_to_a_live_search_and_stops_it(kernel):
    request = kernel.ask(CELL.format(epochs=400, more="--search random -o watched"))
    runs = kernel.folder / ".nb_optimizer" / "runs"
    number = 1 + max(int(p.name[5:]) for p in runs.glob("tune-*"))
    wait(kernel.folder, number, "TrialEpoch")
    other = Kernel(kernel.folder, light=True)
    attached = other.ask(f"seen = get_ipython().run_line_magic('runs', 'attach {number}')")
    other.messages(attached, lambda m: f"tune-{number}: " in str(m["content"].get("text")))
    other.manager.interrupt_kernel()  # ends the view alone
    other.messages(attached, lambda m: idle(m, attached))
    assert other.value("seen.status") == "running"
    said = "".join(text(other.run(f"%runs stop {number}")))
    assert "will stop once its trials have saved their state" in said
    kernel.messages(request, lambda m: idle(m, request))
    status, reason = kernel.value("[watched.status, watched.reason]")
    assert (status, reason) == ("stopped", "asked for with %runs stop")
    other.close()


def test_the_search_outlives_its_kernel_and_an_interrupt_keeps_the_best(tmp_path):
    kernel = Kernel(tmp_path)
    kernel.ask(CELL.format(epochs=2, more="--trials 4 --search random"))
    wait(tmp_path, 1, "TrialEnd")
    os.kill(kernel.manager.provisioner.pid, signal.SIGKILL)
    kernel.close()
    assert wait(tmp_path, 1, "SearchEnd")[-1]["status"] == "completed"
    kernel = Kernel(tmp_path)
    shown = kernel.run("found = get_ipython().run_line_magic('runs', 'attach 1')")
    assert "4 completed" in str([m["content"] for m in shown])
    assert kernel.value("len(found.trials)") == 4
    assert kernel.value("found.best_model.count_params()") > 10
    request = kernel.ask(CELL.format(epochs=300, more="--trials 9 --search random -o cut"))
    wait(tmp_path, 2, "TrialEpoch", count=2)
    kernel.manager.interrupt_kernel()
    kernel.messages(request, lambda m: idle(m, request))
    status, reason, lr, values = kernel.value("[cut.status, cut.reason, lr, cut.best_values]")
    assert (status, reason, lr) == ("stopped", "the kernel was interrupted", values["lr"])
    kernel.close()
