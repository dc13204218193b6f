# Packages, images, units and firewall rules. Included by the Makefile.
.PHONY: packages images deploy-check

packages: build ## Make the Debian packages, in target/debian
	deploy/setup deploy
	deploy/debian/build target/release target/debian

images: build ## Make the container images, in target/images; needs no engine
	deploy/setup deploy
	deploy/images/build target/release target/images

deploy-check: ## Packages, images, units and firewall rules, installed and played on hosts of their own (BINARIES=...)
	deploy/setup deploy
	$(if $(BINARIES),,$(CARGO) build --locked --workspace --bins)
	deploy/check/run --binaries $(or $(BINARIES),target/debug)
