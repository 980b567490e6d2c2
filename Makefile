# make, or make help, says what there is. Everything runs from the repository's root.
BOARDS ?= 6
# fixed ports, for example PORTS="influxdb=8086 mqtt=1883"; the others are free ones
PORTS ?=
# devnet, or external: a city's ChirpStack, its broker and token in SETTINGS=network.toml (docs/administrator.md)
NETWORK ?= devnet
SETTINGS ?=
# a checkout of micropython-lib, for the tests of radio/mplib; make micropython-lib brings one
export MICROPYTHON_LIB
PYTHON := .venv/bin/python
STUBS = $(or $(VIGIE_CACHE),.cache)/stubs/current

.DEFAULT_GOAL := help
.PHONY: help setup charts browser run status remove micropython-lib test check bench-firmware bench-fidelity fuzz clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 18

setup: ## bring what is missing: Debian packages, .venv, npm packages, MicroPython, InfluxDB
	@python3 -m tools.setup

run: setup ## the whole chain, BOARDS=6 virtual boards, NETWORK=external: against ChirpStack; Ctrl-C stops it
	@exec $(PYTHON) -m tools.run --boards '$(BOARDS)' --network '$(NETWORK)' $(addprefix --settings ,$(SETTINGS)) $(addprefix --port ,$(PORTS))

status: ## one JSON line about the running chain
	@$(PYTHON) -m tools.run.status --network '$(NETWORK)'

remove: setup ## after NETWORK=external: take the virtual city out of ChirpStack and its broker again
	@$(PYTHON) -m tools.run.remove $(addprefix --settings ,$(SETTINGS))

charts: ## only the page's chart library, before a gateway is installed by pip from this clone
	@python3 -m tools.setup.charts

browser: setup ## bring Debian's chromium for the page's tests (420 MB)
	@$(PYTHON) -m tools.setup.browser

micropython-lib: setup ## bring micropython-lib's lora packages, or name a checkout: make test MICROPYTHON_LIB=<folder>
	@$(PYTHON) -m tools.setup.micropython_lib

test: setup browser ## all tests, a file a process, as many at once as there are cores
	$(PYTHON) -m pytest -n auto --dist loadfile --no-loadscope-reorder -rs

check: setup ## lint, format, types, the house's rules
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy -p vigie
	$(PYTHON) -m mypy -p tools
	$(PYTHON) -m tools.setup.board_types
	$(PYTHON) -m pytest -q tests/house

bench-firmware: setup ## what the LoRaWAN stack takes on a board: code, heap, time; scenarios passed; ends with a JSON line
	@$(PYTHON) -m tools.bench.firmware

bench-fidelity: setup ## devnet's events against those recorded from ChirpStack, field by field, and its downlinks byte for byte; ends with a JSON line
	@$(PYTHON) -m tools.bench.fidelity

fuzz: setup ## downlinks of every kind to the LoRaWAN stack for SECONDS=600, or COUNT=10000000 of them; SEED=n ROUND=n: one again
	@$(PYTHON) -m tools.bench.fuzz --seconds $(or $(SECONDS),$(if $(COUNT),86400,600)) \
		$(addprefix --count ,$(COUNT)) $(addprefix --seed ,$(SEED)) $(addprefix --round ,$(ROUND))

clean: ## remove .cache, .venv and var (a folder named by VIGIE_CACHE stays)
	rm -rf .cache .venv var
