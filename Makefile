# Run `make` to see what there is. ARGS="…" is handed on to demo, bench, fuzz and the test runner.
SHELL := /bin/sh
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.NOTPARALLEL:

PYTHON ?= python3
BIN := .venv/bin
# Debian keeps mosquitto in sbin, which an ordinary user's PATH lacks.
export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin

.PHONY: help env servers demo test lint types check-imports schema bench soak chaos fuzz fmt clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

env: .venv/.complete ## make .venv from the lock file (needs Python 3.11 or newer)
	@:

.venv/.complete: requirements.lock pyproject.toml tools/env.sh
	@PYTHON="$(PYTHON)" sh tools/env.sh >&2

servers: ## find or install mosquitto and victoria-metrics, which the tests talk to
	@sh tools/servers.sh >&2

demo: env ## a simulated plant, read and delivered, live; ARGS="--for 20s --json"
	@$(BIN)/metergate demo $(ARGS)

test: env servers lint types check-imports ## everything that must hold: lint, types, import contracts, all tests
	$(BIN)/python -m pytest -n 4 --dist loadgroup --benchmark-disable --durations=10 --junitxml=test-report.xml $(ARGS)

lint: env ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: env ## mypy --strict
	$(BIN)/mypy

check-imports: env ## imports point one way
	$(BIN)/lint-imports --no-cache

schema: env ## write the generated schemas anew
	$(BIN)/python -m gateway.config.schema
	$(BIN)/python -m gateway.feed.asyncapi
	$(BIN)/python -m gateway.inventory.pages
	$(BIN)/python -m gateway.fitting.ruleset_pages
	$(BIN)/python -m gateway.fitting.schemas

bench: env servers ## measure the pipeline; ARGS="--only tcp-mqtt"
	@$(BIN)/python -m tests.bench.run $(ARGS)

soak: env servers ## a bad day in real time: memory, CPU, losses; ARGS="--minutes 10"
	@$(BIN)/python -m tests.soak.run $(ARGS)

chaos: env servers ## random outages and kills of the gateway, then everything is compared; ARGS="--seed 7"
	@$(BIN)/python -m tests.chaos.run $(ARGS)

fuzz: env ## a million malformed answers a codec; ARGS="--only dlt645 --answers 20000"
	@$(BIN)/python -m tests.fuzz.run $(ARGS)

fmt: env ## mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove .venv, caches and builds
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .benchmarks dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
