# The whole interface. Every target does the set-up it needs and skips what is done.
.PHONY: networks upgrade-check valgrind chaos chaos-quick help bench bench-quick fuzz fuzz-quick quality quality-quick setup browsers build web demo demo-check test c-test lint format sanitize clean wheel install-check container-check
.DEFAULT_GOAL := help
PYTHON := .venv/bin/python

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

setup: ## system packages, .venv and what belongs into it
	@tools/setup.sh

browsers:
	@tools/setup.sh browsers

networks:
	@tools/setup.sh bench

build: setup ## compile the forwarding core
	@tools/build.sh

web: setup ## build the browser client
	@tools/web.sh

demo: build web ## a conference on this machine: prints one URL for each of three people
	@exec $(PYTHON) -m control.demo

demo-check: browsers build web ## the same for machines: three headless browsers and a table of what they saw
	@exec $(PYTHON) -m control.demo --check

test: browsers build web c-test fuzz-quick ## every test
	@$(PYTHON) -m pytest $(TESTS)

c-test: setup ## the C core's own tests, under the address and undefined-behaviour sanitizers
	@tools/c-test.sh

wheel: build web ## one file that installs on any machine with Python 3.11 or newer: dist/sotto-*.whl (and the sources, .tar.gz)
	@tools/wheel.sh

install-check: browsers wheel ## docs/operations.md's steps with that file on a bare Debian under systemd, and a call (root)
	@SOTTO_INSTALL_CHECK=1 $(PYTHON) -m pytest -q -s tests/install

upgrade-check: browsers build web ## a call in Chromium and Firefox while the server becomes a build with other tables (root)
	@tools/other_build.sh
	@SOTTO_UPGRADE_CHECK=1 SOTTO_OTHER_BUILD=build/other $(PYTHON) -m pytest -q -s tests/upgrade tests/client/test_upgrading.py

container-check: wheel ## packaging/Containerfile built and run as docs/operations.md says (root, podman)
	@SOTTO_CONTAINER_CHECK=1 $(PYTHON) -m pytest -q -s tests/install/test_container.py

fuzz: ## hostile bytes for every parser and the forwarding core, TIME=60 seconds each
	@tools/setup.sh fuzz
	@tools/fuzz.sh

fuzz-quick: setup
	@tools/fuzz.sh quick

format: setup ## put sources into the form that lint asks for
	@.venv/bin/ruff check --quiet --fix . ; .venv/bin/ruff format --quiet .
	@git ls-files "fastpath/*.[ch]" "tests/*.[ch]" | xargs -r .venv/bin/clang-format -i

lint: build web ## ruff, mypy, cython-lint, import contracts, clang-format, stubtest, tsc
	@$(PYTHON) -m pytest tests/test_source.py

sanitize: setup c-test ## the compiled core's Python tests under the sanitizers
	@tools/sanitize.sh

valgrind: setup ## the C core's own tests under memcheck (some minutes)
	@tools/valgrind.sh

bench: networks build ## what the server costs, beside the limit and other servers: build/bench.json, pictures (root)
	@$(PYTHON) -c 'import matplotlib' 2>/dev/null || $(PYTHON) tools/requirements.py bench | xargs -d '\n' $(PYTHON) -m pip install -q
	@benchmarks/build.sh && $(PYTHON) -m benchmarks --results

bench-quick: networks build ## the most telling of these figures, in under 90 s
	@benchmarks/build.sh && $(PYTHON) -m benchmarks --quick

quality: browsers networks build web ## what people see on bad networks: build/quality.json, pictures in build/quality (root)
	@$(PYTHON) -c 'import matplotlib' 2>/dev/null || $(PYTHON) tools/requirements.py bench | xargs -d '\n' $(PYTHON) -m pip install -q
	@$(PYTHON) -m benchmarks.quality

quality-quick: networks build ## those of its figures that need no browser (root)
	@$(PYTHON) -c 'import matplotlib' 2>/dev/null || $(PYTHON) tools/requirements.py bench | xargs -d '\n' $(PYTHON) -m pip install -q
	@$(PYTHON) -m benchmarks.quality --quick

chaos: networks build ## kills, floods, replays, upgrades under media: build/chaos.json (root; SKIP=soak,control_absent without the hour and a quarter that these take)
	@benchmarks/chaos/build.sh && $(PYTHON) -m benchmarks.chaos $(if $(SKIP),--skip $(SKIP))

chaos-quick: networks build ## the same in under five minutes (root)
	@benchmarks/chaos/build.sh && $(PYTHON) -m benchmarks.chaos --quick

clean: ## remove what was built; .venv and web/node_modules stay
	rm -rf build web/dist fastpath_ext/*.so *.egg-info
