# `make demo` and `make test` need Python 3.11 or newer and nothing else: what they use is made in
# .venv, by pip, from the versions and hashes of requirements.lock.

PYTHON ?=
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
PYTEST_ARGS ?=
# The Cassandra that tests run on, where no other server is named: 4.1, 5.0 or 6.0.
SERVER ?= 5.0
OTHER_SERVERS := 4.1 6.0
# Tests wait for a server most of the time, so two go beside each other.
WORKERS ?= -n 2

# The newest calls of the demo. A fixed moment, so that the demo has the same 345 calls on every day
# and loads the same ones again, not as many more, when it is run again.
DEMO_NOW := 2026-11-23T00:00:00Z

.PHONY: help demo test test-servers test-faults check check-scylla-grammar setup clean

help:
	@echo 'make demo     a Cassandra on this machine, migrated, filled and verified'
	@echo 'make test     the tests; PYTEST_ARGS="tests/unit -k name" for some of them'
	@echo 'make test-servers   the journeys on Cassandra 4.1 and 6.0; make test SERVER=4.1: all tests on it'
	@echo 'make test-faults    all tests in full, also those that make test leaves out: hours'
	@echo 'make check    ruff, mypy, import-linter'
	@echo 'make clean    delete .venv and all caches here'
	@echo 'PYTHON=/path/to/python3.12 says which Python, where python3 is too old.'

# Commands run as a newcomer would type them. CALLDROP_* is left out of it: the demo must not reach
# the cluster that a developer's shell points at. Exit code 9 of `up` means that someone has gone
# `down` since the last time: bringing the calls back needs a yes, which the demo may give for its
# own server.
demo: setup
	@set -e; \
	unset $$(env | sed -n 's/^\(CALLDROP_[A-Z_]*\)=.*/\1/p' | grep -v CALLDROP_EMBEDDED_HOME); \
	PATH="$(CURDIR)/$(BIN):$$PATH"; \
	run() { printf '\n$$ %s\n' "$$*"; "$$@"; }; \
	run calldrop-migrate server start || { code=$$?; \
	    echo '  Its program is $(BIN)/calldrop-migrate; once its server runs:  make demo' >&2; exit $$code; }; \
	run calldrop-migrate up || { code=$$?; [ $$code -eq 9 ] || exit $$code; \
	    run calldrop-migrate up --outage-accepted --yes; }; \
	run calldrop-migrate seed --random-seed 507 --now $(DEMO_NOW); \
	run calldrop-migrate verify; \
	run calldrop-migrate status; \
	printf '\nTry next, after  . %s/activate\n' '$(BIN)'; \
	printf '  %-55s %s\n' \
	    'calldrop-migrate plan 1' 'what going back to revision 1 would do' \
	    'calldrop-migrate down 1 --set-aside --outage-accepted' 'go back; every call is kept' \
	    'calldrop-migrate server stop --wipe' 'end the server, delete its data'

test: setup
	@CALLDROP_TEST_SERVER=$(SERVER) $(BIN)/python -m pytest $(WORKERS) $(PYTEST_ARGS)

# The journeys - up, rebuilds of every kind of cell, misfits, kills, drift, views - on the others.
test-servers: setup
	@for version in $(OTHER_SERVERS); do \
	    CALLDROP_TEST_SERVER=$$version $(BIN)/python -m pytest $(WORKERS) -m journey tests/server $(PYTEST_ARGS) || exit; \
	done

# What `make test` leaves out too: rounds, cases and tests marked twin or thorough (docs/testing.md).
test-faults: setup
	@CALLDROP_TESTS=full $(BIN)/python -m pytest $(WORKERS) $(PYTEST_ARGS)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

# Java, Maven, the checker and a git directory of scylladb/scylladb are a developer's own: tests/grammar.py
check-scylla-grammar: setup
	@test -n "$(CHECKER)" -a -n "$(GITDIR)" || { \
	    echo 'make check-scylla-grammar CHECKER=program GITDIR=git/of/scylladb' >&2; exit 2; }
	SCYLLA_GRAMMAR_CHECKER="$(CHECKER)" SCYLLA_GRAMMAR_SOURCE="$(GITDIR)" \
	    $(BIN)/python -m pytest -q -s tests/grammar.py

# Two marks in .venv say what it was made of: `pins` (the lock, the interpreter and this folder, since
# a venv can't be moved) and `project` (pyproject.toml). What differs is made again; the whole of it
# where an interpreter that is gone, or another one, made it, or where making it was interrupted.
setup:
	@set -e; \
	for each in $(or $(PYTHON),python3 python3.13 python3.12 python3.11); do \
	    "$$each" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	    python=$$each; break; \
	done; \
	if [ -z "$${python:-}" ]; then \
	    echo 'This needs Python 3.11 or newer; $(or $(PYTHON),python3) is: '"$$( \
	        $(or $(PYTHON),python3) --version 2>&1 || true)" >&2; \
	    echo 'Name one:  make $(or $(firstword $(MAKECMDGOALS)),demo) PYTHON=/path/to/python3.12' >&2; \
	    exit 1; \
	fi; \
	maker=$$("$$python" -c 'import sys; print(sys.version, sys.base_prefix)'); \
	pins=$$( (echo "$$maker $(CURDIR)"; cat requirements.lock) | cksum); \
	project=$$(cksum < pyproject.toml); \
	if [ "$$(cat $(VENV)/pins 2>/dev/null)" != "$$pins" ] || ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	    echo 'Setting up $(VENV) from requirements.lock; this takes less than a minute, once.'; \
	    rm -rf $(VENV); \
	    "$$python" -m venv $(VENV); \
	    $(PIP) install --no-deps --require-hashes -r requirements.lock; \
	    echo "$$pins" > $(VENV)/pins; \
	fi; \
	if [ "$$(cat $(VENV)/project 2>/dev/null)" != "$$project" ]; then \
	    $(PIP) install --no-deps --no-build-isolation --editable .; \
	    echo "$$project" > $(VENV)/project; \
	fi

clean:
	rm -rf $(VENV) dist build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
