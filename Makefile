# Three commands, each complete on a fresh machine: `make mini`, `make test`, `make demo`.
PYTHON ?=# of the environment; empty: the newest here that fits
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Containers often set it; then every process would compile all it imports (20 s, not 10).
unexport PYTHONDONTWRITEBYTECODE
SHELL := /bin/bash
.SHELLFLAGS := -e -u -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help mini results docs test test-all test-pythons test-slurm install demo

help: ## What can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

# uv is several times faster than pip; where it cannot work, pip does the same. Both
# read the machine's own certificates and package index settings.
$(STAMP): setup.py
	@echo "Installing into $(VENV) (minutes, once); log: $(VENV)/install.log"
	@[ -x $(BIN)/python ] || { \
	    python="$(strip $(PYTHON))"; \
	    [ -n "$$python" ] || read -r _ python < <(local/pythons.sh) || { \
	        echo "no Python 3.10 to 3.13 that can make a virtual environment (Debian, Ubuntu: apt install python3-venv; or make PYTHON=...)" >&2; exit 1; }; \
	    echo "$$("$$python" --version): $$python"; \
	    "$$python" -m venv $(VENV); }
	@$(BIN)/python local/install.py '.[test,scoring,onnx,demo,docs]' > $(VENV)/install.log 2>&1 \
	    || { tail -n 20 $(VENV)/install.log; exit 1; }
	@touch $@

install: $(STAMP) ## The environment in .venv

mini: $(STAMP) ## The mini recipe, stages 1 to 10: result tables, report, packed model
	@cd egs2/taste/mini && ./run.sh $(ARGS)

demo: ## A page in the browser for what make mini packed, or DEMO_MODEL=<folder, zip or name>
	@[ -n "$(DEMO_MODEL)" ] || [ -e egs2/taste/mini/exp/packed.zip ] || { \
	    echo "no model yet: make mini trains one; or make demo DEMO_MODEL=<folder, zip or name>" >&2; exit 1; }
	@$(MAKE) -s $(STAMP)
	@demo=("$(CURDIR)/$(BIN)/python" -m espnet2_taste.bin.demo --asr pocketsphinx); \
	if [ -n "$(DEMO_MODEL)" ]; then exec "$${demo[@]}" --model "$(DEMO_MODEL)" $(ARGS); fi; \
	cd egs2/taste/mini; baseline=exp/taste_text_only_matched; \
	PYTHONPATH="$(CURDIR)" exec "$${demo[@]}" --model exp/packed.zip \
	    $$([ ! -d "$$baseline" ] || echo --text_only "$$baseline") $(ARGS)

results: ## RESULTS.md and report of every recipe that was scored, from its results.json
	@compgen -G 'egs2/taste/*/exp/*/report.args' > /dev/null || { \
	    echo "no scores yet: make mini makes some; or stage 9 of another recipe's run.sh" >&2; exit 1; }
	@$(MAKE) -s $(STAMP)
	@for given in egs2/taste/*/exp/*/report.args; do \
	    (cd "$${given%%/exp/*}" && "$(CURDIR)/$(BIN)/python" \
	        -m espnet2_taste.bin.report "@exp/$${given#*/exp/}" $(ARGS)) || exit 1; \
	done

docs: $(STAMP) ## The documentation: site/index.html
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet && echo site/index.html

test-pythons: ## The quick tests on every Python here, each in an environment of its own
	@read -r _ python < <(local/pythons.sh) && "$$python" local/test_pythons.py $(ARGS)

test-slurm: $(STAMP) ## The fast mini recipe on a Slurm of one node, with a cancelled job
	@VIRTUAL_ENV="$(CURDIR)/$(VENV)" local/test_slurm.sh $(ARGS)

test: MARKS = -m "not nightly"
test: ## Lint, tests, coverage
test-all: ## The same with the nightly tests
test test-all: $(STAMP)
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/shellcheck $$(git ls-files '*.sh' 'local/*.pl' .ci/run)
	@$(BIN)/hadolint --failure-threshold info Dockerfile
	@PATH="$(CURDIR)/$(BIN):$$PATH" OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 \
	    --dist loadfile --no-loadscope-reorder --cov --cov-report=term $(MARKS) $(ARGS) tests
