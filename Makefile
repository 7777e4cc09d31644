# Two commands, each complete on a fresh machine: `make mini` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SHELL := /bin/bash
.SHELLFLAGS := -e -u -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help mini test install chromium

help: ## What can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

# uv is several times faster than pip; where it cannot work, pip does the same. Both
# read the machine's own certificates and package index settings.
$(STAMP): setup.py
	@echo "Installing into $(VENV) (minutes, once); log: $(VENV)/install.log"
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c 'import sys; v = sys.version_info[:2]; sys.exit(not (3, 10) <= v < (3, 12) and f"Python 3.10 or 3.11 is needed, not {v[0]}.{v[1]}: rm -r $(VENV); make PYTHON=python3.11 ...")'
	@$(BIN)/python local/install.py '.[test,scoring,onnx]' > $(VENV)/install.log 2>&1 \
	    || { tail -n 20 $(VENV)/install.log; exit 1; }
	@touch $@

install: $(STAMP) ## The environment in .venv

mini: $(STAMP) ## The mini recipe, stages 1 to 10: result tables, report, packed model
	@cd egs2/taste/mini && ./run.sh $(ARGS)

# One test opens the HTML report in a browser; it is skipped where there is none.
chromium:
	@if [ -z "$$(command -v chromium chromium-browser google-chrome || true)" ] \
	    && [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
	    { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; } \
	        > $(VENV)/chromium.log 2>&1 || echo "no chromium: the report test is skipped"; \
	fi

test: $(STAMP) chromium ## Lint, all tests, coverage
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/shellcheck $$(git ls-files '*.sh' 'local/*.pl' .ci/run)
	@PATH="$(CURDIR)/$(BIN):$$PATH" OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal \
	    --cov --cov-report=term $(ARGS) tests
