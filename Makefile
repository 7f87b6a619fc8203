# Verbs only. `make run` and `make test` do everything on a fresh machine.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.complete
URL    ?=
FILE   ?=

.PHONY: help setup run demo test lint bench clean

help:            ## list the verbs
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup: $(STAMP)  ## create .venv with the voxwire command and everything else

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $(STAMP)

demo: setup      ## stream the bundled conversation, or FILE=talk.wav, to URL= or to a server of its own
	$(BIN)/python -m client.demo --file '$(FILE)' --url '$(URL)'
