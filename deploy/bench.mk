# Benchmarks; included by the root Makefile.

.PHONY: bench
bench: ## Measure both services beside their targets (BENCH="edge whole" for some scenarios only)
	cargo build --release --workspace --bins
	target/release/bench $(BENCH)
