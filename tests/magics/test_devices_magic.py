"""``%devices``, and the option ``--devices`` in a real shell."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def shell():
    from IPython.core.interactiveshell import InteractiveShell

    made = InteractiveShell.instance()
    made.run_line_magic("load_ext", "nb_optimizer")
    yield made
    made.run_line_magic("unload_ext", "nb_optimizer")
    InteractiveShell.clear_instance()


def test_the_table_says_what_would_be_picked_and_why(shell):
    table = shell.run_line_magic("devices", "-o seen")
    assert table is shell.user_ns["seen"]
    assert "--devices auto: no strategy" in repr(table)
    assert [used for _, _, used in table.rows] == ["yes"]
    page = table._repr_html_()
    assert "no strategy" in page and "<script" not in page


def test_a_wish_is_shown_without_dividing_anything(shell):
    table = shell.run_line_magic("devices", "cpu:2")
    assert "MirroredStrategy on CPU:0, CPU:1" in repr(table)
    assert [name for name, _, used in table.rows if used] == ["CPU:0", "CPU:1"]
    assert shell.run_line_magic("devices", "").inventory.logical_cpus == 1


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("tpu", "sees no TPU here. One can be had in Colab"),
        ("gpu:0,1", "sees no GPU here"),
        ("cpu:2 gpu", "%devices takes one wish"),
        ("--machines x", "There is no option"),
    ],
)
def test_mistakes_are_usage_errors_of_one_line(shell, line, says):
    from IPython.core.error import UsageError

    with pytest.raises(UsageError) as told:
        shell.run_line_magic("devices", line)
    assert says in str(told.value) and "\n" not in str(told.value)


def test_names_of_devices_are_escaped():
    from nb_optimizer.core.devices.choice import choose
    from nb_optimizer.core.devices.inventory import Inventory
    from nb_optimizer.core.devices.wish import read
    from nb_optimizer.views.devices import DeviceTable

    there = Inventory(gpus=("<b>A</b>", "B"))
    page = DeviceTable(there, read("auto"), choose(read("auto"), there))._repr_html_()
    assert "<b>" not in page and "&lt;b&gt;A" in page


def test_completion_offers_wishes():
    from nb_optimizer.magics.completion import complete

    assert complete("%devices g", {}) == ["gpu", "gpu:0,1"]
    assert "cpu:2" in complete("%%train --devices ", {})
