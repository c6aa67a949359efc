# Thin: every target calls a tool that also works by itself. `make` alone prints this list.
.DEFAULT_GOAL := help
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/.ready
# The integration tests mostly wait for sessions and restarts; each job has a broker and a registry of its own (0.5 GB).
JOBS ?= 3

.PHONY: help setup demo test lint format unit integration soak fuzz sim chaos campaign scaling image dashboards up bench wheel clean

help: ## print this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

setup: $(READY) ## make .venv and install everything into it (Python 3.11 is the only prerequisite)

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "make: Python 3.11 is needed; $(PYTHON) is another. Try: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "setting up .venv (once; again only when pyproject.toml changes)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "pip>=25.1"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . --group dev
	@touch $@

demo: $(READY) ## start everything, simulate a market day, close the ledger
	@$(BIN)/dip demo

test: lint ## every check: lint, types, import contracts, unit, property, contract, simulation, integration
	@$(BIN)/pytest -m "not chaos and not soak and not fuzz and not image and not browser" -n $(JOBS) --dist worksteal

lint: $(READY) ## ruff, format, types, import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

format: $(READY) ## let ruff write the format and the fixes it is sure of
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

unit: $(READY) ## the checks that need no broker (seconds)
	@$(BIN)/pytest -q -m "not chaos and not kafka and not soak and not fuzz and not image and not browser"

integration: $(READY) ## the checks on real Kafka
	@$(BIN)/pytest -m "kafka and not chaos and not fuzz and not image and not browser" -n $(JOBS) --dist worksteal

fuzz: $(READY) ## ask a bridge on real Kafka what its OpenAPI document allows, and more (10 minutes; FUZZ_SECONDS, FUZZ_SEED)
	@$(BIN)/pytest -s -m fuzz tests/fuzz

sim: $(READY) ## router, engine, both together from thousands of seeds: crashes, zombies, frozen brokers (30 minutes; SIM_RUNS, SIM_FIRST)
	@PYTHONHASHSEED=0 PYTHONPATH=. $(BIN)/python -m tests.simulation.campaign --of engine --runs $(or $(SIM_RUNS),5000) --first $(or $(SIM_FIRST),0)
	@PYTHONHASHSEED=0 PYTHONPATH=. $(BIN)/python -m tests.simulation.campaign --of product --runs $(or $(SIM_RUNS),2000) --first $(or $(SIM_FIRST),0)
	@PYTHONHASHSEED=0 PYTHONPATH=. $(BIN)/python -m tests.simulation.campaign --of router --runs $(or $(SIM_RUNS),2000) --first $(or $(SIM_FIRST),0)

chaos: $(READY) ## the full fault counts on real Kafka (about an hour; CHAOS_KILLS=16 for fewer kills of delivery)
	@$(BIN)/pytest -m chaos tests/chaos tests/campaign

campaign: $(READY) ## faults of every kind against the whole product, the account closed after each round (ROUNDS, FIRST)
	@PYTHONPATH=. $(BIN)/python -m tests.campaign.run --rounds $(or $(ROUNDS),20) --first $(or $(FIRST),0)

scaling: $(READY) ## workers join, leave, roll and lose their disks under load, then more partitions: accounts and stalls (TIMES)
	@PYTHONPATH=. $(BIN)/python -m tests.campaign.scaling --times $(or $(TIMES),1)
	@PYTHONPATH=. $(BIN)/python -m tests.campaign.partitions

soak: $(READY) ## the long runs of generated input: messages of every pair, a million appointment histories (half an hour)
	@$(BIN)/pytest -q -m soak
	@PYTHONPATH=. $(BIN)/python tests/support/registry_soak.py 1000000 1000000

browser: $(READY) ## drive the console in a headless browser; pictures in var/browser (fetches Chromium by npm, once)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --group browser
	@$(BIN)/pytest -m browser tests/browser

image: $(READY) ## build the container image and run it, hardened, on real Kafka (needs podman or docker)
	@$(BIN)/pytest -m image tests/image

dashboards: $(READY) ## ask a real Prometheus every query of dashboards and alerts during a demo (some minutes)
	@PYTHONPATH=. $(BIN)/python tools/live_dashboards.py

up: $(READY) ## start the local stack and the router, leave them running
	@$(BIN)/dip up

bench: $(READY) ## measure the engine beside a plain loop and stock faust-streaming
	@$(BIN)/dip bench engine

wheel: $(READY) ## build the wheel into dist/
	@$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean: ## forget local state, caches and the environment
	@rm -rf .venv var dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
