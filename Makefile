# Every target is one line; uv is brought into .uv where it is not installed.
UV := $(or $(shell command -v uv),.uv/bin/uv)
BIN := .venv/bin
.DEFAULT_GOAL := help
.PHONY: help setup demo docs test test-slow bench bench-events check lint types format up down clean

help: ; @echo "make demo [DATA=path] | test | test-slow | bench | bench-events | check | docs | format | up | down | setup | clean    (learnrec --help says more)"
.uv/bin/uv: ; python3 -m venv .uv && .uv/bin/pip install --quiet uv
setup: $(UV) ; @$(UV) sync --frozen --compile-bytecode --quiet
demo: setup ; @$(BIN)/learnrec demo $(if $(DATA),--data $(DATA))
test: setup ; $(BIN)/pytest
bench: setup ; @$(BIN)/learnrec bench serving
bench-events: setup ; @$(BIN)/learnrec bench events
test-slow: setup ; $(BIN)/pytest -m "slow or not slow"
docs: setup ; @NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet && echo "var/site/index.html"
check: setup lint types test
lint: setup ; $(BIN)/ruff check && $(BIN)/ruff format --check && $(BIN)/lint-imports
types: setup ; $(BIN)/pyright
format: setup ; $(BIN)/ruff check --fix && $(BIN)/ruff format
up down: setup ; @$(BIN)/learnrec $@
clean: ; rm -rf dist .pytest_cache .ruff_cache .import_linter_cache .hypothesis
