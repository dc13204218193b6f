# Benchmarks; included by the root Makefile.

ROUNDS ?= 3
NEW ?= target/bench.json

.PHONY: bench
bench: ## Measure both services beside their peers and targets (BENCH="edge whole" for some scenarios, ROUNDS=3, LONG=1 for the largest sizes)
	deploy/setup bench
	$(CARGO) build --release --workspace --bins
	ulimit -n $$(ulimit -H -n) && target/release/bench --rounds $(ROUNDS) $(if $(LONG),--long) $(BENCH)
	$(if $(BENCH),,target/release/hot)

.PHONY: bench-build
bench-build: ## Measure how long both services take to build from clean: many minutes (make bench LONG=1 does it, too)
	$(CARGO) build --release --workspace --bins
	target/release/bench --rounds 1 --json target/bench-build.json build

.PHONY: bench-instructions
bench-instructions: ## Count the instructions of the hot functions and hold them to their bounds, which noise cannot move
	deploy/setup bench
	$(CARGO) build --release -p causeway-tests --bin hot
	target/release/hot

.PHONY: bench-compare
bench-compare: ## What became worse between two saved results of the benchmark (OLD=before.json NEW=target/bench.json)
	@test -n "$(OLD)" || { echo "usage: make bench-compare OLD=before.json [NEW=target/bench.json]" >&2; exit 2; }
	$(CARGO) run --quiet --release -p causeway-tests --bin bench -- --from $(NEW) --compare $(OLD)

.PHONY: bench-docs
bench-docs: ## Bring the book's chapter on performance up to date with a saved result (NEW=target/bench.json)
	$(CARGO) run --quiet --release -p causeway-tests --bin bench -- --from $(NEW) --docs docs/book/src
