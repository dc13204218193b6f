# What a pool asks of its database; included by the root Makefile.

SCALE_USERS ?= 80000
SCALE_SECONDS ?= 30

.PHONY: scale
scale: ## Fill PostgreSQL with the pairs of a pool and play its busy hour (SCALE_USERS=80000 SCALE_SECONDS=30)
	cargo build --release -p causeway-tests --bin scale
	target/release/scale --users $(SCALE_USERS) --seconds $(SCALE_SECONDS)
