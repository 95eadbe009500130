"""README says what is true: every magic and every option is in it, and its first cell runs."""

from __future__ import annotations

import re
from pathlib import Path

import nb_optimizer
from nb_optimizer.core.plan import LATER
from nb_optimizer.magics import MAGICS, compress, runs, train, tune
from nb_optimizer.magics.arguments import read

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_every_magic_option_and_action_is_in_the_readme():
    for name, magic in MAGICS.items():
        assert ("%%" if magic.kind == "cell" else "%") + name in README
    flags = [*train.OPTIONS, *compress.OPTIONS]
    flags += [f for f in tune.OPTIONS if not f.startswith("--no-")]
    missing = [flag for flag in flags if f"`{flag}" not in README]
    missing += [action for action in runs.ACTIONS if f"%runs {action}" not in README]
    assert missing == []


def test_the_readme_names_no_option_that_does_not_exist():
    flags = set(re.findall(r"`(--[a-z][a-z0-9-]*)", README))
    options = {*train.OPTIONS, *tune.OPTIONS, *compress.OPTIONS}
    known = {*options, *(f"--{name}" for name in LATER)}
    assert flags - known == set()


def test_lines_of_train_in_readme_and_examples_are_valid():
    texts = [README, *(p.read_text() for p in (ROOT / "examples").glob("*.ipynb"))]
    lines = [m for t in texts for m in re.findall(r"%%train([^\n\"\\`]*)(?:\n|\\n)", t)]
    assert len(lines) >= 3
    for line in lines:
        assert isinstance(read(line, train.OPTIONS, {}), dict)


def test_lines_of_tune_in_readme_and_examples_are_valid():
    texts = [README, *(p.read_text() for p in (ROOT / "examples").glob("*.ipynb"))]
    lines = [m for t in texts for m in re.findall(r"(?:\n|\")%%tune ([^\n\"\\`]*)(?:\n|\\n)", t)]
    assert len(lines) >= 2
    for line in lines:
        assert tune.read(line, {}).ranges


def test_settings_are_in_the_readme():
    from nb_optimizer.magics.settings import NbOptimizer

    own = [n for n in NbOptimizer.class_own_traits() if n not in ("parent", "log", "config")]
    options = {o.name for o in train.OPTIONS.values()}
    for name in set(own) - options:
        assert f"NbOptimizer.{name}" in README


def test_pictures_and_links_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target


def test_version_is_stated_once():
    text = (ROOT / "pyproject.toml").read_text()
    assert f'version = "{nb_optimizer.__version__}"' in text


def test_nothing_private_is_in_the_repository():
    words = ("/" + "work/", "/" + "root/", "/" + "tmp/")
    files = [*ROOT.glob("*.md"), *ROOT.glob("*.toml"), *ROOT.glob("nb_optimizer/**/*.py")]
    assert [f for f in files if any(w in f.read_text() for w in words)] == []
