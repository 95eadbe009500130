"""A person trains in JupyterLab and in Notebook 7: live panel, Stop, save, reload."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from conftest import write_notebook

pytestmark = pytest.mark.browser

LOAD = """
%load_ext nb_optimizer
import keras, numpy as np
rng = np.random.default_rng(0)
x = rng.random((6000, 8), dtype="float32")
y = (x.sum(axis=1) + rng.normal(0, 0.3, 6000) > 4).astype("int32")
"""
TRAIN = """%%train --patience 300 --accelerate off -o run
keras.utils.set_random_seed(1)
model = keras.Sequential([
    keras.Input((8,)),
    keras.layers.Dense(32, activation="relu"),
    keras.layers.Dense(2, activation="softmax"),
])
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
history = model.fit(x, y, validation_split=0.2, epochs=2000)
"""
AFTER = "print('after:', run.status, run.best.epoch == np.argmin(run.history['val_loss']) + 1)"

THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
HAS_BEGUN = (
    "() => [...document.querySelectorAll('.jp-InputPrompt')]"
    ".some(prompt => /\\[[*\\d]/.test(prompt.innerText))"
)
HAS_PAGE = "window.jupyterapp && window.jupyterapp.shell.currentWidget"


def wait_for_kernel(page):
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
    page.evaluate(
        "async () => { const s = window.jupyterapp.shell.currentWidget.sessionContext;"
        " await s.ready; await s.session.kernel.info; }"
    )


def open_lab(page, server, name, theme=None):
    page.goto(f"{server}/lab/tree/{name}?reset")
    page.wait_for_function(HAS_PAGE, timeout=60_000)
    wait_for_kernel(page)
    if theme:
        change = "t => window.jupyterapp.commands.execute('apputils:change-theme', {theme: t})"
        page.evaluate(change, THEMES[theme])
    page.evaluate("() => window.jupyterapp.shell.collapseLeft()")


def run_all(page):
    """Run all cells; a page that is still finding its notebook lets the command pass unheard."""
    from playwright.sync_api import TimeoutError as PlaywrightTimeout

    for _ in range(6):
        page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells') }")
        with contextlib.suppress(PlaywrightTimeout):
            page.wait_for_function(HAS_BEGUN, timeout=10_000)
            return
    pytest.fail("no cell has begun to run")


def outputs(path):
    cells = json.loads(path.read_text())["cells"]
    return [output for cell in cells for output in cell["outputs"]]


def check_saved(path):
    """The saved file holds the static picture and nothing of a widget."""
    data = [o["data"] for o in outputs(path) if o["output_type"] == "display_data"]
    assert len(data) == 1
    assert set(data[0]) == {"text/html", "text/plain"}
    html, text = "".join(data[0]["text/html"]), "".join(data[0]["text/plain"])
    assert "data:image/svg+xml" in html and "<script" not in html
    assert "stopped" in text
    assert len(html) + len(text) < 20_000


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_lab_trains_live_stops_saves_and_shows_it_again(page, server, folder, screens, theme):
    path = folder / f"{theme}.ipynb"
    write_notebook(path, LOAD, TRAIN, AFTER)
    open_lab(page, server, path.name, theme)
    run_all(page)
    page.wait_for_selector(".nbopt-panel", timeout=45_000)
    page.wait_for_function(
        "() => /Epoch ([3-9]|\\\\d\\\\d)/.test(document.querySelector('.nbopt-panel').innerText)",
        timeout=60_000,
    )
    page.locator(".jp-OutputArea-output .nbopt-panel").last.scroll_into_view_if_needed()
    page.wait_for_timeout(1500)
    page.screenshot(path=screens / f"lab-{theme}-live.png")
    page.get_by_role("button", name="Stop", exact=True).first.click()
    page.wait_for_selector(".jp-OutputArea-output img[src^='data:image/svg']", timeout=30_000)
    page.wait_for_selector("text=after: stopped True", timeout=30_000)
    page.wait_for_timeout(500)
    page.screenshot(path=screens / f"lab-{theme}-stopped.png")
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    page.wait_for_timeout(1500)
    check_saved(path)
    open_lab(page, server, path.name, theme)
    page.wait_for_selector(".jp-OutputArea-output img[src^='data:image/svg']", timeout=30_000)
    assert "model not found" not in page.content()
    page.wait_for_timeout(1000)
    page.screenshot(path=screens / f"lab-{theme}-reopened.png")


def test_notebook_7_trains_live_and_stops(page, server, folder, screens):
    path = folder / "seven.ipynb"
    write_notebook(path, LOAD, TRAIN, AFTER)
    page.goto(f"{server}/notebooks/{path.name}")
    page.wait_for_function(HAS_PAGE, timeout=60_000)
    wait_for_kernel(page)
    run_all(page)
    page.wait_for_selector(".nbopt-panel", timeout=45_000)
    page.wait_for_timeout(2500)
    page.screenshot(path=screens / "notebook7-live.png")
    page.get_by_role("button", name="Stop", exact=True).first.click()
    page.wait_for_selector("text=after: stopped True", timeout=30_000)
    page.screenshot(path=screens / "notebook7-stopped.png")
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    page.wait_for_timeout(1500)
    check_saved(path)
