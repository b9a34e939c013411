# Heptad's commands. `make help` lists them; `make up` and `make test` are all that a newcomer needs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
HOME_DIR ?= .heptad
PROTOS := $(shell find protos -name '*.proto')
SOURCES := libs services tests

.DEFAULT_GOAL := help

.PHONY: help
help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Heptad needs Python 3.11 or later; PYTHON=/path/to/python3 make … chooses one"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(VENV)/bin/python requirements/run.lock pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	$(BIN)/python -m compileall -q libs services
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements/dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	@touch $@

node_modules/.package-lock.json: package.json package-lock.json
	npm ci --silent

.PHONY: setup
setup: $(VENV)/.dev ## Make the virtual environment with everything that tests need

.PHONY: up
up: $(VENV)/.run ## Start the whole mesh on this machine: http://127.0.0.1:7700
	@$(BIN)/heptad up --home $(HOME_DIR)

.PHONY: demo
demo: $(VENV)/.run ## Drive a running mesh as a citizen, a service and an auditor would
	@$(BIN)/heptad demo --home $(HOME_DIR)

.PHONY: test
test: $(VENV)/.dev ## Run every test, and say at the end what pytest says
	@$(BIN)/python -m pytest -n 2 --dist worksteal

.PHONY: check
check: $(VENV)/.dev node_modules/.package-lock.json ## Format, lint, types, walls, protos, generated code
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	npx --no-install buf lint
	npx --no-install buf breaking --against protos/released.binpb
	npx --no-install redocly lint --config redocly.yaml services/gateway/heptad_gateway/openapi.json
	$(BIN)/python -m heptad.wire.generate --check
	$(BIN)/python -m pytest -q tests/tidy

.PHONY: format
format: $(VENV)/.dev ## Put the code into the house's format
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

.PHONY: generate
generate: $(VENV)/.dev ## Generate the stubs from the protos
	$(BIN)/python -m heptad.wire.generate

.PHONY: checker
checker: $(VENV)/.run ## Put the receipt checker's parts into its one file, and print its SHA-256
	@$(BIN)/python -m heptad_gateway.checker_page

.PHONY: screenshots
screenshots: $(VENV)/.dev ## The pages of a running cell as pictures, into docs/images (needs Chromium)
	@PYTHONPATH=tests $(BIN)/python -m screenshots

.PHONY: released
released: node_modules/.package-lock.json ## Take today's protos as the API that may not break
	npx --no-install buf build -o protos/released.binpb

.PHONY: lock
lock: $(VENV)/.dev ## Pin the dependencies anew, with hashes and without hosts
	$(BIN)/uv pip compile pyproject.toml --extra dev --generate-hashes --universal --no-header \
	  --python-version 3.11 --quiet -o requirements/dev.lock
	$(BIN)/uv pip compile pyproject.toml --extra build --generate-hashes --universal --no-header \
	  --python-version 3.11 --quiet --constraint requirements/dev.lock -o requirements/run.lock

.PHONY: sim
sim: $(VENV)/.run ## A million simulated rounds of consensus under faults, and some of other sizes of the group
	$(BIN)/heptad simulate --rounds 1000000
	@for members in 4 10 13; do $(BIN)/heptad simulate --rounds 50000 --members $$members || exit 1; done

.PHONY: mutants
mutants: $(VENV)/.dev ## Weaken each rule of consensus in turn and see that a test notices
	@PYTHONPATH=tests $(BIN)/python -m mutants $(ONLY)

.PHONY: mutants-table
mutants-table: $(VENV)/.dev ## Write docs/spec/mutants.md from the list, and run nothing
	@PYTHONPATH=tests $(BIN)/python -m mutants --table

.PHONY: faults
faults: $(VENV)/.run ## Break processes, disks, networks and clocks of a running mesh, and check its history
	$(BIN)/heptad faults

.PHONY: hostile
hostile: $(VENV)/.run ## Attack a running mesh as an evil replica and an evil validator, and measure the others
	$(BIN)/heptad hostile

.PHONY: flips
flips: $(VENV)/.dev ## Change thousands of single bits in a ledger's files, and see each one found
	@HEPTAD_FLIPS=5000 $(BIN)/python -m pytest -q tests/unit/ledger/test_fsck.py

.PHONY: crashes
crashes: $(VENV)/.dev ## Kill a ledger hundreds of times, fill its disk and tear its pages
	@HEPTAD_KILLS=300 HEPTAD_TEARS=500 $(BIN)/python -m pytest -q tests/unit/ledger/test_crashes.py

.PHONY: forensics
forensics: $(VENV)/.dev ## Look for an erased person in every file, page, journal and backup of a cell
	@HEPTAD_FORENSICS=1 $(BIN)/python -m pytest -q tests/forensics

.PHONY: drill
drill: $(VENV)/.dev ## Lose a running cell's ledger; bring it back from a backup, then from its public files
	@HEPTAD_DRILL=1 $(BIN)/python -m pytest -q tests/mesh/test_drill.py

.PHONY: model
model: $(VENV)/.run ## The protocol's rules exhausted, and each of them taken out: a table
	$(BIN)/heptad model

.PHONY: wheels
wheels: $(VENV)/.run ## Fetch what the image is made of, so that it can be built without a registry
	@$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes \
	  --only-binary :all: -r requirements/run.lock -d ops/container/wheels

.PHONY: compose-test
compose-test: $(VENV)/.dev wheels ## Build compose.yaml with a real Docker engine, run it, break it, clean up
	@PYTHONPATH=tests $(BIN)/python -m containers

.PHONY: bench
bench: $(VENV)/.run ## Measure throughput, latency and cost, and compare with the last run
	$(BIN)/heptad bench

.PHONY: clean
clean: ## Remove what was built; the ledger's data in .heptad stay
	rm -rf $(VENV) node_modules .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
