# Fuzzing; included by the root Makefile.

SECONDS ?= 3600

.PHONY: fuzz
fuzz: ## Coverage-guided fuzzing of all that reads what a peer sends (SECONDS=3600 TARGETS="cutter stanza")
	deploy/setup build
	fuzz/run total $(SECONDS) $(TARGETS)

.PHONY: fuzz-smoke
fuzz-smoke: ## The same, 15 seconds for each target
	deploy/setup build
	fuzz/run each 15 $(TARGETS)

.PHONY: fuzz-check
fuzz-check: ## Whether the fuzz targets still compile (their workspace is their own; no other target looks)
	$(CARGO) check --locked --manifest-path fuzz/Cargo.toml --target-dir $(or $(CARGO_TARGET_DIR),target)

.PHONY: fuzz-replay
fuzz-replay: ## One finding again (TARGET=cutter FILE=target/fuzz/findings/cutter/crash-...)
	fuzz/run replay $(TARGET) $(FILE)
