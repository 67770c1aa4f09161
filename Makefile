# Needs Python 3.10 or newer, pip and make; the rest is installed into .venv, once.
# ARGS reaches the command behind a target: make test ARGS="-k poller", make serve ARGS="--port 9000".

PYTHON ?= python3
ARGS ?=
# A file of tests stays in one process; the slow ones, which come first, stay first.
PARALLEL ?= --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
BIN := .venv/bin
APP := .venv/.installed-app
DEV := .venv/.installed-dev
BENCH := .venv/.installed-bench

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo serve test interop check bench bench-sdk bench-gateway docs constraints clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' Makefile

demo: $(APP)  ## start the platform, run real tasks, kill it in the middle, lose nothing
	@$(BIN)/nexusai demo $(ARGS)

serve: $(APP)  ## run the platform on this machine
	@$(BIN)/nexusai serve $(ARGS)

test: $(DEV)  ## run the tests
	@$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

interop: $(DEV) .venv/litellm/bin/litellm  ## run the adapters against another gateway
	@NEXUS_LITELLM=$(abspath .venv/litellm/bin/litellm) $(BIN)/python -m pytest tests/interop $(ARGS)

check: $(DEV)  ## formatting, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(APP)  ## measure the platform on this machine
	@$(BIN)/python benchmarks/tasks.py $(ARGS)

bench-sdk: $(BENCH)  ## measure the SDK beside httpx, openai and replicate
	@$(BIN)/python benchmarks/sdk.py $(ARGS)

bench-gateway: $(APP) .venv/litellm/bin/litellm .venv/portkey/package-lock.json  ## measure the gateway beside LiteLLM's and Portkey's
	@$(BIN)/python benchmarks/gateway.py $(ARGS)

docs: $(DEV)  ## make the generated pages under docs/ again
	@for script in scripts/openapi.py scripts/generate_docs.py scripts/provider_docs.py; do \
	  [ ! -f $$script ] || $(BIN)/python $$script || exit 1; \
	done

constraints: $(BIN)/pip  ## renew the versions in constraints.txt
	@[ -x $(BIN)/uv ] || $(BIN)/python -m pip install -qq uv
	@echo '# What `make` installs, on every Python and system we support. Renewed by `make constraints`.' > .venv/constraints.txt
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.10 \
	  --quiet --no-header --no-annotate >> .venv/constraints.txt
	@mv .venv/constraints.txt constraints.txt

clean:  ## remove .venv and everything else made here
	rm -rf .venv dist build nexusai-demo .coverage .coverage.* htmlcov
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is written last, so a broken installation is tried again; with the stamp there, no network is needed.
# Everything that the app needs is in the development set too, hence both stamps there.
$(APP): EXTRAS := server,local
$(DEV): EXTRAS := server,local,dev
$(BENCH): EXTRAS := server,local,bench
$(APP) $(DEV) $(BENCH): pyproject.toml constraints.txt Makefile $(BIN)/pip
	@echo "Installing Nexus AI [$(EXTRAS)] into .venv"
	@[ -x $(BIN)/uv ] || $(BIN)/python -m pip install -qq uv || true
	@{ [ -x $(BIN)/uv ] && $(BIN)/uv pip install -q --python $(BIN)/python -c constraints.txt -e '.[$(EXTRAS)]'; } || { \
	  echo "uv could not do it; trying pip, which takes a minute."; \
	  $(BIN)/python -m pip install -qq -c constraints.txt -e '.[$(EXTRAS)]'; }
	@touch $(APP) $@

.venv/litellm/bin/litellm: | $(BIN)/pip
	@echo "Installing LiteLLM's proxy into .venv/litellm"
	@$(BIN)/python -m venv .venv/litellm
	@{ [ -x $(BIN)/uv ] && $(BIN)/uv pip install -q --python .venv/litellm/bin/python 'litellm[proxy]>=1.70'; } || \
	  .venv/litellm/bin/python -m pip install -qq 'litellm[proxy]>=1.70'

# With a newer @hono/node-server, which it would choose, it answers every stream with a 500. No npm: left out.
.venv/portkey/package-lock.json: | $(BIN)/pip
	@if command -v npm >/dev/null; then \
	  echo "Installing Portkey's gateway into .venv/portkey"; mkdir -p .venv/portkey; \
	  echo '{"dependencies": {"@portkey-ai/gateway": "1.15.2"}, "overrides": {"@hono/node-server": "1.13.8"}}' \
	    > .venv/portkey/package.json; \
	  npm install --prefix .venv/portkey --silent --no-audit --no-fund; \
	fi

# Debian's Python comes without ensurepip: virtualenv, from a folder thrown away afterwards, does without.
$(BIN)/pip:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || { \
	  echo "Nexus AI needs Python 3.10 or newer. $(PYTHON) --version says: $$("$(PYTHON)" --version 2>&1)" >&2; \
	  echo "Name another one, for example: make demo PYTHON=python3.12" >&2; exit 1; }
	@"$(PYTHON)" -m venv --clear .venv >/dev/null 2>&1 || { \
	  seed=$$(mktemp -d) && trap 'rm -rf "$$seed"' EXIT && rm -rf .venv && \
	  "$(PYTHON)" -m pip install -qq --target "$$seed" virtualenv && \
	  PYTHONPATH="$$seed" "$(PYTHON)" -m virtualenv --quiet .venv; } || { \
	  echo "No virtual environment could be made: install Python's venv module (Debian: python3-venv) or virtualenv." >&2; \
	  exit 1; }
