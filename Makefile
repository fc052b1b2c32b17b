# Two commands do everything:  make study  and  make test.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

.PHONY: study paper test bench clean

study: $(BIN)/.installed                  ## train and report the project's first question
	$(BIN)/python -m vgg_ablate run studies/kernels.yaml

paper: $(BIN)/.installed                  ## the paper's claims: every study, in order; needs images (docs/reproduction.md)
	grep -v '^#' studies/paper/order.txt | while read -r name options; do \
	  $(BIN)/python -m vgg_ablate run studies/paper/$$name.yaml $$options </dev/null || [ $$? = 3 ] || exit 1; done
	$(BIN)/python -m vgg_ablate claims

test: export PYTHONDONTWRITEBYTECODE =# it starts hundreds of processes: compile once
test: $(BIN)/.installed-test              ## the whole suite: format, lint, types, tests, committed reports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2 --dist worksteal

bench: $(BIN)/.installed-test             ## the benchmarks; on a quiet machine
	$(BIN)/python benchmarks/loop.py --json
	$(BIN)/python benchmarks/driver.py --runs 1000 --json
	$(BIN)/python benchmarks/space.py --json

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
