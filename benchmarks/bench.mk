# Benchmarks. Each peer gets an environment of its own, so that none decides what
# versions another may have. BENCH passes options: make bench BENCH="--quick"
BENCH ?=
BENCH_PYTHON ?= python3
BENCH_PIP := -m pip --disable-pip-version-check --quiet install
BENCH_PEERS := unrolled keras flax torch onnxruntime tensorflow
BENCH_ENVS := $(BENCH_PEERS:%=.venv-bench/%/.made)

BENCH_KERAS := keras==3.15.1
BENCH_JAX := jax==0.10.2
bench-unrolled := $(BENCH_KERAS) $(BENCH_JAX)
bench-keras := $(BENCH_KERAS) $(BENCH_JAX)
bench-flax := flax==0.12.* $(BENCH_JAX)
bench-torch := torch==2.13.0 numpy
bench-onnxruntime := onnxruntime==1.32.* onnx==1.23.* numpy
bench-tensorflow := tensorflow-cpu==2.21.* $(BENCH_KERAS)

.PHONY: bench bench-envs bench-quick bench-memory bench-stream bench-core bench-clean

# a peer that cannot be installed here is a line in the table, not the end of the run
.venv-bench/%/.made: benchmarks/bench.mk
	@echo "bench: environment for $*"
	@$(BENCH_PYTHON) -m venv .venv-bench/$*
	@.venv-bench/$*/bin/python $(BENCH_PIP) $(bench-$*) \
		&& touch $@ || echo "bench: $* could not be installed"

bench-envs: $(BENCH_ENVS)
	@.venv-bench/unrolled/bin/python $(BENCH_PIP) .

bench: bench-envs   ## compare speed with other libraries, each in its own place
	.venv-bench/unrolled/bin/python benchmarks/bench.py $(BENCH)

bench-quick: BENCH += --quick
bench-quick: bench

bench-memory: bench-envs
	.venv-bench/unrolled/bin/python benchmarks/memory.py

bench-stream: bench-envs
	.venv-bench/unrolled/bin/python benchmarks/stream.py

# The core alone: instruction sets and precisions, or (--against) two checkouts.
bench-core: bench-envs
	.venv-bench/unrolled/bin/python $(BENCH_PIP) cmake
	PATH="$(CURDIR)/.venv-bench/unrolled/bin:$$PATH" \
	  .venv-bench/unrolled/bin/python benchmarks/core.py $(BENCH)

bench-clean:
	rm -rf .venv-bench
