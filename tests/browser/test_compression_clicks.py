"""The panel of a compression: files are chosen, exported and loaded by clicks, live and after."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from conftest import write_notebook
from test_controls import wait_for_panel
from test_notebooks import open_lab, run_all

pytestmark = pytest.mark.browser

MAKE = """
%load_ext nb_optimizer
import keras, numpy as np
rng = np.random.default_rng(0)
x = rng.normal(size=(3000, 16)).astype("float32")
y = (x @ rng.normal(size=(16, 4))).argmax(1)
keras.utils.set_random_seed(0)
model = keras.Sequential([
    keras.Input((16,)),
    keras.layers.Dense(96, activation="relu"),
    keras.layers.Dense(64, activation="relu"),
    keras.layers.Dense(4, activation="softmax"),
])
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x[:2000], y[:2000], epochs=5, verbose=0)
train, test = (x[:2000], y[:2000]), (x[2000:], y[2000:])
"""
SEARCH = (
    "%compress model --data test --train train --budget 2% --target gzip --epochs 1 --time 300s "
    "-o small"
)
PANEL = "small.panel()"
ROWS = ".nbopt-board .nbopt-rows tbody tr"
ANSWER = ".nbopt-board .nbopt-answer"


def press(page, name):
    page.locator(".jp-OutputArea-output").get_by_role("button", name=name, exact=True).last.click()


def wait_for_answer(page, text):
    page.wait_for_selector(f"{ANSWER}:has-text('{text}')", timeout=30_000)


def tells(page, folder, text):
    """Whether the journal of the newest training comes to tell something within 30 s."""
    for _ in range(120):
        runs = (folder / ".nb_optimizer" / "runs").glob("train-*/events.jsonl")
        if text in max(runs, key=lambda p: p.parent.stat().st_mtime).read_text():
            return True
        page.wait_for_timeout(250)
    return False


def test_files_are_exported_and_loaded_by_clicks(page, server, folder, screens):
    path = folder / "compression.ipynb"
    write_notebook(path, MAKE, SEARCH, PANEL)
    open_lab(page, server, path.name, "dark")
    run_all(page)
    page.wait_for_selector(f"{ROWS}:nth-child(4)", timeout=90_000)

    page.locator(".nbopt-board g[data-row='2']").first.click()
    wait_for_answer(page, "Chosen: ")
    page.get_by_placeholder("file or folder").fill("live.tflite")
    press(page, "Export file")
    wait_for_answer(page, "Written: ")
    page.screenshot(path=screens / "compression-live.png")
    page.wait_for_selector(f"{ROWS}:has-text('prune')", timeout=90_000)
    press(page, "Stop")

    page.wait_for_selector(".jp-Cell:nth-child(3) .nbopt-board tr.nbopt-best", timeout=60_000)
    page.locator(f"{ROWS}.nbopt-best button").click()
    wait_for_answer(page, "Chosen: ")
    page.get_by_placeholder("file or folder").fill("live.tflite")
    press(page, "Export file")
    wait_for_answer(page, "is there already")
    page.get_by_placeholder("file or folder").fill("after.tflite")
    press(page, "Export file")
    wait_for_answer(page, "Written: ")
    page.locator(f"{ROWS}:has-text('prune')").first.click()
    wait_for_answer(page, "Chosen: ")
    press(page, "Load model")
    wait_for_answer(page, "small_model is the Keras model of")
    page.screenshot(path=screens / "compression-panel.png")
    for name in ("live.tflite", "after.tflite"):
        assert (folder / name).read_bytes()[4:8] == b"TFL3"


@pytest.mark.parametrize("engine", ["native", "tfmot"])  # in the kernel, in another process
def test_the_panels_of_a_compression_and_of_its_fine_tuning_both_hear(
    engine, page, server, folder, screens
):
    if engine == "tfmot":
        pytest.importorskip("tf_keras")
    path = folder / f"both-{engine}.ipynb"
    tune = "%compress model --data test --train train --prune 0.5 --epochs 5000 -o small"
    tune += f" --engine {engine}"
    write_notebook(path, MAKE, tune, "print('ended:', small.status)")
    open_lab(page, server, path.name)
    run_all(page)
    page.wait_for_selector(".nbopt-panel", timeout=90_000)
    page.wait_for_selector(ROWS, timeout=30_000)
    wait_for_panel(page, r"Epoch \d\d+ of 5000")
    press(page, "Pause")
    page.wait_for_selector(".nbopt-panel:has-text('Paused')", timeout=30_000)
    assert tells(page, folder, '"action":"pause"')  # or a resume could overtake it
    press(page, "Resume")
    page.wait_for_selector(".nbopt-panel:has-text('Running')", timeout=30_000)
    page.locator(ROWS).first.click()
    wait_for_answer(page, "Chosen: float32")
    page.screenshot(path=screens / f"compression-both-{engine}.png")
    assert tells(page, folder, '"action":"resume"')
    page.get_by_role("button", name="Stop", exact=True).first.click()
    page.wait_for_selector("text=ended: stopped", timeout=60_000)
    assert tells(page, folder, '"status":"stopped"')
