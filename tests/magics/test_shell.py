"""The magics in a real IPython shell."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.fixture(scope="module")
def shell():
    from IPython.core.interactiveshell import InteractiveShell

    made = InteractiveShell.instance()
    yield made
    InteractiveShell.clear_instance()


@pytest.fixture
def loaded(shell, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shell.run_line_magic("load_ext", "nb_optimizer")
    yield shell
    shell.run_line_magic("unload_ext", "nb_optimizer")


def state_of(shell):
    import signal

    magics = {k: sorted(v) for k, v in shell.magics_manager.magics.items()}
    formatters = {
        k: (dict(f.type_printers), dict(f.deferred_printers))
        for k, f in shell.display_formatter.formatters.items()
    }
    matchers = list(shell.Completer.custom_matchers)
    handler = signal.getsignal(signal.SIGINT)
    return magics, formatters, matchers, list(shell.configurables), handler


def test_unload_gives_everything_back(shell):
    shell.run_line_magic("load_ext", "nb_optimizer")  # once, so that imports are done
    shell.run_line_magic("unload_ext", "nb_optimizer")
    before = state_of(shell)
    shell.run_line_magic("load_ext", "nb_optimizer")
    shell.run_line_magic("reload_ext", "nb_optimizer")
    assert "train" in shell.magics_manager.magics["cell"]
    shell.run_line_magic("unload_ext", "nb_optimizer")
    assert state_of(shell) == before


def test_a_taken_name_is_left_to_its_owner(shell, capsys):
    def owner(line, cell):
        return "theirs"

    shell.register_magic_function(owner, "cell", "train")
    try:
        shell.run_line_magic("load_ext", "nb_optimizer")
        assert "use %%nbo_train" in capsys.readouterr().out
        assert shell.magics_manager.magics["cell"]["train"] is owner
        assert "nbo_train" in shell.magics_manager.magics["cell"]
        shell.run_line_magic("unload_ext", "nb_optimizer")
        assert shell.magics_manager.magics["cell"]["train"] is owner
    finally:
        del shell.magics_manager.magics["cell"]["train"]


def test_load_prints_nothing_and_imports_no_framework():
    code = (
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance()\n"
        "shell.run_line_magic('load_ext', 'nb_optimizer')\n"
        "import sys\n"
        "heavy = {'tensorflow', 'keras', 'tf_keras', 'ipywidgets', 'matplotlib', 'anywidget'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_cell_value_and_names(loaded):
    value = loaded.run_cell_magic("train", "", "a = 2\na + 40")
    assert value == 42
    assert loaded.user_ns["a"] == 2


def test_cell_that_trains_nothing_gets_one_line(loaded, capsys):
    loaded.run_cell_magic("train", "", "a = 1")
    assert capsys.readouterr().out == (
        "This cell trained nothing: it called no model.fit(...) of Keras.\n"
    )


def test_mistakes_are_usage_errors_of_one_line(loaded, tmp_path):
    from IPython.core.error import UsageError

    blocked = tmp_path / "a-file"
    blocked.touch()
    for line in ("--patienc 3", "--epochs nope", "--live tv", "--devices 2"):
        with pytest.raises(UsageError) as told:
            loaded.run_cell_magic("train", line, "raise SystemExit")
        assert "\n" not in str(told.value)
    loaded.run_line_magic("config", f"NbOptimizer.directory = '{blocked}'")
    try:
        with pytest.raises(UsageError, match="Runs cannot be written to"):
            loaded.run_cell_magic("train", "", "raise SystemExit")
    finally:
        loaded.run_line_magic("config", "NbOptimizer.directory = '.nb_optimizer'")


def test_errors_of_the_cell_are_its_own(loaded):
    result = loaded.run_cell("%%train\nb = 1\n1 / 0", store_history=True)
    assert isinstance(result.error_in_exec, ZeroDivisionError)


def test_runs_list_show_compare_remove(loaded, capsys):
    cell = (
        "import keras, numpy as np\n"
        "m = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])\n"
        "m.compile('adam', 'mse')\n"
        "h = m.fit(np.zeros((8, 2)), np.zeros((8, 1)), epochs=2)\n"
    )
    loaded.run_cell_magic("train", "--name first -o run", cell)
    loaded.run_cell_magic("train", "", cell)
    run = loaded.user_ns["run"]
    assert (run.status, run.name, run.id) == ("completed", "first", "train-1")
    table = loaded.run_line_magic("runs", "")
    assert len(table) == 2 and "train-2" in repr(table)
    assert loaded.run_line_magic("runs", "show first").id == "train-1"
    compared = loaded.run_line_magic("runs", "compare 1 2")
    assert "train-1" in repr(compared) and "<img" in compared._repr_html_()
    from IPython.core.error import UsageError

    with pytest.raises(UsageError, match='Did you mean "first"'):
        loaded.run_line_magic("runs", "show frist")
    with pytest.raises(UsageError, match="train-1 is not running; it is completed"):
        loaded.run_line_magic("runs", "stop 1")
    loaded.run_line_magic("runs", "remove 1")
    assert len(loaded.run_line_magic("runs", "")) == 1
    assert "epoch 2/2" in capsys.readouterr().out


def test_help_lists_every_option(loaded):
    from nb_optimizer.magics import train

    text = loaded.find_cell_magic("train").__doc__
    assert all(flag in text for flag in train.OPTIONS)


def test_config_lists_defaults(loaded, capsys):
    loaded.run_line_magic("config", "NbOptimizer")
    out = capsys.readouterr().out
    assert "NbOptimizer.patience" in out and "NbOptimizer.directory" in out
    loaded.run_line_magic("config", "NbOptimizer.patience = 4")
    try:
        loaded.run_cell_magic("train", "", "pass")
    finally:
        loaded.run_line_magic("config", "NbOptimizer.patience = None")
