# Verbs only. `make run` and `make test` do everything on a fresh machine.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.complete
URL    ?=
FILE   ?=
ARGS   ?=
TESTS  ?=

.PHONY: help setup run demo test lint bench clean

help:            ## list the verbs
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup: $(STAMP)  ## create .venv with the voxwire command and everything else

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $(STAMP)

run: setup       ## serve the bundled model; ARGS='--model PATH --port 9000' for anything else
	$(BIN)/voxwire serve $(ARGS)

demo: setup      ## stream the bundled conversation, or FILE=talk.wav, to URL= or to a server of its own
	$(BIN)/python -m client.demo --file '$(FILE)' --url '$(URL)'

test: setup      ## pass all tests; TESTS=tests/text for a part
	sh tests/system-packages.sh
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(TESTS)

lint: setup      ## style and order
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: setup     ## what can be measured; docs/speed.md has the figures
	$(BIN)/python -m bench --help

clean:           ## remove what setup and tests made
	rm -rf $(VENV) .pytest_cache .ruff_cache build dist
