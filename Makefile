# Everything a developer or CI runs. `make help` lists the targets.
PYTHON := .venv/bin/python
unexport PYTHONDONTWRITEBYTECODE

# Recorded answers of Kubernetes and KubeVirt, compared with ours where they lie beside the checkout.
ifneq ($(wildcard ../shared/reference/.),)
export EDGEVIRT_REFERENCE ?= $(abspath ../shared/reference)
endif

.PHONY: help setup setup-dev setup-clients demo lint test test-unit test-component test-system test-fault test-fault-nightly test-cluster bench docs requirements clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

setup: ## install what running edgevirt needs (apt, .venv)
	@scripts/setup

setup-dev: ## the same and the test and lint tools
	@scripts/setup --dev

setup-clients: setup-dev ## kubectl, Helm and client libraries that the component tests run, into .cache
	@scripts/setup-clients

demo: setup ## from nothing to a running guest
	@scripts/demo

lint: setup-dev ## formatting, lint, types, layers
	.venv/bin/ruff format --check src tests bench
	.venv/bin/ruff check src tests bench
	.venv/bin/mypy
	.venv/bin/lint-imports --no-cache

test: lint setup-clients ## everything: lint, unit, component, system, the short fault tests
	.venv/bin/pytest tests

test-unit: setup-dev ## pure functions, under a minute
	.venv/bin/pytest tests/unit

test-component: setup-clients ## real SQLite, TLS, kubectl, namespaces; no guest
	.venv/bin/pytest tests/component

test-system: setup-dev ## real guests through the whole path
	.venv/bin/pytest tests/system

test-fault: setup-dev ## kill and error injection
	.venv/bin/pytest tests/fault

test-fault-nightly: setup-dev ## the same at full length: every crash state, tens of kills (docs/reliability.md)
	EDGEVIRT_FAULT_LENGTH=nightly .venv/bin/pytest tests/fault

test-cluster: setup-dev ## the system suite against a cluster from outside: make test-cluster KUBECONFIG=...
	EDGEVIRT_TEST_KUBECONFIG="$(KUBECONFIG)" .venv/bin/pytest tests/system

bench: setup-dev ## measure and print one line per metric (see docs/performance.md)
	$(PYTHON) -m bench

docs: setup-dev ## regenerate the generated pages
	$(PYTHON) -m edgevirt.api.compatibility > docs/compatibility.md
	$(PYTHON) tests/clients_page.py > docs/clients.md

requirements: setup-dev ## pin what pyproject.toml asks for, with hashes and without registry addresses
	$(PYTHON) -m pip install --quiet uv
	.venv/bin/uv pip compile -q --no-annotate --no-header --no-emit-index-url --generate-hashes pyproject.toml --group build -o requirements.txt
	.venv/bin/uv pip compile -q --no-annotate --no-header --no-emit-index-url --generate-hashes pyproject.toml --group dev -o requirements-dev.txt
	for each in binaries libraries wrapper; do \
		.venv/bin/uv pip compile -q --no-annotate --no-header --no-emit-index-url --generate-hashes \
			$$([ $$each != binaries ] || echo --no-deps) \
			tests/component/clients/requirements/$$each.in -o tests/component/clients/requirements/$$each.txt || exit 1; \
	done

clean: ## remove what the build made
	rm -rf .venv .cache dist build
