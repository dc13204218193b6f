# The manifests for Kubernetes, held against its schemas and against the programs. Included by the Makefile.
.PHONY: kube kube-check

KUBE_PYTHON = $(or $(CARGO_TARGET_DIR),target)/kube-venv/bin/python

kube: ## Print the objects of an overlay (OVERLAY=single, pool, two-tier/perimeter, two-tier/inside)
	@deploy/setup kube
	@$(dir $(KUBE_PYTHON))kubectl kustomize deploy/kubernetes/overlays/$(or $(OVERLAY),single)

kube-check: ## Render every overlay, check it, and start the programs from it
	deploy/setup kube
	cargo build --locked --bins
	$(KUBE_PYTHON) deploy/kubernetes/check/run
