# One command for everything; `make` alone lists them.

CARGO ?= cargo

.DEFAULT_GOAL := help

.PHONY: help
help: ## List what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | sort -u | awk -F '\t' '{ printf "  %-14s %s\n", $$1, $$2 }'

.PHONY: setup
setup: ## Install what building, testing and the demo need (Debian 12; does nothing where all is there)
	deploy/setup

.PHONY: build
build: ## Build both services and the command line, optimised
	CAUSEWAY_COMMIT=$$(git rev-parse --short=12 HEAD 2>/dev/null) $(CARGO) build --release --workspace --bins

.PHONY: test
test: ## Everything that has to hold: format, lints, docs, tests, faults, manifests, packages, real peers, a scanner, licences
	deploy/setup test
	$(MAKE) lint unit conformance-check fault-check kube-check deploy-check interop deny

.PHONY: lint
lint: ## Format, clippy and documentation, warnings denied
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --document-private-items

.PHONY: unit
unit: ## Unit and scenario tests (FILTER=... for some)
	$(CARGO) build --workspace --bins
	$(CARGO) nextest run --workspace $(FILTER)

.PHONY: conformance
conformance: ## Bring docs/CONFORMANCE.md up to date with the tests
	CAUSEWAY_CONFORMANCE=write $(CARGO) nextest run -p causeway-tests --test conformance

.PHONY: conformance-check
conformance-check: ## The same table, compared with the tests that really run
	$(CARGO) nextest list --workspace --message-format json > target/tests.json
	CAUSEWAY_TESTS=$(CURDIR)/target/tests.json $(CARGO) nextest run -p causeway-tests --test conformance --run-ignored all

.PHONY: interop
interop: demo signals-check matrix-check interop-sip-check browser-check api-fuzz-check ## The demo's conversation, every negotiation, other people's SIP, a browser, and an attack on the API

.PHONY: deny
deny: ## Licences, sources and banned crates
	$(CARGO) deny check licenses bans sources

.PHONY: advisories
advisories: ## Known vulnerabilities of dependencies (needs the network)
	$(CARGO) deny check advisories

.PHONY: fmt
fmt: ## Format the code
	$(CARGO) fmt --all

.PHONY: run-ci
run-ci: ## What the build server runs
	.ci/run

-include deploy/demo/demo.mk
-include deploy/interop/matrix.mk
-include deploy/interop-sip/sip.mk
-include deploy/bench.mk
-include deploy/scale.mk
-include deploy/soak.mk
-include deploy/fault.mk
-include deploy/fuzz.mk
-include deploy/signals/signals.mk
-include deploy/book.mk
-include deploy/browser/browser.mk
-include deploy/deploy.mk
-include deploy/kubernetes/kube.mk
