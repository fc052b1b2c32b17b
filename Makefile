# Two commands do everything:  make study  and  make test.  CPU=1 installs PyTorch without CUDA: some GB less.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
CPU    ?=
# where PyTorch publishes its wheels without CUDA; asked with CPU=1 alone
CPU_WHEELS ?= https://download.pytorch.org/whl/cpu

.PHONY: help study paper test lint fast docs bench lock clean

help:                                     ## list the commands
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 10

study: $(BIN)/.installed                  ## train and report the project's first question
	$(BIN)/python -m vgg_ablate run studies/kernels.yaml

paper: $(BIN)/.installed                  ## the paper's claims: every study, in order; needs images (docs/reproduction.md)
	grep -v '^#' studies/paper/order.txt | while read -r name options; do \
	  $(BIN)/python -m vgg_ablate run studies/paper/$$name.yaml $$options </dev/null || [ $$? = 3 ] || exit 1; done
	$(BIN)/python -m vgg_ablate claims

lint: $(BIN)/.installed-test              ## format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

fast: $(BIN)/.installed-test              ## the tests that start no processes and train nothing, in under a minute
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow and not gpu"

docs: $(BIN)/.installed-docs              ## the documentation site, in site/
	$(BIN)/mkdocs build --strict --quiet

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

lock: $(BIN)/.installed-test              ## write requirements-dev.lock: the versions that are installed here
	mkdir -p build
	$(BIN)/python -m pip freeze --exclude-editable | grep == > build/constraints.txt
	uv pip compile pyproject.toml --universal --python-version 3.11 --extra test --extra docs --no-annotate --no-header \
	  --constraint build/constraints.txt --output-file requirements-dev.lock

clean:                                    ## remove what the commands above installed and built
	rm -rf $(VENV) build site *.egg-info

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

# A Linux machine without NVIDIA's driver can't use the CUDA build that `pip install torch` fetches there.
$(BIN)/.torch: $(BIN)/python
ifeq ($(CPU),1)
	$(BIN)/python -m pip install --quiet --index-url $(CPU_WHEELS) torch torchvision
else
	@[ "$$(uname)" != Linux ] || command -v nvidia-smi >/dev/null || \
	  echo "No NVIDIA driver found: 'make $(firstword $(MAKECMDGOALS)) CPU=1' installs PyTorch without CUDA, some GB less."
endif
	touch $@

$(BIN)/.installed: $(BIN)/.torch pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(BIN)/.installed-docs: $(BIN)/.installed
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@

$(BIN)/.installed-test: $(BIN)/.installed
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@
