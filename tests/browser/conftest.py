"""A JupyterLab server and a Chromium, or a printed reason why there is none."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest
from ipykernels import VERSIONS, install

SCREENS = Path(os.environ.get("NBO_SCREENS", Path(__file__).parents[2] / ".cache" / "screens"))


@pytest.fixture(scope="session")
def chromium():
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next((p for n in names if (p := shutil.which(n))), None)
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("CI must have a Chromium; tests/browser/install_chromium.sh installs it")
        pytest.skip("no Chromium here; see tests/browser/install_chromium.sh")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("notebooks")


@pytest.fixture(scope="session")
def server(folder, tmp_path_factory):
    """Yield the address of a JupyterLab that serves ``folder``."""
    home = tmp_path_factory.mktemp("home")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    names = ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR")
    env = {**os.environ, **{f"JUPYTER_{n}": str(home / n) for n in names}}
    env |= {"IPYTHONDIR": str(home / "ipython"), "JUPYTERLAB_SETTINGS_DIR": str(home / "settings")}
    # JupyterLab's question about its news would lie over the picture.
    quiet = home / "settings" / "@jupyterlab" / "apputils-extension"
    quiet.mkdir(parents=True)
    (quiet / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}')
    for version in VERSIONS:
        add_kernel(home / "DATA_DIR" / "kernels", version)
    options = (
        f"--port={port} --no-browser --allow-root --IdentityProvider.token= "
        f"--ServerApp.root_dir={folder} --LabApp.expose_app_in_browser=True "
        "--JupyterNotebookApp.expose_app_in_browser=True "
        "--LabApp.news_url=None --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"
    )
    command = [sys.executable, "-m", "jupyterlab", *options.split()]
    log = (home / "log").open("wb")
    process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    for _ in range(240):
        try:
            urllib.request.urlopen(address + "/api", timeout=1)  # noqa: S310 - our own server
            break
        except OSError:
            time.sleep(0.25)
    else:
        pytest.fail((home / "log").read_text()[-2000:])
    yield address
    process.terminate()
    process.wait(20)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Add what the page showed to the report of a test that failed."""
    report = yield
    page = item.funcargs.get("page")
    if report.when == "call" and report.failed and page is not None:
        name = "".join(c if c.isalnum() else "-" for c in item.name)
        with contextlib.suppress(Exception):  # the page may be what has failed
            SCREENS.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=SCREENS / f"failed-{name}.png")
            report.sections.append(("the page", page.inner_text("body")[-4000:]))
        report.sections.append(("the page's console", "\n".join(page.console_lines[-40:])))
        report.sections.append(("the newest journal", newest_journal(item.funcargs.get("folder"))))
    return report


def newest_journal(folder):
    """Return the last lines of the run that wrote last: did it go on behind the page?"""
    journals = folder.rglob("events.jsonl") if folder else ()
    newest = max(journals, key=lambda p: p.stat().st_mtime, default=None)
    if newest is None:
        return "none"
    silent = time.time() - newest.stat().st_mtime
    lines = newest.read_text().splitlines()[-5:]
    return "\n".join(
        [f"{newest.parent.name}, silent for {silent:.0f} s", *(n[:300] for n in lines)]
    )


@pytest.fixture
def page(chromium):
    made = chromium.new_page(viewport={"width": 1200, "height": 1100})
    made.on("dialog", lambda dialog: dialog.accept())  # leaves a page that is not saved
    made.console_lines = []
    made.on("console", lambda m: made.console_lines.append(f"{m.type}: {m.text}"[:300]))
    yield made
    made.close()


@pytest.fixture(scope="session")
def screens():
    SCREENS.mkdir(parents=True, exist_ok=True)
    return SCREENS


def add_kernel(folder, version):
    """Offer a kernel that runs this version of ipykernel, where it can be installed."""
    try:
        path = install(version)
    except pytest.skip.Exception:
        return  # the tests with this version say why they are skipped
    (folder / version).mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": command, "language": "python", "env": {"PYTHONPATH": path}}
    spec["display_name"] = f"ipykernel {version}"
    (folder / version / "kernel.json").write_text(json.dumps(spec))


def write_notebook(path, *sources, kernel="python3"):
    """Write a notebook with these code cells."""
    notebook = nbformat.v4.new_notebook()
    notebook.metadata["kernelspec"] = {"name": kernel, "display_name": kernel}
    notebook.cells = [nbformat.v4.new_code_cell(s) for s in sources]
    nbformat.write(notebook, path)
