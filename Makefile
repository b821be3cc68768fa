# `make demo` and `make test` need Python and make, nothing else: the first one to run makes .venv.
MODALITY ?= image
MINUTES ?= 2
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed

.PHONY: help demo test test-all lint format bench dashboard clean

help:  ## what there is
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(INSTALLED)  ## train for MINUTES=2, sample, and say where everything is (MODALITY=image)
	$(BIN)/python -m genai.train modality=$(MODALITY) minutes=$(MINUTES)
	$(BIN)/python -m genai.sample modality=$(MODALITY) n=1
	@echo
	@echo "The run is in runs/, its samples in samples/. Watch it:"
	@echo "  $(BIN)/tensorboard --logdir runs --samples_per_plugin images=200,audio=200,text=200"

test: $(INSTALLED)  ## the tests, under ten minutes on two cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 -m "not slow"

test-all: $(INSTALLED)  ## also fault injection and real trainings
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2

lint: $(INSTALLED)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED)  ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(INSTALLED)  ## speed and quality, measured
	@ls benchmarks/*.py >/dev/null 2>&1 || echo "There are no benchmarks yet: they will be benchmarks/*.py."
	@for file in $(filter-out %/common.py,$(wildcard benchmarks/*.py)); do echo "== $$file"; $(BIN)/python $$file || exit 1; done

dashboard: $(INSTALLED)  ## TensorBoard on runs/
	$(BIN)/tensorboard --logdir runs --samples_per_plugin images=200,audio=200,text=200

clean:  ## remove caches and build outputs; .venv, runs and samples stay
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -path ./.venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check -e ".[dev]" -c constraints.txt
	@touch $@
