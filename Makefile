# Everything is installed into .venv beside this file; only Python and make must be there before.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo quick test test-servers check wheel browser faults bench clean

demo: .venv/ready  ## try it: sample sessions, a replay, the chat page on http://127.0.0.1:8000
	@$(BIN)/llmtrack demo

quick: .venv/ready  ## the tests that need no database server, no browser and no process of their own
	$(BIN)/python -m pytest -q -n 2 --dist worksteal --quick

test: .venv/ready browser check wheel  ## everything CI runs; far from UTC, as no result may hang on the zone
	TZ=America/New_York $(BIN)/python -m pytest -q -n 4 --dist worksteal

test-servers: .venv/ready  ## the tests of store, sources, collector and archive on a further server (docs/servers.md)
	$(BIN)/python tests/servers/run.py $(TESTS)

check: .venv/ready  ## style, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/npm ci --silent --no-fund --no-audit
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/npm run --silent check:js

wheel: .venv/ready  ## the package, built and run alone
	rm -rf dist && $(BIN)/uv build -q --wheel -o dist
	$(BIN)/uv run -q --no-project --isolated --with dist/*.whl llmtrack --help >/dev/null
	$(BIN)/python -m zipfile -l dist/*.whl | grep -q llmtrack/web/assets/vendor/VENDOR.json

BROWSERS := chromium firefox-esr WebKitWebDriver Xvfb openbox xdotool tmux
browser:  ## Chromium, Firefox, WebKit, a screen and a terminal for the tests, from the system's packages
	@for each in $(BROWSERS); do command -v $$each >/dev/null || missing=1; done; [ -z "$$missing" ] || { \
	  command -v apt-get >/dev/null || { echo "Install $(BROWSERS), then run make test again."; exit 1; }; \
	  sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	  $$sudo apt-get -qq update && DEBIAN_FRONTEND=noninteractive $$sudo apt-get -qq install -y \
	    chromium firefox-esr webkit2gtk-driver xvfb openbox xdotool tmux >/dev/null; }

faults: .venv/ready  ## every fault alone and in pairs, counted exactly: some 15 minutes, before a release
	$(BIN)/python -m tests.faults

bench: .venv/ready  ## how fast it is, beside floors and peers
	$(BIN)/python -m benchmarks

.venv/ready: pyproject.toml uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "llmtrack needs Python 3.11 or newer: make PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -q --disable-pip-version-check uv
	@VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/uv sync -q --frozen --active --extra embedded
	@touch $@

clean:
	rm -rf .venv node_modules dist .pytest_cache .mypy_cache .ruff_cache
