# Metrics, rules, dashboards and traces, looked at with what really looks at them. Included by the Makefile.
.PHONY: signals signals-check

SIGNALS_PYTHON = $(or $(CARGO_TARGET_DIR),target)/browser-venv/bin/python

signals: ## Dashboards and a trace of the demo's conversation as pictures, in target/signals (and for the book)
	deploy/setup signals
	cargo build --locked --bins
	$(SIGNALS_PYTHON) deploy/signals/run --pictures

signals-check: ## Rules with their tests, what the services really tell, and that no panel stays empty
	deploy/setup signals
	cargo build --locked --bins
	$(SIGNALS_PYTHON) deploy/signals/run
