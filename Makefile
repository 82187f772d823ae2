# make demo: set up and run the main job on the embedded data; make test: set up and pass the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
OF_PROCESSOR := $(addprefix tests/,hardware/test_devices.py test_records.py deploy/test_runtimes.py profiling/test_latency.py \
	cli/test_profile.py training/test_trainer.py training/run/test_account.py training/run/test_resuming.py)

.PHONY: help setup demo test slow slowest avx2 lint types check clean

help:
	@echo "make demo    set up, search on synthetic street scenes, render the report"
	@echo "make test    set up, run the fast tests"
	@echo "make slow    set up, run the slow tests: processes are killed, plans broken off, runtimes compiled; some minutes"
	@echo "make slowest as make test, and name the ten slowest tests"
	@echo "make avx2    set up, run what depends on the processor as on one without AVX-512 and bfloat16"
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
	$(BIN)/python -m pytest --quiet --numprocesses auto -m slow

slowest: $(READY)
	$(BIN)/python -m pytest --quiet --numprocesses auto --durations 10

# oneDNN and PyTorch's own kernels heed these, OpenVINO in part: its tests have a stand-in.
avx2: $(READY)
	ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 $(BIN)/python -m pytest --quiet --numprocesses auto $(OF_PROCESSOR)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

check: lint types test avx2 slow

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
