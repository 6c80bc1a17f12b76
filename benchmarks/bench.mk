# Benchmarks. Each tool makes the environments that it needs (environments.py says what
# is in them), a peer's when it is asked for. BENCH passes options:
# make bench BENCH="--quick"
BENCH ?=
BENCH_PYTHON ?= python3

.PHONY: bench bench-quick bench-stream bench-memory bench-core bench-conv bench-formulas
.PHONY: bench-decode bench-fused bench-page bench-clean

bench:   ## compare speed with other libraries, each in its own place
	$(BENCH_PYTHON) benchmarks/bench.py $(BENCH)

bench-quick:
	$(BENCH_PYTHON) benchmarks/bench.py --quick $(BENCH)

bench-stream:
	$(BENCH_PYTHON) benchmarks/bench.py --mode stream $(BENCH)

bench-memory bench-core bench-conv bench-formulas bench-decode bench-fused:
	$(BENCH_PYTHON) benchmarks/$(@:bench-%=%).py $(BENCH)

bench-page: browser
	$(BENCH_PYTHON) benchmarks/page.py $(BENCH)

bench-clean:
	rm -rf .venv-bench
