# Every target sets itself up: a fresh Debian machine with Python >= 3.11 (and, for
# the native core, a C++ compiler) is enough. Set-up is redone when pyproject.toml
# changes; otherwise a target starts at once.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet

# Plain `torch` can resolve to gigabytes of GPU libraries; this one is for CPUs.
TORCH  := torch==2.13.0

# What the native core is built from, once it exists; a change rebuilds it.
NATIVE := $(wildcard CMakeLists.txt native/*)

.PHONY: help demo test lint types docs parity sanitize browser clean
.DELETE_ON_ERROR:

help:            ## list the targets
	@grep -hE '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

# --- environments: one stamp for each set of extras --------------------------------

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/stamp-demo: pyproject.toml $(NATIVE) | $(BIN)/python
	$(PIP) install --editable '.[examples]'
	@touch $@

$(VENV)/stamp-test: pyproject.toml $(NATIVE) | $(BIN)/python
	$(PIP) install --editable '.[examples,test,docs]'
	@touch $@ $(VENV)/stamp-demo

$(VENV)/stamp-parity: $(VENV)/stamp-test
	$(PIP) install --editable '.[test,examples,torch,onnx]' $(TORCH)
	@touch $@

# --- what people run ---------------------------------------------------------------

demo: $(VENV)/stamp-demo   ## train LSTM(128) on real handwriting, show what it learnt
	rm -rf runs/demo
	$(BIN)/python examples/digits.py --out runs/demo

test: lint types docs browser   ## lint, types, documentation, then every test
	$(BIN)/coverage erase
	$(BIN)/python -m pytest -n auto --dist worksteal -m 'not parity' --cov --cov-report=term

lint: $(VENV)/stamp-test   ## style, as pre-commit does
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/stamp-test   ## types of the public modules
	$(BIN)/pyright

docs: $(VENV)/stamp-test   ## build the documentation into site/; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

include benchmarks/bench.mk   # bench: compare speed with other libraries

parity: $(VENV)/stamp-parity browser   ## the slow comparisons with other libraries
	$(BIN)/python -m pytest -m parity

sanitize:   ## nothing to do before there is native code
	@echo 'There is no native code yet.'

# Pages are tested in a real browser. Root installs it; others are told to.
browser:
	@command -v chromium >/dev/null || if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; \
	elif [ -n "$$CI" ]; then echo 'chromium is missing: install it' >&2; exit 1; \
	else echo 'chromium is missing: the tests of pages will be skipped'; fi

clean:   ## remove everything that was built, the environment too; runs/ stays
	rm -rf $(VENV) build dist site .coverage .hypothesis .pytest_cache .ruff_cache
	find src tests examples -name __pycache__ -type d -exec rm -rf {} +
