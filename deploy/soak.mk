# The soak; included by the root Makefile.

SOAK_IDLE ?= 10000
SOAK_HOSTILE ?= 100000
SOAK_SECONDS ?= 420

.PHONY: soak
soak: ## Attack an edge that holds idle streams (SOAK_IDLE=10000 SOAK_HOSTILE=100000 SOAK_SECONDS=420)
	cargo build --release --workspace --bins
	ulimit -n $$(ulimit -H -n) && target/release/soak \
		--idle $(SOAK_IDLE) --hostile $(SOAK_HOSTILE) --seconds $(SOAK_SECONDS)
