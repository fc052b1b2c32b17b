# Two commands do everything:  make study  and  make test.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

.PHONY: study test bench clean

study: $(BIN)/.installed                  ## train and report the project's first question
	$(BIN)/python -m vgg_ablate run studies/kernels.yaml

test: $(BIN)/.installed-test              ## the whole suite: format, lint, types, tests, committed reports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

bench: $(BIN)/.installed-test             ## the benchmarks; on a quiet machine
	$(BIN)/python benchmarks/loop.py --json
	$(BIN)/python benchmarks/driver.py --runs 1000 --json

clean:
	rm -rf $(VENV) build *.egg-info

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(BIN)/.installed: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(BIN)/.installed-test: $(BIN)/.installed
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@
