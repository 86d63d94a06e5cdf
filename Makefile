# `make demo` and `make test` do all the set-up. VENV=DIR puts the environment elsewhere.
VENV ?= .venv
# Processes that run test files side by side; 0 is this one alone. By files, and not by groups that tests are marked
# with: pytest 9.2 and pytest-xdist 3.8 ignore those silently (pytest-xdist issue 1386).
WORKERS ?= 2
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.10 || command -v python3)
BIN := $(VENV)/bin

.PHONY: demo test slow notebook faults lint benchmarks

# A stamp newer than the files that name the dependencies: the environment is up to date.
$(VENV)/.installed: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "No virtual environment can be made: install python3-venv (Debian: apt install python3-venv)." >&2; exit 2; }
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(VENV)/.installed
	$(BIN)/autoad-nni launch experiments/quickstart.yml

test: $(VENV)/.installed
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# What takes too long for every change; CI runs it too.
slow: $(VENV)/.installed
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m slow tests

# Kills, full disks, damaged files, fuzzing; other machines, which are an SSH server on 127.0.0.1.
faults: $(VENV)/.installed
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m 'faults or remote' tests

notebook: $(VENV)/.installed
	$(BIN)/python -m pytest -m notebook tests/examples

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

benchmarks: $(VENV)/.installed
	$(BIN)/python benchmarks/speed.py
