# Every target sets itself up: a fresh Debian machine with Python >= 3.11 (and, for
# the native core, a C++ compiler) is enough. Set-up is redone when pyproject.toml
# changes; otherwise a target starts at once.

PYTHON ?= python3
# Another Python (`make test PYTHON=python3.13`) has an environment of its own.
OTHER  :=
ifneq ($(PYTHON),python3)
OTHER  := $(shell $(PYTHON) -c 'import sys; print("-%d.%d" % sys.version_info[:2])')
$(if $(OTHER),,$(error there is no Python that runs as $(PYTHON): give its whole path))
endif
VENV   := .venv$(OTHER)
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet

# Plain `torch` can resolve to gigabytes of GPU libraries; this one is for CPUs.
TORCH  := torch==2.13.0

# What the native core is built from, once it exists; a change rebuilds it.
NATIVE := $(wildcard CMakeLists.txt native/*)

.PHONY: help demo test versions lint types docs parity sanitize aarch64 browser compiler
.PHONY: cross gpu clean recordings
.DELETE_ON_ERROR:

help:            ## list the targets
	@grep -hE '^[a-z0-9]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

# --- environments: one stamp for each set of extras --------------------------------

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/stamp-demo: pyproject.toml $(NATIVE) | $(BIN)/python
	$(PIP) install --editable '.[examples]'
	@touch $@

$(VENV)/stamp-test: pyproject.toml $(NATIVE) | $(BIN)/python
	$(PIP) install --editable '.[examples,test,lint,docs]'
	@touch $@ $(VENV)/stamp-demo

$(VENV)/stamp-parity: $(VENV)/stamp-test
	$(PIP) install --editable '.[test,examples,torch,onnx,parity]' $(TORCH)
	@touch $@

# Originals that are dead live on in environments of their own. TensorFlow 1 runs on
# Python 3.7; without one the run says what it could not check.
PYTHON37  := $(shell command -v python3.7 || ls $(HOME)/.pyenv/versions/3.7*/bin/python 2>/dev/null | tail -1)
PYTHON311 := $(shell command -v python3.11 || ls $(HOME)/.pyenv/versions/3.11*/bin/python 2>/dev/null | tail -1)

.venv-tf1/stamp:
	$(if $(PYTHON37),$(PYTHON37) -m venv .venv-tf1 && .venv-tf1/bin/python -m pip --quiet \
	  install 'tensorflow==1.15.5' 'protobuf<3.21' 'numpy<1.19' && touch $@,@echo \
	  'there is no Python 3.7 here: TensorFlow 1 is not checked' >&2)

.venv-addons/stamp:
	$(if $(PYTHON311),$(PYTHON311) -m venv .venv-addons && .venv-addons/bin/python -m pip \
	  --quiet install 'tensorflow-cpu==2.15.1' 'tensorflow-addons==0.23.0' 'numpy<2' && \
	  touch $@,@echo 'there is no Python 3.11 here: Addons are not checked' >&2)

# --- what people run ---------------------------------------------------------------

demo: $(VENV)/stamp-demo   ## train LSTM(128) on real handwriting, show what it learnt
	rm -rf runs/demo
	$(BIN)/python examples/digits.py --out runs/demo

include examples/text.mk   # catalogues, translate: sentences in two languages

test: compiler $(VENV)/stamp-test   ## lint, types, documentation, then every test
	$(MAKE) --jobs=2 --output-sync=target lint types docs browser
	$(BIN)/python -m slipcover -m pytest -n auto --dist worksteal \
	  -m 'not parity and not gpu' --durations=25

lint: $(VENV)/stamp-test   ## style, as pre-commit does
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/stamp-test   ## types of the public modules
	$(BIN)/pyright --pythonpath $(BIN)/python

docs: $(VENV)/stamp-test   ## build the documentation into site/; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

include benchmarks/bench.mk   # bench: compare speed with other libraries

# The ends of what pyproject.toml allows, and the tests that lean on JAX and Keras most.
# There is no jax after 0.10 for Python 3.11: `make versions PYTHON=python3.13`.
OLDEST := jax==0.7.2 jaxlib==0.7.2 keras==3.12.0
NEWEST := jax jaxlib keras
# Keras 3.12 has no tests of its own inside, and does not read the files of 3.15.
QUICK  := tests/engine tests/layers/test_saving.py tests/layers/test_training.py \
  $(patsubst %,tests/test_%.py,borrowed doctor examples)
AT     := build/versions

versions: compiler   ## one wheel at the oldest and the newest jax and Keras: quick tests
	rm -rf $(AT)
	$(PYTHON) -m pip --quiet wheel --no-deps --wheel-dir $(AT) .
	set -e; for end in '$(OLDEST)' '$(NEWEST)'; do \
	  rm -rf $(AT)/env; $(PYTHON) -m venv $(AT)/env; \
	  $(AT)/env/bin/python -m pip --disable-pip-version-check --quiet install \
	    "$$(ls $(AT)/*.whl)[examples,test]" $$end; \
	  $(AT)/env/bin/unrolled doctor; \
	  $(AT)/env/bin/python -m pytest -q -n auto -m "not gpu" $(QUICK); \
	done

parity: $(VENV)/stamp-parity .venv-tf1/stamp .venv-addons/stamp browser   ## the slow comparisons with other libraries
	$(BIN)/python -m pytest -m parity -rs

recordings: .venv-tf1/stamp .venv-addons/stamp   ## record TensorFlow 1 and Addons anew, into tests/sources/recorded
	.venv-tf1/bin/python tests/recorders/tf1.py
	.venv-addons/bin/python tests/recorders/addons.py

# What needs a GPU, in an environment with JAX's own CUDA libraries.
CUDA    := jax[cuda12]
ON_GPU  := $(VENV)-gpu

gpu:             ## on an NVIDIA GPU: cuDNN against the time loop, ratios to Keras and torch
	@nvidia-smi -L 2>/dev/null | grep -q '^GPU' || { \
	  echo 'make gpu needs an NVIDIA GPU, and nvidia-smi lists none here: run it on a' \
	    'machine that has one. make test holds all but the calls of cuDNN to the' \
	    'reference.' >&2; exit 1; }
	test -x $(ON_GPU)/bin/python || $(PYTHON) -m venv $(ON_GPU)
	$(ON_GPU)/bin/python -m pip --disable-pip-version-check --quiet install \
	  --editable '.[test]' '$(CUDA)'
	$(ON_GPU)/bin/unrolled doctor
	$(ON_GPU)/bin/python -m pytest -m gpu tests/engine/test_gpu.py
	$(BENCH_PYTHON) benchmarks/bench.py --gpu $(BENCH)

# The core with a driver of random shapes and options in place of Python.
CMAKE := PATH="$(CURDIR)/$(BIN):$$PATH" cmake
CORE  := -S . -G Ninja -DPython3_EXECUTABLE=$(CURDIR)/$(BIN)/python

sanitize: $(VENV)/stamp-test   ## the native core under the sanitizers
	$(PIP) install cmake ninja
	for kind in address,undefined thread; do \
	  $(CMAKE) $(CORE) -B build/$$kind -DUNROLLED_SANITIZE=$$kind && \
	  $(CMAKE) --build build/$$kind --target fuzz || exit 1; \
	done
	build/address,undefined/fuzz 150 1
	build/thread/fuzz 40 2

aarch64: cross $(VENV)/stamp-test   ## the native core for 64-bit ARM, run under emulation
	$(PIP) install cmake ninja
	$(CMAKE) $(CORE) -B build/host
	$(CMAKE) --build build/host --target fuzz
	$(CMAKE) $(CORE) -B build/aarch64 -DCMAKE_SYSTEM_NAME=Linux \
	  -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++
	$(CMAKE) --build build/aarch64 --target fuzz _core
	build/host/fuzz 30 1 write build/numbers
	qemu-aarch64 -L /usr/aarch64-linux-gnu build/aarch64/fuzz 30 1 read build/numbers

# Pages are tested in a real browser. Root installs it; others are told to.
browser:
	@command -v chromium >/dev/null || if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; \
	elif [ -n "$$CI" ]; then echo 'chromium is missing: install it' >&2; exit 1; \
	else echo 'chromium is missing: the tests of pages will be skipped'; fi

# A compiler for 64-bit ARM and what runs its programs. Root installs them.
cross:
	@command -v aarch64-linux-gnu-g++ >/dev/null && command -v qemu-aarch64 >/dev/null || \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
	    --no-install-recommends g++-aarch64-linux-gnu qemu-user >/dev/null; \
	else echo 'aarch64-linux-gnu-g++ or qemu-aarch64 is missing: install' \
	  'g++-aarch64-linux-gnu and qemu-user' >&2; exit 1; fi

# The install succeeds without a compiler; CI must not test that by accident.
compiler:
	@command -v c++ >/dev/null || if [ -n "$$CI" ]; then \
	  echo 'a C++ compiler is missing: install one' >&2; exit 1; \
	else echo 'no C++ compiler: the native kernels are not built or tested'; fi

clean:   ## remove everything that was built, the environment too; runs/ stays
	rm -rf .venv .venv-* build dist site .hypothesis .pytest_cache .ruff_cache
	find src tests examples -name __pycache__ -type d -exec rm -rf {} +
