# What breaks under load; included by the root Makefile. Needs root, for network namespaces.

FAULT_ROUNDS ?= 1

.PHONY: fault
fault: ## Break what runs under load, and print what became of every message (FAULT="cut-sip kill-edge" for some only)
	deploy/setup fault
	$(CARGO) build --workspace --bins
	target/debug/fault --rounds $(FAULT_ROUNDS) $(FAULT)
	target/debug/fault --gateways 2 --rounds $(FAULT_ROUNDS) $(FAULT)

.PHONY: fault-check
fault-check: ## The short form of the same, with one gateway and with a pool
	deploy/setup fault
	$(CARGO) build --workspace --bins
	target/debug/fault --short
	target/debug/fault --gateways 2 --short
