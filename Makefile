# Two commands do everything: `make up` and `make test`.
VENV := .venv
RUN := $(VENV)/bin
# The first of these starts the cluster that the others find.
ON_A_CLUSTER := tests/cluster tests/contracts/test_engine_kubernetes.py tests/integration/test_kubernetes_engine.py \
	tests/integration/test_kubernetes_volumes.py
WITH_DOCKER := $(RUN)/python scripts/with-docker

.PHONY: image help bootstrap system up down purge status check unit golden integration e2e test bench vendor screenshots cluster-up cluster-test cluster-down
.NOTPARALLEL:

help:
	@echo 'make up           start the platform on this machine (root), and put lee on the PATH'
	@echo 'make down         stop it; apps start again at the next up'
	@echo 'make purge        remove it with everything that it made'
	@echo 'make test         all checks and all tests; starts a container engine where none runs'
	@echo 'make check        ruff, mypy --strict, lint-imports'
	@echo 'make unit         tests that need nothing installed'
	@echo 'make integration  tests against real Docker, nginx, git, registry'
	@echo 'make e2e          tests against a whole platform'
	@echo 'make cluster-up   start a real Kubernetes of two nodes (root); prints its kubeconfig'
	@echo 'make cluster-test tests on it: the engine, releases under load, what breaks'
	@echo 'make cluster-down remove it without a trace'
	@echo 'make image        the control plane as an image for Kubernetes: build/leeward.tar'
	@echo 'make golden       rewrite the golden files'
	@echo 'make bench        measure'
	@echo 'make vendor       fetch the dashboard'"'"'s third-party files, as vendor.toml names them'
	@echo 'make screenshots  take the pictures of the dashboard again'

bootstrap:
	@sh scripts/bootstrap

# Debian packages; takes half a second when nothing is missing.
system: bootstrap
	@$(RUN)/python -m leeward.host.packages --tests

up: bootstrap
	@$(RUN)/lee up

down:
	@test ! -x $(RUN)/lee || $(RUN)/lee down

purge:
	@test ! -x $(RUN)/lee || $(RUN)/lee down --purge

status: bootstrap
	@$(RUN)/lee status

check: bootstrap
	$(RUN)/ruff check src tests benchmarks examples
	$(RUN)/ruff format --check src tests benchmarks
	$(RUN)/mypy
	$(RUN)/lint-imports

# Without pytest's second look at every assertion, which takes longer than many tests; those that fail get it afterwards.
unit: bootstrap
	$(RUN)/pytest -q -n 3 --dist worksteal --assert=plain tests/unit tests/golden || { $(RUN)/pytest -q --lf tests/unit tests/golden; exit 1; }

integration: system
	$(WITH_DOCKER) $(RUN)/pytest -q tests/integration

e2e: system
	$(WITH_DOCKER) $(RUN)/pytest -q tests/e2e

# On a cluster last: the first time, some minutes go into building Kubernetes from its Go module.
test: check unit system
	$(WITH_DOCKER) $(RUN)/pytest -q tests/contracts tests/integration tests/e2e
	$(RUN)/pytest -q $(ON_A_CLUSTER)
	$(WITH_DOCKER) $(RUN)/pytest -q tests/cluster/test_builds.py -k answers_there

cluster-up: system
	@$(RUN)/python -m tests.cluster up

# Removes the cluster afterwards, unless it ran before.
cluster-test: system
	LEEWARD_CLUSTER=must $(RUN)/pytest -q $(ON_A_CLUSTER)
	LEEWARD_CLUSTER=must $(WITH_DOCKER) $(RUN)/pytest -q tests/cluster/test_builds.py -k answers_there

cluster-down:
	@test ! -x $(RUN)/python || $(RUN)/python -m tests.cluster down

# For the Helm chart; from Debian packages and uv.lock, without a container engine.
IMAGE ?= localhost/leeward:dev
image: system
	@mkdir -p build
	$(RUN)/python deploy/image/build.py --name $(IMAGE) $(if $(BUILDCTL),--buildctl $(BUILDCTL)) build/leeward.tar

golden: bootstrap
	GOLDEN=write $(RUN)/pytest -q tests/golden tests/unit/test_units.py

bench: system
	@$(WITH_DOCKER) $(RUN)/python -m benchmarks

vendor: bootstrap
	$(RUN)/python scripts/vendor

screenshots: bootstrap
	$(RUN)/python scripts/screenshots
