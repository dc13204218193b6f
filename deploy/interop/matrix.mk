# Real servers of partners and a scanner against the edge, in network namespaces of their own. Included by the Makefile.
.PHONY: matrix matrix-check scan

matrix: ## Negotiate every row of the matrix with scripted and real peers; write docs/NEGOTIATION.md
	deploy/setup test
	cargo build --locked --bins
	CAUSEWAY_MATRIX=write cargo nextest run -p causeway-tests --test matrix
	deploy/interop/run --write
	deploy/interop/scan --write

matrix-check: ## The same, but docs/NEGOTIATION.md must be right already
	deploy/setup test
	cargo build --locked --bins
	deploy/interop/run
	deploy/interop/scan

scan: ## What a TLS scanner finds on the edge's ports
	deploy/setup test
	cargo build --locked --bins
	deploy/interop/scan
