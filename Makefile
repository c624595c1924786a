# `make demo` shows it at work, `make test` proves it; both install what they need.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
DEMO_PACKAGES := iproute2 nftables util-linux
TEST_PACKAGES := $(DEMO_PACKAGES) iptables ipset conntrack procps wrk iperf3
# Tests that need these are skipped, with the reason, where they cannot be had.
OPTIONAL_PACKAGES := systemd chromium faketime

.PHONY: help setup demo test test-vm lint format bench-nftables bench-iptables bench-ipvs bench-userspace bench bench-guard image test-image docs fuzz clean

help:
	@echo "make demo            a node, pods, a second node and a client out of network namespaces, with traffic"
	@echo "make test            everything: linting, types, tests"
	@echo "make test-vm         the tests of IPVS mode, in a virtual machine whose kernel has IPVS"
	@echo "make setup           .venv with the commands kproxy and kube-proxy"
	@echo "make lint            ruff, mypy, import-linter"
	@echo "make format          let ruff format and mend"
	@echo "make bench-nftables  the figures of nftables mode, beside the floor that the kernel sets"
	@echo "make bench-iptables  those of iptables mode, beside iptables-restore alone"
	@echo "make bench-ipvs      those of IPVS mode, where need be in the virtual machine"
	@echo "make bench           all modes on this machine, with real traffic; writes docs/benchmarks/"
	@echo "make bench-guard     counts that do not depend on the machine, against their budgets"
	@echo "make bench-userspace those of userspace mode, beside HAProxy"
	@echo "make docs            the documentation's site, in English and Chinese, in build/site"
	@echo "make image           the container image, by buildah, without a registry"
	@echo "make test-image      the tests of that image"
	@echo "make fuzz            inputs for the parsers, guided by coverage, for ten minutes"
	@echo "make clean           remove .venv and caches"

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; set PYTHON to one" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || scripts/install-packages python3-venv
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup
	@scripts/install-packages $(DEMO_PACKAGES) || [ "$$(id -u)" -ne 0 ]
	@$(BIN)/kproxy demo

test: setup
	@scripts/install-packages $(TEST_PACKAGES) || [ "$$(id -u)" -ne 0 ]
	@scripts/install-packages $(OPTIONAL_PACKAGES) || echo "some tests will be skipped" >&2
	@command -v kubectl >/dev/null || scripts/install-packages kubernetes-client || [ "$$(id -u)" -ne 0 ]
	@$(MAKE) --no-print-directory lint
	$(BIN)/pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test-vm: setup
	$(BIN)/pytest -m ipvs

bench: setup
	scripts/install-packages $(DEMO_PACKAGES) iptables wrk iperf3
	$(BIN)/kproxy bench local --out docs/benchmarks/local

bench-guard: setup
	$(BIN)/kproxy bench guard

bench-userspace: setup
	scripts/install-packages haproxy wrk
	$(BIN)/python -m kproxy.bench userspace

bench-nftables bench-iptables: setup
	$(BIN)/python -m kproxy.bench $(@:bench-%=%)

bench-ipvs: setup
	[ -e /proc/net/ip_vs ] && $(BIN)/python -m kproxy.bench ipvs || tests/vm/run $(BIN)/python -m kproxy.bench ipvs

docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --config-file mkdocs.zh.yml
	@echo "build/site; to read it with its search: $(BIN)/python -m http.server --directory build/site"

image:
	deploy/image/build build/image

test-image: setup image
	KPROXY_IMAGE=build/image/rootfs $(BIN)/pytest tests/deploy

fuzz: setup
	for target in config kubeconfig watch manifest; do tests/fuzz/run $$target --seconds 150 || exit 1; done

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
