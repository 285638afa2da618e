# Everything a developer or CI runs. `make quickstart` and `make test` work on a fresh machine.
PYTHON ?= python3
CONSTRAINTS ?= constraints.txt
VENV := .venv
BIN := $(VENV)/bin

.PHONY: quickstart test check bench format install

install: $(VENV)/.installed

# One resolve for everything: the constraints pin the versions that were tested together, among them
# a torch with a small CPU build. `make install CONSTRAINTS=/dev/null` leaves the choice to pip.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) -e '.[assets,corruptions,dev,tracking]'
	$(BIN)/python -m compileall -q $(VENV)/lib >/dev/null 2>&1 || true
	touch $@

quickstart: install
	$(BIN)/kdbench run --suite quickstart --methods finetune,kd,annealing,prokd,combined
	$(BIN)/kdbench report --suite quickstart

test: install
	$(BIN)/python -m pytest

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

bench: install
	$(BIN)/python -m tests.benchmarks

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
