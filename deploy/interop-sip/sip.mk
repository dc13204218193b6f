# Other people's SIP against the gateway, in network namespaces of their own. Included by the Makefile.
.PHONY: interop-sip interop-sip-check

interop-sip: ## Converse with real SIP software over UDP, TCP and TLS; write docs/INTEROP.md
	deploy/setup test
	cargo build --locked --bins
	deploy/interop-sip/run --write

interop-sip-check: ## The same, but docs/INTEROP.md must be right already
	deploy/setup test
	cargo build --locked --bins
	deploy/interop-sip/run
