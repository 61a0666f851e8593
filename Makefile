# SPDX-License-Identifier: Apache-2.0
# Every target does its own set-up: it needs python3 (3.11 or newer, with venv) and make, nothing else.
# Another interpreter: make PYTHON=python3.12 test

PYTHON ?= python3
BIN := .venv/bin

.PHONY: help setup test lint demo bench torture conformance man lock clean
.DEFAULT_GOAL := help

help:
	@echo 'make demo         the whole job against a local stand-in for AWS, start to end'
	@echo 'make test         the test suite'
	@echo 'make lint         ruff, mypy, import contracts'
	@echo 'make bench        speed and memory, as ratios within one run'
	@echo 'make torture      faults at every point, of every kind: half an hour'
	@echo 'make conformance  real AWS SDKs and tools'
	@echo 'make man          write the manual page anew'
	@echo 'make lock         pin the newest versions of everything, with hashes, in .ci/'
	@echo 'make clean        remove .venv, build and caches'

setup:
	@$(PYTHON) .ci/setup.py

# Two processes, as .ci/run has them; `.venv/bin/python -m pytest FILE` is one, and starts at once.
test: setup
	@$(BIN)/python -m pytest -n 2 --dist worksteal

# All four say their piece; one failure is enough.
lint: setup
	@status=0; \
	$(BIN)/python -m ruff check || status=1; \
	$(BIN)/python -m ruff format --check || status=1; \
	$(BIN)/python -m mypy || status=1; \
	$(BIN)/lint-imports --no-logo || status=1; \
	exit $$status

demo: setup
	@$(BIN)/python -m tests.demo

bench: setup
	@$(BIN)/python -m tests.bench

# What only has to be repeated, and is repeated more often here: tests/campaign.py.
OFTEN := $(addprefix tests/promises/,test_clients_through_locks.py test_locks_leak_nothing.py test_malformed_frames.py\
	test_nothing_left_in_memory.py)
torture: setup
	@TORTURE=1 $(BIN)/python -m pytest -n 2 --dist worksteal tests/torture $(OFTEN)

conformance: setup
	@$(BIN)/python -m pytest tests/conformance

# From what the command says of itself; a test fails when the page is older.
man: setup
	@$(BIN)/python .ci/man.py

lock:
	@$(PYTHON) .ci/setup.py lock

clean:
	rm -rf build .venv .venv.lock .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .coverage
	find vaultd cli tests -name __pycache__ -type d -exec rm -rf {} +
