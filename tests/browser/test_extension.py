"""The JupyterLab extension: status bar, list of runs, message, and repair after a page reload."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from conftest import write_notebook
from test_notebooks import AFTER, LOAD, TRAIN, open_lab, outputs, run_all

pytestmark = pytest.mark.browser

SOURCE = Path(__file__).parents[2] / "extension/labextension/static/remoteEntry.js"
ITEM = ".nbopt-status"
PICTURE = ".jp-OutputArea-output img[src^='data:image/svg']"
WIDGET = "application/vnd.jupyter.widget-view+json"

# The page remembers a sentence that must never be seen.
WATCH = """
new MutationObserver(() => {
    window.sawDead ||= /model not found/i.test(document.body?.textContent ?? '');
}).observe(document, {childList: true, subtree: true, characterData: true});
"""
AT_EPOCH = """at => {
    const item = document.querySelector('.nbopt-status');
    const epoch = item?.checkVisibility() && /epoch (\\d+)\\/2000/.exec(item.textContent);
    return epoch && Number(epoch[1]) > at ? Number(epoch[1]) : 0;
}"""


@pytest.fixture
def lab(page):
    """Return a page that runs the extension of this checkout, and what its console complains of."""
    said = []
    page.on("console", lambda m: said.append(f"{m.type}: {m.text}"))
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    page.on("dialog", lambda dialog: dialog.accept())
    page.route("**/nb-optimizer/static/remoteEntry.js*", lambda route: route.fulfill(path=SOURCE))
    page.add_init_script(WATCH)
    page.said = said
    return page


def wait_for_epoch(page, after=0):
    handle = page.wait_for_function(AT_EPOCH, arg=after, timeout=60_000)
    return handle.json_value()


def reload(page):
    """Reload the page; once more where JupyterLab opens no connection to the kernel.

    On a busy machine it once showed the notebook for a minute without one.
    """
    from playwright.sync_api import TimeoutError as PlaywrightTimeout

    for last in (False, True):
        try:
            with page.expect_websocket(lambda one: "/channels" in one.url, timeout=40_000):
                page.reload()
        except PlaywrightTimeout:
            if last:
                raise
        else:
            return


def save(page):
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")


def complaints(page):
    return [line for line in page.said if re.search(r"nb.optimizer|nbopt|remoteEntry", line)]


def test_a_training_is_shown_and_repaired_after_a_reload(lab, server, folder, screens):
    path = folder / "reload.ipynb"
    write_notebook(path, LOAD, TRAIN, AFTER)
    open_lab(lab, server, path.name)
    assert not lab.locator(ITEM).is_visible()
    run_all(lab)
    first = wait_for_epoch(lab)
    assert wait_for_epoch(lab, first) > first
    lab.wait_for_selector(".nbopt-panel")
    lab.screenshot(path=screens / "extension-training.png")
    save(lab)
    data = [o["data"] for o in outputs(path) if o["output_type"] == "display_data"]
    assert WIDGET in data[0]

    reload(lab)
    again = wait_for_epoch(lab)
    assert again > first
    lab.evaluate("() => window.jupyterapp.shell.activateById('jp-running-sessions')")
    run = lab.locator(
        ".jp-RunningSessions-item.jp-TreeItem", has=lab.get_by_title("Stop this training")
    )
    run.wait_for()
    lab.screenshot(path=screens / "extension-reloaded.png")
    run.hover()
    run.get_by_title("Stop this training").click()

    lab.wait_for_selector(PICTURE, timeout=30_000)
    lab.wait_for_function(
        "() => /stopped after/.test(document.querySelector('.nbopt-status').textContent)"
    )
    message = lab.locator(".Toastify__toast", has_text="reload.ipynb: training stopped")
    message.wait_for()
    lab.screenshot(path=screens / "extension-stopped.png")
    assert message.count() == 1
    assert run.count() == 0
    save(lab)
    data = [o["data"] for o in outputs(path) if o["output_type"] == "display_data"]
    assert [set(d) for d in data] == [{"text/html", "text/plain"}]
    assert "stopped" in "".join(data[0]["text/plain"])
    assert not lab.evaluate("window.sawDead")
    lab.wait_for_selector(ITEM, state="hidden", timeout=15_000)
    assert not complaints(lab)


def test_without_a_status_bar_nothing_breaks(lab, server, folder):
    path = folder / "seven-extension.ipynb"
    write_notebook(path, "1")
    lab.goto(f"{server}/notebooks/{path.name}")
    lab.wait_for_function("window.jupyterapp?.shell.currentWidget", timeout=60_000)
    lab.wait_for_function("window.jupyterapp.isPluginActivated('nb-optimizer:plugin')")
    assert not complaints(lab)


# A kernel that says of its runs what it is told to say, for states that are hard to train into.
BOARD = """
import json, os, pathlib, time, ipywidgets, traitlets

class Board(ipywidgets.Widget):
    _status = traitlets.Dict().tag(sync=True)

board, told = Board(), pathlib.Path("{name}.say")
while True:
    if told.exists():
        word = json.loads(told.read_text())
        told.unlink()
        if word == "die":
            os._exit(1)
        if word == "end":
            break
        board._status = dict(nbopt=1, run="{name}", epoch=1, epochs=9, **word)
    time.sleep(0.05)
"""
HIDE = "Object.defineProperty(document, 'hidden', {get: () => Boolean(window.isAway)})"
KERNEL_IS_IDLE = """file => {
    const {title, sessionContext} = window.jupyterapp.shell.currentWidget;
    return title.label === file && sessionContext?.session?.kernel?.status === 'idle';
}"""
IS_SHOWN = "file => window.jupyterapp.shell.currentWidget.title.label === file"
CODE = """code => {
    const {session} = window.jupyterapp.shell.currentWidget.sessionContext;
    session.kernel.requestExecute({code});
}"""


def say(folder, name, word):
    draft = folder / f"{name}.draft"
    draft.write_text(json.dumps(word))
    draft.rename(folder / f"{name}.say")


def open_board(page, folder, name):
    """Open a notebook whose kernel says what ``say`` tells it."""
    file = f"{name}.ipynb"
    write_notebook(folder / file, "1")
    page.evaluate("path => { window.jupyterapp.commands.execute('docmanager:open', {path}) }", file)
    page.wait_for_function(KERNEL_IS_IDLE, arg=file, timeout=60_000)
    page.evaluate(CODE, BOARD.replace("{name}", name))


def test_several_trainings_messages_and_lost_kernels(lab, server, folder, screens):
    lab.add_init_script(HIDE)
    write_notebook(folder / "zeroth.ipynb", "1")
    open_lab(lab, server, "zeroth.ipynb")
    open_board(lab, folder, "first")
    item, toasts = lab.locator(ITEM), lab.locator(".Toastify__toast")

    say(folder, "first", {"state": "running", "text": "epoch 1/9 \u00b7 <b>loss</b> 0.5"})
    lab.wait_for_selector(f"{ITEM} >> text='epoch 1/9 \u00b7 <b>loss</b> 0.5'")
    open_board(lab, folder, "second")
    say(folder, "second", {"state": "paused", "text": "epoch 2/9 \u00b7 loss 0.4"})
    lab.wait_for_selector(
        f"{ITEM} >> text='2 trainings \u00b7 paused \u00b7 epoch 2/9 \u00b7 loss 0.4'"
    )
    assert "first.ipynb: epoch 1/9" in item.get_attribute("title")
    lab.evaluate(
        "file => { window.jupyterapp.commands.execute('docmanager:open', {path: file}) }",
        "zeroth.ipynb",
    )
    lab.wait_for_function(IS_SHOWN, arg="zeroth.ipynb")
    item.click()
    lab.wait_for_function(IS_SHOWN, arg="second.ipynb")
    lab.evaluate("() => window.jupyterapp.shell.activateById('jp-running-sessions')")
    lab.wait_for_selector(".jp-RunningSessions-item >> text='epoch 1/9 \u00b7 <b>loss</b> 0.5'")
    lab.screenshot(path=screens / "extension-two.png")

    say(folder, "first", {"state": "completed", "text": "completed 9 epochs"})
    lab.wait_for_selector(f"{ITEM} >> text='paused \u00b7 epoch 2/9 \u00b7 loss 0.4'")
    assert toasts.count() == 0  # short, and somebody is looking
    lab.evaluate("() => { window.isAway = true }")
    for epoch in (3, 4):
        say(folder, "second", {"state": "running", "text": f"epoch {epoch}/9 \u00b7 loss NaN"})
        lab.wait_for_selector(f"{ITEM} >> text='epoch {epoch}/9 \u00b7 loss NaN'")
    assert toasts.count() == 1 and "second.ipynb" in toasts.inner_text()
    say(folder, "second", "die")
    lab.wait_for_selector(ITEM, state="hidden", timeout=20_000)
    lab.locator(".jp-Dialog").get_by_role("button", name="Ok").click()

    open_board(lab, folder, "third")
    say(folder, "third", {"state": "running", "text": "epoch 5/9"})
    lab.wait_for_selector(f"{ITEM} >> text='epoch 5/9'")
    say(folder, "third", {"state": "failed", "text": "failed after 5 of 9 epochs"})
    lab.wait_for_selector(
        ".Toastify__toast--error >> text=third.ipynb: training failed after 5 of 9 epochs"
    )
    open_board(lab, folder, "fourth")
    say(folder, "fourth", {"state": "running", "text": "epoch 6/9"})
    lab.wait_for_selector(f"{ITEM} >> text='epoch 6/9'")
    say(folder, "fourth", "end")  # its cell ends without a word
    lab.wait_for_selector(f"{ITEM} >> text='epoch 6/9'", state="detached")
    assert toasts.count() == 2
    lab.screenshot(path=screens / "extension-messages.png")
    assert not complaints(lab)
