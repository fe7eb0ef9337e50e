# Two commands matter: `make demo` and `make test`. Both set up everything they need in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
THREADS ?= $(shell nproc 2>/dev/null || echo 2)
# One more than cores: tests wait for browsers, servers and processes two fifths of their time.
WORKERS ?= $(shell expr $(THREADS) + 1)

.PHONY: demo test lint bench docs acceptance clean

demo: $(VENV)/.ready
	$(BIN)/superalign demo --out reports

# Compiled files are kept even where PYTHONDONTWRITEBYTECODE is set: hundreds of short processes would compile everything.
test: $(VENV)/.ready
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --ignore=tests/real --ignore=tests/acceptance

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.ready
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/start.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/w2s.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/oversight.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/ratings.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/web.py

docs: $(VENV)/.ready
	$(BIN)/python docs/generate.py

acceptance: $(VENV)/.ready
	OMP_NUM_THREADS=$(THREADS) $(BIN)/python -m pytest tests/acceptance -s

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist

# The versions in constraints.txt are the ones that were tested together. Set CONSTRAINTS= to choose your own.
CONSTRAINTS ?= --constraint constraints.txt
$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "superalign needs Python 3.11 or later; type: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS) --editable '.[dev]'
	touch $@
