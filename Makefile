# Every chore of the project, by name. `make` alone lists them.
#
# .venv is made from requirements.lock once and remade when the lock changes. PYTHON picks the interpreter:
# the first of these that is 3.11 or newer.

PYTHON  ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
             $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
WORKERS ?= 2
CASES   ?= 100000

BIN    := .venv/bin
OLDEST := .venv-oldest/bin
SPARK  := .venv-spark/bin
RESOLVE = $(BIN)/uv pip compile --quiet --no-config --universal --python-version 3.11 --generate-hashes --no-annotate \
            --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Hundreds of processes are started by the tests: compiling the package anew in each would be a good part of their time.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help venv demo page test test-all test-spark test-oldest check golden fuzz mutants bench bench-check docs lock clean

help:  ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: .venv/.installed  ## create .venv from the hash-locked requirements

demo: venv  ## the main job end to end on generated data: compile, build, materialize, serve, look up
	@$(BIN)/python scripts/demo.py

page: venv  ## serve what the demo has made, at http://127.0.0.1:8000/
	@$(BIN)/python scripts/demo.py --page

test: venv  ## the test suite, without the slow tests
	@$(BIN)/pytest tests -n $(WORKERS) --dist worksteal -q -m "not slow"

test-all: venv .venv-spark/.installed .venv-airflow/.installed .venv-dagster/.installed  ## every test, those of Spark too, and generated cases under all settings
	@FEATURESTORE_THOROUGH=1 $(BIN)/pytest tests -n $(WORKERS) --dist worksteal -q
	@$(SPARK)/pytest tests/spark -n $(WORKERS) --dist worksteal -q

test-spark: .venv-spark/.installed  ## the same answers by Spark: one local session, in an environment of its own (needs Java 17)
	@$(SPARK)/pytest tests/spark -n $(WORKERS) --dist worksteal -q -m "not slow"

test-oldest: .venv-oldest/.installed  ## the test suite on the oldest DuckDB we support
	@$(OLDEST)/pytest tests -n $(WORKERS) --dist worksteal -q -m "not slow"

check: venv  ## lint, format, types, import layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

golden: venv  ## write sql/ and the golden files anew; review the difference
	@$(BIN)/featurestore compile
	@$(BIN)/pytest tests/golden -q --update-golden

fuzz: venv  ## the property tests against the oracle, large (CASES=100000), where .venv-spark is on Spark too
	@FEATURESTORE_FUZZ_CASES=$(CASES) $(BIN)/pytest tests/property -n $(WORKERS) -q -m fuzz
	@test ! -e .venv-spark/.installed || FEATURESTORE_FUZZ_CASES=$(CASES) $(SPARK)/pytest tests/spark -q -m fuzz

mutants: venv  ## plant leaks and wrong values, one at a time; each must be killed
	@$(BIN)/python scripts/mutants.py

bench: venv  ## measure, side by side with peers
	@$(BIN)/python benchmarks/run.py

bench-check: venv  ## measure and fail where a promised figure is missed
	@$(BIN)/python benchmarks/run.py --check

docs: venv  ## write the generated reference
	@$(BIN)/python scripts/docs.py

lock: venv  ## bring the lock files up to pyproject.toml (UPGRADE=1: take the newest of everything)
	@$(RESOLVE) --extra dev -o requirements.lock pyproject.toml
	@echo 'duckdb==1.5.6' | $(RESOLVE) --no-deps -o requirements-oldest.lock -
	@$(RESOLVE) --extra dev --extra spark -c requirements.lock -o requirements-spark.lock pyproject.toml
	@echo 'apache-airflow==3.3.2' | $(RESOLVE) -o examples/airflow/requirements.lock -
	@echo 'dagster==1.13.29' | $(RESOLVE) -o examples/dagster/requirements.lock -

clean:  ## remove what was generated, except the environments
	@rm -rf build dist data .featurestore .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find featurestore tests registry scripts examples benchmarks -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

# The stamp comes last, so an interrupted install starts over.
.venv/.installed: requirements.lock pyproject.toml
	$(call install,.venv)
	@touch $@

.venv-oldest/.installed: requirements.lock requirements-oldest.lock pyproject.toml
	$(call install,.venv-oldest)
	@$(OLDEST)/python -m pip install --quiet --require-hashes --no-deps -r requirements-oldest.lock
	@touch $@

.venv-spark/.installed: requirements-spark.lock pyproject.toml
	$(call install,.venv-spark,requirements-spark.lock)
	@touch $@

# Orchestrators run the commands by path, so nothing of ours is installed beside them.
.venv-airflow/.installed .venv-dagster/.installed: .venv-%/.installed: examples/%/requirements.lock
	@echo "installing into .venv-$* (about a minute the first time)"
	@$(PYTHON) -m venv .venv-$*
	@.venv-$*/bin/python -m pip install --quiet --require-hashes -r $<
	@touch $@

define install
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; try: make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "installing into $(1) (about a minute the first time)"
	@$(PYTHON) -m venv $(1)
	@$(1)/bin/python -m pip install --quiet --require-hashes -r $(or $(2),requirements.lock)
	@$(1)/bin/python -m pip install --quiet --no-deps --no-build-isolation -e .
endef
