# The commands of this project. `make help` lists them; nothing but Python >= 3.11 and make is needed.
SHELL := /bin/bash
PYTHON ?= python3
PORT ?= 3000
VENV := .venv
BIN := $(VENV)/bin
export DAGSTER_HOME := $(CURDIR)
export DAGSTER_DISABLE_TELEMETRY := 1

.PHONY: help setup demo dev test check bench e2e lock format clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.installed  ## Make the environment in .venv (every command below does it by itself)

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "StreamForge needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Say: make PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "$(PYTHON) cannot make an environment: install its venv module (Debian: apt-get install python3-venv)."; exit 1; }
	@echo "Installing what requirements.lock names into $(VENV) (a minute or two, once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup  ## Simulated exchange, Dagster UI, a first backfill: open http://127.0.0.1:3000
	@$(BIN)/python -m streamforge_dagster.demo --stop-with-parent --port $(PORT)

dev: setup  ## The same UI against the real exchanges
	@$(BIN)/python -m streamforge_dagster.demo --stop-with-parent --port $(PORT) --real

test: setup  ## All tests but the slow ones (`make e2e`)
	@$(BIN)/python -m pytest -n 2 -rs -m "not e2e" --cov --cov-report=term:skip-covered $(ARGS)
	@$(BIN)/python -m tests.architecture.coverage_floors

check: setup  ## Format, lint, types, import walls, dependencies
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy streamforge_core streamforge_dagster tests benchmarks
	@$(BIN)/lint-imports
	@$(BIN)/deptry .

e2e: setup  ## Real processes: Dagster's webserver and daemon, a browser
	@$(BIN)/python -m pytest -rs -m e2e $(ARGS)

bench: setup  ## Benchmarks with the peers beside ours
	@$(BIN)/python -m benchmarks $(ARGS)

format: setup  ## Format the code in place
	@$(BIN)/ruff format --quiet . && $(BIN)/ruff check --quiet --fix .

lock: setup  ## Resolve requirements.lock again
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-annotate --no-header --no-strip-extras --extra dev --upgrade pyproject.toml -o requirements.lock

clean:  ## Remove everything `make` has made, the data too
	rm -rf $(VENV) .dagster .streamforge data .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .coverage
