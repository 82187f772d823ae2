# make demo: set up and run the main job on the embedded data; make test: set up and pass the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help setup demo test slow lint types check clean

help:
	@echo "make demo    set up, search on synthetic street scenes, render the report"
	@echo "make test    set up, run the fast tests"
	@echo "make slow    set up, run the slow tests of the search: processes are killed, plans broken off; some minutes"
	@echo "make check   lint, types and tests, as CI runs them"

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else "stdc_lab needs Python 3.11 or newer, this is %d.%d: make PYTHON=python3.11" % v[:2])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

setup: $(READY)

demo: $(READY)
	$(BIN)/stdc-lab search studies/quickstart.yaml
	$(BIN)/stdc-lab report runs/quickstart

test: $(READY)
	$(BIN)/python -m pytest --quiet --numprocesses auto

slow: $(READY)
	$(BIN)/python -m pytest --quiet --numprocesses auto -m slow tests/search

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

check: lint types test slow

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
