# Two commands set everything up: `make demo` and `make test`. Plain `make` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SHELL := /bin/sh
.PHONY: help demo test test-torch fuzz lint bench corpora pictures clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/'

$(BIN)/lmkit: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@

demo: $(BIN)/lmkit  ## install, get Shakespeare (offline: the original play), train a 5-gram, score it, sample it
	@sh corpora/demo.sh $(BIN)

test: $(BIN)/lmkit  ## run the tests, but those that need PyTorch
	$(BIN)/python tests/warm.py
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --ignore tests/rnn/test_torch.py

test-torch: $(BIN)/lmkit  ## compare recurrent networks and their gradients with PyTorch, which is installed for it
	$(BIN)/python -m pip install --quiet --editable '.[test,torch]'
	$(BIN)/python -m pytest tests/rnn/test_torch.py

fuzz: $(BIN)/lmkit  ## ask 100,000 damaged files everything, with all indices checked: an hour on two cores (FILES, SEED)
	$(BIN)/python tests/fuzz.py $(or $(FILES),100000) $(SEED)

lint: $(BIN)/lmkit  ## check style and the order of the layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

bench: $(BIN)/lmkit  ## measure speed and memory, beside PyTorch's (KENLM_BIN: and KenLM's; TEXT, TINY: texts; RNN: parts)
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	$(BIN)/python tests/bench/run.py $(if $(TEXT),--text $(TEXT))
	$(BIN)/python tests/bench/arpa_in_kenlm.py
	$(BIN)/python tests/bench/rnn.py $(RNN) $(if $(TINY),--text $(TINY))

corpora: $(BIN)/lmkit  ## get all texts and check them
	$(BIN)/python corpora/fetch.py

pictures: $(BIN)/lmkit  ## draw the pictures of the README anew: docs/pictures/
	$(BIN)/python docs/pictures.py

clean:  ## forget compiled kernels, built texts and the virtual environment
	find lmkit tests corpora -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -rf $(VENV) corpora/build *.egg-info .pytest_cache .ruff_cache .hypothesis
