# Each target sets up what it needs: a virtual environment in .venv, with the hash-locked packages of
# requirements/.
PYTHON ?= python3.11
ARGS ?=
SECONDS ?= 60
BIN := .venv/bin
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all:
EDITABLE := $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .

# Row C6 makes the kernel refuse to sync, which needs strace. C19 and C20 make a file system of their
# own. They, C5 and A17 mount small volumes, so all rows run as root.
PREPARE := (command -v strace && command -v mkfs.ext4 && command -v fsfreeze) > /dev/null || (apt-get update -qq && apt-get install -y -qq strace e2fsprogs util-linux > /dev/null)

# Prometheus and promtool, unpacked from Debian's package, so that no service starts. Without them the
# tests say what they left out.
FETCH := apt-get download -qq -o APT::Sandbox::User=root prometheus
PROMETHEUS := command -v promtool > /dev/null || test -x .cache/prometheus/usr/bin/promtool || (mkdir -p .cache/prometheus && cd .cache/prometheus \
  && ($(FETCH) || (apt-get update -qq && $(FETCH))) && dpkg -x prometheus_*.deb .) || true

# Installs what is missing of Debian's packages, each as program:package.
debian = wanted=; for each in $(1); do PATH=$$PATH:/usr/sbin command -v $${each%:*} > /dev/null || wanted="$$wanted $${each\#*:}"; done; \
  test -z "$$wanted" || (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$wanted > /dev/null)

# What builds and runs the image, and the Kafka it uses.
ENGINE := $(call debian,dockerd:docker.io debootstrap:debootstrap docker-compose:docker-compose mvn:maven java:default-jre-headless)

# A Kerberos realm. Without it the tests say what they left out.
REALM := $(call debian,krb5kdc:krb5-kdc kadmin.local:krb5-admin-server) || echo "Not everything could be installed:$$wanted"

# These tests have targets of their own: they need more than Python, Java and Maven.
ELSEWHERE := not helm and not prometheus and not browser and not docker and not examples and not access
QUICK_TESTS := quick-core quick-parts quick-cli
QUICK := not kafka and not registry and not slow and $(ELSEWHERE)
real-cli := tests/cli tests/security
real-rest := tests --ignore tests/cli --ignore tests/security
quick-parts := tests/shell tests/simulator tests/kafka
quick-cli := tests/cli tests/bad_input
quick-core := tests $(quick-parts:%=--ignore %) $(quick-cli:%=--ignore %)

# The output of each part is kept, so that a failed run ends with the names of the failed tests.
kept = > .venv/$@.log 2>&1; code=$$?; cat .venv/$@.log; exit $$code
failed = (cd .venv && grep -E '^(FAILED|ERROR) ' $(patsubst %,%.log,$(1)) | cut -c1-200; false)

.PHONY: audit-cost audit-cut-full audit-kill-full help demo test check lint $(QUICK_TESTS) real-cli real-rest coverage coverage-full models-full faults faults-full journal-kill-full replicas-test capacity-test operations-test metrics-page settings-page asyncapi image-test fuzz bench bench-guard lock clean
.DEFAULT_GOAL := help

help:  ## this list
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-15s %s\n", $$1, $$2}'

.venv/bin/python:
	@echo "Creating .venv"
	@$(PYTHON) -m venv .venv || python3 -m venv .venv

.venv/demo.stamp: requirements/demo.txt | .venv/bin/python
	@echo "Installing the locked packages of requirements/demo.txt"
	@$(INSTALL) -r requirements/demo.txt
	@$(EDITABLE)
	@touch $@

.venv/dev.stamp: requirements/dev.txt pyproject.toml | .venv/bin/python
	@echo "Installing the locked packages of requirements/dev.txt"
	@$(INSTALL) -r requirements/dev.txt
	@$(EDITABLE)
	@touch $@ .venv/demo.stamp

demo: .venv/demo.stamp  ## simulator, embedded broker, connector, live table (ARGS="--seconds 30")
	@$(BIN)/kis-bond demo $(ARGS)

test: .venv/dev.stamp check  ## check, then the tests that use real parts, and a real Kafka if there is one
	@echo "Tests on real parts, in two processes: ten minutes"
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target real-cli real-rest || $(call failed,real-cli real-rest)

check: .venv/dev.stamp  ## lint, and the quick tests, which need only Python
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target $(QUICK_TESTS) lint || $(call failed,$(QUICK_TESTS))

$(QUICK_TESTS): .venv/dev.stamp
	@$(BIN)/python -m pytest -q -m "$(QUICK)" $($@) $(ARGS) $(kept)

real-cli real-rest: .venv/dev.stamp
	@$(BIN)/python -m pytest -q -m "(kafka or registry or slow) and $(ELSEWHERE)" $($@) $(ARGS) $(kept)

coverage-full: .venv/dev.stamp  ## what the auditor reports of 10,000 seeded days is what happened, five minutes (ARGS="--days 500")
	@$(BIN)/python -m tests.truth $(ARGS)

coverage: .venv/dev.stamp  ## the quick tests with coverage of lines and branches
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest -q -m "$(QUICK)" $(ARGS)
	@$(BIN)/coverage combine --quiet && $(BIN)/coverage report

lint: .venv/dev.stamp  ## formatting, lint, types, import contracts
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache > .venv/lint-imports.log || (cat .venv/lint-imports.log; false)

faults: .venv/dev.stamp  ## the fault matrix on three real brokers, with short faults (ARGS="A2 A3" for some rows)
	@$(PREPARE)
	@$(BIN)/python -m tests.faults $(ARGS)

audit-kill-full: .venv/dev.stamp  ## the auditor killed 50 times at random, ten minutes (KILLS=500 for more)
	@$(PREPARE)
	@KIS_BOND_AUDITOR_KILLS=$(or $(KILLS),50) $(BIN)/python -m pytest -q -s --timeout 0 tests/app/audit/test_kills.py $(ARGS)

audit-cut-full: .venv/dev.stamp  ## the session cut for a minute, and what KIS's list brings back, five minutes
	@KIS_BOND_CUT_SECONDS=60 $(BIN)/python -m pytest -q --timeout 0 tests/app/audit/test_build.py $(ARGS)

audit-cost: .venv/dev.stamp  ## a day of 5 million ticks is audited in under 5 minutes of CPU and 300 MB, ten minutes
	@$(BIN)/python -m benchmarks.audit $(ARGS)

journal-kill-full: .venv/dev.stamp  ## the journal killed 1,000 times inside its steps, ten minutes
	@$(BIN)/python -m tests.faults --full C3

faults-full: .venv/dev.stamp  ## the same at full length; an hour and a half for all rows
	@$(PREPARE)
	@$(BIN)/python -m tests.faults --full $(ARGS)

replicas-test: .venv/dev.stamp  ## replicas that share app keys: stopped, killed, frozen, cut off (ARGS="polite killed" for some rows)
	@$(BIN)/python -m tests.replicas $(ARGS)

capacity-test: .venv/dev.stamp  ## 1,000 bonds over 25 app keys, and bursts of edits, measured (ARGS=--write for docs/capacity.md)
	@$(BIN)/python -m tests.capacity $(ARGS)

operations-test: .venv/dev.stamp  ## alerts, dashboard, runbook, pages of metrics and logs, with a real Prometheus
	@$(PROMETHEUS)
	@$(BIN)/python -m pytest tests/operations $(ARGS)

asyncapi: .venv/dev.stamp  ## renew schemas/asyncapi.yaml from the schemas and the topic plan
	@$(BIN)/python -m tests.asyncapi

settings-page: .venv/dev.stamp  ## renew docs/settings.md from the settings' definitions
	@$(BIN)/python -m tests.settings.settings_page

metrics-page: .venv/dev.stamp  ## renew docs/metrics.md from the metrics' definitions
	@$(BIN)/python -m tests.operations.metrics_page

image-test: .venv/dev.stamp  ## the image and compose.yaml on a real Docker engine; as root if no engine answers
	@$(ENGINE)
	@$(REALM)
	@KIS_BOND_REQUIRE_KAFKA=1 KIS_BOND_REQUIRE_DOCKER=1 $(BIN)/python -m pytest tests/image $(ARGS)

# Each model is named here once. HISTORIES is for each of them. FIRST is the first seed, so that a
# long run can be divided into parts: HISTORIES=10000, and then HISTORIES=10000 FIRST=10000.
HISTORIES ?= 20000
FIRST ?= 0
MODELS := tests/core/kis/test_registration_histories.py tests/core/kis/test_refusal_histories.py tests/core/kis/test_forgotten_histories.py tests/core/slots/test_fleet.py
models-full: .venv/dev.stamp  ## the models' random histories, 20,000 for each model, with progress (HISTORIES=1000 FIRST=3000 for some)
	@KIS_BOND_HISTORIES=$(HISTORIES) KIS_BOND_FIRST_HISTORY=$(FIRST) $(BIN)/python -m pytest -q -x -s --timeout 0 --hypothesis-seed $(FIRST) $(MODELS) $(ARGS)

fuzz: .venv/dev.stamp  ## coverage-guided fuzzing, SECONDS for each target; pytest replays the corpus it left
	@for target in frame sealed_frame control_message control_value control_key peer_text journal; do $(BIN)/python -m tests.fuzz $$target --seconds $(SECONDS) || exit 1; done

bench: .venv/dev.stamp  ## speed, latency and CPU with a real Kafka, beside two other pipelines (ARGS=--help for its options)
	@$(BIN)/python -m benchmarks.bench $(ARGS)

bench-guard: .venv/dev.stamp  ## split and encode do no more work than benchmarks/recorded.json says, on any machine
	@$(BIN)/python -m benchmarks.guard $(ARGS)

# containerd and runc are installed; etcd and the network's plugins are unpacked into .cache.
NODE := $(call debian,containerd:containerd runc:runc)

.PHONY: k8s-test
k8s-test: .venv/dev.stamp  ## the chart on a real Kubernetes, which Go builds the first time (ARGS=--table for the docs)
	@$(ENGINE)
	@$(NODE)
	@$(BIN)/python -m tests.k8s $(ARGS)

.PHONY: helm-test chart-readme
helm-test: .venv/dev.stamp  ## the Helm chart with a real Helm, which Go builds the first time
	@$(BIN)/python -m pytest tests/helm $(ARGS)

chart-readme: .venv/dev.stamp  ## renew the chart's README from the comments of its values
	@$(BIN)/python -m tests.helm.values_readme

# The tests use Chromium; the bonds' names and the pictures need a Korean font. Without them the tests
# say what they left out.
PAGE_NEEDS := chromium fontconfig fonts-nanum
.PHONY: page-test pictures page-needs
page-needs: .venv/dev.stamp
	@(command -v chromium && fc-list :lang=ko | grep .) > /dev/null || \
	  (apt-get update -qq && apt-get install -y -qq --no-install-recommends $(PAGE_NEEDS) > /dev/null) || echo "$(PAGE_NEEDS) could not be installed"

page-test: page-needs  ## the page at / in a real Chromium
	@$(BIN)/python -m pytest tests/page $(ARGS)

# Maven's jars and other packages of the examples are kept in .cache. Without them the tests say what
# they left out.
.PHONY: examples-test
examples-test: .venv/dev.stamp  ## every example of examples/ against a real Kafka and registry (ARGS="-k flink" for some)
	@$(BIN)/python -m pytest tests/examples $(ARGS)

# A proxy, and what builds the package that speaks to a Kerberos realm. Without them the tests say what
# they left out.
ACCESS := $(call debian,tinyproxy:tinyproxy krb5-config:libkrb5-dev gcc:gcc python3-config:python3-dev) || echo "Not everything could be installed:$$wanted"
GSSAPI := $(INSTALL) -r requirements/gssapi-build.txt && \
  $(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-build-isolation -r requirements/gssapi.txt
.PHONY: access-test
SHARES ?= 1
access-test: .venv/dev.stamp  ## logins with Kerberos and tokens, and KIS through a proxy, with real ones (ARGS="F5 F11" for some rows)
	@$(REALM)
	@$(ACCESS)
	@$(BIN)/python -c "import gssapi" 2> /dev/null || ($(GSSAPI)) || echo "The package gssapi could not be built"
	@test -n "$(ARGS)" || $(BIN)/python -m pytest tests/access
	@$(BIN)/python -m tests.faults $(or $(ARGS),F --share $(SHARES))

pictures: page-needs  ## renew the pictures of the pages and of the terminal, docs/*.png and docs/*.svg
	@$(BIN)/python -m tests.page.pictures
	@$(BIN)/python -m tests.terminal.pictures

.PHONY: licences release-check
licences: .venv/dev.stamp  ## renew docs/licences.md, and refuse a licence that is not allowed
	@$(BIN)/python -m release.licences

release-check: .venv/dev.stamp  ## wheel, source, chart, bills of materials and checksums in dist/, and what a release must not hold
	@$(BIN)/python -m release

LOCK := $(BIN)/uv pip compile --quiet --upgrade --generate-hashes --no-emit-index-url --no-header --universal --python-version 3.11
lock: .venv/dev.stamp  ## renew requirements/*.txt from pyproject.toml, and each example's from its requirements.in
	@for set in "build:--group build" "runtime:pyproject.toml" "demo:--extra demo --group build pyproject.toml" \
	    "msk:--extra msk pyproject.toml" "gssapi:--extra gssapi pyproject.toml" "gssapi-build:--group gssapi-build" \
	    "dev:--extra dev --extra msk --group build pyproject.toml"; do \
	  $(LOCK) $${set#*:} -o requirements/$${set%%:*}.txt; done
	@for example in examples/*/requirements.in; do $(LOCK) $$example -o $${example%.in}.txt; done

clean:  ## remove what the targets made
	rm -rf .venv .cache .coverage* .mypy_cache .pytest_cache .ruff_cache
