# Real Chromium over the running road, and the API attacked from its own description. Included by the Makefile.
.PHONY: browser browser-check api-fuzz api-fuzz-check

BROWSER_PYTHON = $(or $(CARGO_TARGET_DIR),target)/browser-venv/bin/python
#: Inputs for each operation of the API.
API_EXAMPLES ?= 200

browser: ## Drive the panel with Chromium while real peers talk; pictures in target/browser
	deploy/setup browser
	cargo build --locked --bins
	$(BROWSER_PYTHON) deploy/browser/run --pictures

browser-check: ## The same without pictures
	deploy/setup browser
	cargo build --locked --bins
	$(BROWSER_PYTHON) deploy/browser/run

api-fuzz: ## Attack the API from its own description (API_EXAMPLES=200 for each operation)
	deploy/setup browser
	cargo build --locked --bins
	$(BROWSER_PYTHON) deploy/browser/fuzz $(API_EXAMPLES)

api-fuzz-check: ## A short attack on the API
	deploy/setup browser
	cargo build --locked --bins
	$(BROWSER_PYTHON) deploy/browser/fuzz 10
