# SPDX-License-Identifier: Apache-2.0
# `make help` says what there is. CI=true makes a skipped test a failure.

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
KEEP ?=
PYTEST_ARGS ?=
SOAK ?=
QUICK ?=
ROWS ?=
PROFILE ?=
BENCH_ARGS ?=
INPUTS ?=
TARGETS ?=
RANDOM ?=
SEED ?=
SEAL ?=
JOBS ?= auto
CLUSTER_ARGS ?=
# Tests start hundreds of interpreters; without bytecode each would compile all of its modules.
unexport PYTHONDONTWRITEBYTECODE
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

ifeq ($(CI),true)
# The plugin stands beside the tests.
PYTEST := PYTHONPATH=tests $(BIN)/python -m pytest -p no_skips
else
PYTEST := $(BIN)/python -m pytest
endif
# A file of tests stays in one process: it may share a server, or the private pcscd of its process.
PARALLEL := -n $(JOBS) --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.PHONY: help venv demo cluster test check coverage mutants soak fuzz bench docs deb deb-test clean packages \
	packages-deb

help:
	@echo 'make demo      run the whole system here, with simulated cards and your readers'
	@echo '               KEEP=1 leaves it running'
	@echo 'make cluster   three servers that serve as one: cards taken through each, two of them killed'
	@echo 'make test      install what the tests need, then static checks and all tests'
	@echo '               PYTEST_ARGS="-k tls" chooses tests; CI=true fails on a skipped test'
	@echo '               JOBS=0 runs them in one process, one after the other'
	@echo 'make check     static checks only'
	@echo 'make coverage  all tests, and which lines they miss'
	@echo 'make mutants   plant bugs in a copy, one at a time, and see that a test catches each'
	@echo '               RANDOM=20 draws as many small changes of any module instead; SEED=... repeats'
	@echo '               SEAL="required off" those to be caught in sealed sessions and in others'
	@echo 'make soak      the programs for minutes, while connections are cut and programs killed'
	@echo '               then both ends of a session, with whatever a network can do'
	@echo '               SOAK="cuts night cluster" chooses runs; WSRC_SOAK_SEED=... repeats one'
	@echo 'make fuzz      ten million hostile inputs, led by coverage where atheris can be installed'
	@echo '               INPUTS=100000 fewer; TARGETS="relay codec" chooses'
	@echo 'make bench     measure beside other relays: a table of targets, and all figures in .bench.json'
	@echo '               QUICK=1 in three minutes; ROWS="relay wan" chooses; PROFILE=1 where py-spy is'
	@echo 'make docs      a site of the documents in build/site, which asks nobody when it is read'
	@echo 'make deb       Debian packages in dist/; make packages-deb installs what builds them'
	@echo 'make deb-test  as root: install, use, upgrade and purge them in a new Debian in a folder'
	@echo 'make venv      make .venv with WSRC in it, for development'
	@echo 'make clean     remove what was made here'

venv: $(VENV)/.dev

demo: $(VENV)/.run
	@KEEP=$(KEEP) $(BIN)/python contrib/tools/demo.py

cluster: $(VENV)/.dev
	@$(BIN)/python contrib/tools/cluster.py $(CLUSTER_ARGS)

# Tests are compiled while the checks run; else each process of pytest would compile them for itself.
test: packages $(VENV)/.dev
	@$(PYTEST) --collect-only -qq $(PYTEST_ARGS) >/dev/null 2>&1 & compiling=$$!; \
	.ci/check || { kill $$compiling; exit 1; }; wait $$compiling; \
	$(PYTEST) $(PARALLEL) $(PYTEST_ARGS)

check: $(VENV)/.dev
	@.ci/check

coverage: packages $(VENV)/.dev
	@$(BIN)/coverage run -m pytest -q $(PYTEST_ARGS)
	@$(BIN)/coverage report --show-missing --skip-covered

mutants: $(VENV)/.dev
ifeq ($(RANDOM),)
	@$(BIN)/python contrib/tools/plant_bugs.py $(if $(SEAL),--seal $(SEAL))
else
	@$(BIN)/python contrib/tools/plant_bugs.py --random $(RANDOM) $(if $(SEED),--seed $(SEED))
endif

soak: packages $(VENV)/.dev
	@$(BIN)/python -m tests.soak $(SOAK)
ifeq ($(SOAK),)
	@HYPOTHESIS_PROFILE=soak $(BIN)/python -m pytest -q -o faulthandler_timeout=0 tests/property/test_session.py
endif

fuzz: $(VENV)/.dev
	@$(BIN)/python -c 'import atheris' 2>/dev/null \
		|| $(BIN)/python -m pip install --quiet --no-input --editable '.[fuzz]' || true
	@$(BIN)/python -m tests.fuzz $(TARGETS) $(if $(INPUTS),--inputs $(INPUTS))

bench: packages $(VENV)/.dev
	@$(BIN)/python -m tests.bench $(if $(QUICK),--quick) $(if $(PROFILE),--profile) \
		--rows '$(ROWS)' --json .bench.json $(BENCH_ARGS)

docs: $(VENV)/.dev
	@$(BIN)/python contrib/site/build.py
	@echo 'build/site/index.html'

deb:
	@contrib/debian/build

deb-test:
	@contrib/debian/try

clean:
	@rm -rf $(VENV) .demo .coverage .mypy_cache .ruff_cache .pytest_cache .import_linter_cache \
		.hypothesis build dist .bench.json .bench-profiles .fuzz
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

packages:
	@.ci/packages

packages-deb:
	@.ci/packages deb

$(VENV)/.dev: pyproject.toml .ci/venv
	@.ci/venv dev

$(VENV)/.run: pyproject.toml .ci/venv
	@.ci/venv run
