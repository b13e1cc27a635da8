# Everything a fresh machine needs beyond Python 3.11+, make and a C compiler is installed into .venv by these targets.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# Folder with FERPlus and facial_expressions (LFW expressions), and where `make weights` works; it goes on where it stopped.
DATA ?= data
WORK ?= runs
WEIGHTS := ferplus-mobilenetv2-64

# Folders with the oldest and the newest versions that pyproject.toml allows.
OLDEST := .venv-oldest
NEWEST := .venv-newest

.PHONY: demo test test-slow test-oldest test-newest bench lint env clean weights

env: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "dcdan needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[train,ray,dev]'
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/dcdan demo --out demo --force

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

test-slow: $(STAMP)
	$(BIN)/python -m pytest -m slow

test-oldest:
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints-oldest.txt --editable . fsspec onnx pyarrow scipy pytest hypothesis
	OMP_NUM_THREADS=1 $(OLDEST)/bin/python -m pytest tests/unit/inference tests/unit/images tests/unit/faces tests/unit/core

test-newest:
	$(PYTHON) -m venv $(NEWEST)
	$(NEWEST)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade --editable '.[train,ray,dev]'
	OMP_NUM_THREADS=1 $(NEWEST)/bin/python -m pytest -n auto --dist loadfile

bench: $(STAMP)
	$(BIN)/python benchmarks/run.py

weights: $(STAMP)
	mkdir -p $(WORK)/packs
	test -d $(WORK)/packs/ferplus64 || $(BIN)/dcdan pack ferplus:$(DATA)/FERPlus --size 64 --out $(WORK)/packs/ferplus64
	test -d $(WORK)/packs/lfw64 || $(BIN)/dcdan pack lfw_expressions:$(DATA)/facial_expressions --size 64 --out $(WORK)/packs/lfw64
	$(BIN)/dcdan adapt --config experiments/weights.toml --source $(WORK)/packs/ferplus64 --target $(WORK)/packs/lfw64 --out $(WORK)/weights
	$(BIN)/dcdan export $(WORK)/weights --force
	cd $(WORK) && $(abspath $(BIN))/python $(CURDIR)/experiments/bundle.py weights $(WEIGHTS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) $(OLDEST) $(NEWEST) demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
