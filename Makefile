# Two commands: `make run` to see it, `make test` to prove it. Python 3.11 or newer.

PYTHON ?= python3
PORT ?= 8000
BIN := .venv/bin
# Much of a test is waiting for servers: three processes keep two cores busy.
WORKERS ?= 3

.PHONY: install run test nightly audit lint messages lock

install: .venv/installed

# The package itself is installed without its dependencies: those come from the lock file, by hash.
.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

run: install
	$(BIN)/durchwahl run --port $(PORT)

.venv/tested: install requirements-test.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-test.lock
	tests/install_chromium
	touch $@

lint: .venv/tested
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup --durations 15

nightly: .venv/tested
	$(BIN)/python -m pytest --nightly --durations 0
	$(BIN)/python -m tests.bench

# Known holes in what is installed. AUDIT holds options of pip-audit, such as "-s osv" for another source.
audit: .venv/tested
	$(BIN)/pip-audit --progress-spinner off --require-hashes --disable-pip -r requirements.lock $(AUDIT)

# German sentences: find new ones, keep the old, compile. Then fill in what is empty and run it again.
messages: .venv/tested
	$(BIN)/pybabel -q extract -F babel.cfg --no-default-keywords -k _ -k gettext -k lazy_gettext -k ngettext:1,2 \
		-k say -k marked --no-location --sort-output -o .venv/messages.pot portal
	$(BIN)/pybabel -q update -N --ignore-obsolete --ignore-pot-creation-date -w 110 -i .venv/messages.pot -d portal/translations -l de
	$(BIN)/pybabel compile -d portal/translations

lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate \
		-o requirements.lock pyproject.toml
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate \
		--extra test -o requirements-test.lock pyproject.toml
