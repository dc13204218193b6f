# The demo: real peers, both services and real clients in a network namespace of their own. Included by the Makefile.
.PHONY: demo demo-up demo-down

demo: ## Play the whole conversation between real XMPP partners and a real SIP front end
	deploy/setup demo
	cargo build --locked --bins
	deploy/demo/run

demo-up: ## Start the demo, leave it running, and say how to talk to it
	deploy/setup demo
	cargo build --locked --bins
	deploy/demo/up

demo-down: ## End the demo
	deploy/demo/down
