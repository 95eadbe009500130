# Two commands for a newcomer: make quickstart, make test. Each makes .venv if it is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: install quickstart lab test lint drill bench browser clean

install: $(STAMP)

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; try make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -e '.[lab,tf-keras,tfmot,test]'
	@touch $@

quickstart: $(STAMP)
	@$(BIN)/python examples/run.py examples/quickstart.ipynb
	@echo
	@echo "That was examples/quickstart.ipynb, run in a Jupyter kernel."
	@echo "To try it yourself in JupyterLab: make lab"

lab: $(STAMP)
	$(BIN)/jupyter lab --notebook-dir examples

test: lint browser
	$(BIN)/python -m pytest

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# A Chromium for the browser tests: by apt where that is possible, else those tests say why not.
browser: $(STAMP)
	@sh tests/browser/install_chromium.sh

drill: $(STAMP)
	NBO_DRILLS=20 $(BIN)/python -m pytest -m drill

bench: $(STAMP)
	$(BIN)/python -m pip install -q -e '.[bench]'
	$(BIN)/python benchmarks/panel_cost.py
	$(BIN)/python benchmarks/acceleration.py
	$(BIN)/python benchmarks/acceleration_passes.py
	$(BIN)/python benchmarks/devices.py
	$(BIN)/python benchmarks/tuning.py epochs 30
	$(BIN)/python benchmarks/tuning_live.py digits 30
	$(BIN)/python benchmarks/tuning_live.py series 30
	$(BIN)/python benchmarks/tuning.py suggestions
	$(BIN)/python benchmarks/tuning_regret.py 10
	$(BIN)/python benchmarks/tuning_wall.py 5
	$(BIN)/python benchmarks/tuning_overhead.py 40
	$(BIN)/python benchmarks/tuning_overhead.py 40 --memory
	$(BIN)/python benchmarks/compression_gains.py static
	$(BIN)/python benchmarks/compression_gains.py qat
	$(BIN)/python benchmarks/compression_by_hand.py
	$(BIN)/python benchmarks/compression_peers.py
	$(BIN)/python benchmarks/compression_translation.py
	$(BIN)/python benchmarks/compression_gains.py search 0 600
	$(BIN)/python benchmarks/compression_gains.py latency 0 600

clean:
	rm -rf $(VENV) .cache .nb_optimizer
