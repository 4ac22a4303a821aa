# Everything here runs in .venv, which each target first sets up (.ci/setup_venv.py) if
# that was not done yet. Needed beforehand: Python 3.11 or newer with pip and venv.

PYTHON ?= python3
BIN := .venv/bin
# More arguments for `make run`, `make bench`, `make soak`: make run ARGS="--config configs/tcp.json"
ARGS ?=
SETUP = @command -v $(PYTHON) >/dev/null || \
	{ echo "No $(PYTHON) here: install Python 3.11 or newer, or name one: make PYTHON=..." >&2; exit 1; }; \
	$(PYTHON) .ci/setup_venv.py

MAKEFLAGS += --no-print-directory
# The tests start Python hundreds of times: it shall not compile the checkout each time.
unexport PYTHONDONTWRITEBYTECODE
.PHONY: help run test bench soak lint format types contracts docs wheel-check clean \
	setup setup-test setup-bench setup-dev setup-browser

help:
	@echo "make run          set up, then start the server with its demo on loopback"
	@echo "make test         set up, then run all tests with trial and with pytest"
	@echo "make bench        measure CPU per message and latency"
	@echo "make soak         a million messages over a simulated bad network, checked one by one"
	@echo "make lint         ruff: rules and format        make format   let ruff format"
	@echo "make types        mypy --strict                 make contracts   import-linter"
	@echo "make docs         API documentation in build/apidocs; warnings are errors"
	@echo "make wheel-check  build, install elsewhere and try the wheel"
	@echo "make clean        remove what was built or cached; .venv stays"
	@echo "All checks, as CI runs them: .ci/run"

setup:
	$(SETUP)

setup-test:
	$(SETUP) test

setup-bench:
	$(SETUP) mesh broker

setup-dev:
	$(SETUP) test dev

# Chromium, by apt-get as root; anywhere else the tests of web pages need one that is there.
setup-browser:
	@$(PYTHON) .ci/setup_browser.py

run: setup
	@exec $(BIN)/diarkis-tw run $(ARGS)

# Both runners always run, side by side; pytest's closing line comes last. trial tries
# all examples of the property tests, pytest some of the same ones (tests/__init__.py).
test: setup-test setup-browser
	@$(BIN)/python .ci/side_by_side.py build/pytest.txt \
		$(BIN)/trial --temp-directory=build/trial tests -- \
		$(BIN)/pytest -q --hypothesis-profile=again

# With NATS: its client and its server.
bench: setup-bench
	@$(BIN)/python -m bench $(ARGS)

soak: setup
	@$(BIN)/python -m bench.soak $(ARGS)

lint: setup-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: setup-dev
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

types: setup-dev
	@$(BIN)/mypy

contracts: setup-dev
	@$(BIN)/lint-imports --no-logo

docs: setup-dev
	@$(BIN)/python .ci/apidocs.py

wheel-check: setup-dev
	@$(BIN)/python .ci/wheel_smoke.py

clean:
	rm -rf build dist *.egg-info apidocs _trial_temp* twistd.log
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage*
	rm -f twisted/plugins/dropin.cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
