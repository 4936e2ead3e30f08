# What a user types. PYTHON, HOST and PORT may be set: make serve PORT=9000

PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 8000
PIP := .venv/bin/python -m pip --disable-pip-version-check --quiet
# Every version comes from constraints.txt, so that two machines get the same.
INSTALL := PIP_CONSTRAINT=constraints.txt $(PIP) install --editable

.DEFAULT_GOAL := help
.PHONY: help serve test check train browser fuzz fuzz-api deploy-test bench-posted bench-train bench-recipes bench-dataset bench-doctor bench-doctor-cost bench-card bench-start bench-batching bench-serve bench-overload bench-faults bench-answers bench-encoding bench-guard bench-observing format descriptors lock hashes audit clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 20

serve: .venv/.serve ## start the gateway with the models that ship with it
	@HOLOFOIL_HOST=$(HOST) HOLOFOIL_PORT=$(PORT) .venv/bin/holofoil-gateway

test: .venv/.dev ## every fast test
	@.venv/bin/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

check: .venv/.dev ## ruff, pyright, import rules
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/basedpyright
	.venv/bin/lint-imports

train: .venv/.training ## install what training needs, and say how to go on
	@.venv/bin/holofoil --help
	@echo "To use it in this shell: source .venv/bin/activate"

browser: .venv/.dev ## the page's tests in a real Chromium (Debian: apt install chromium chromium-driver)
	.venv/bin/pytest -m browser

fuzz-api: .venv/.dev ## ask a gateway with the starter models all that OpenAPI allows and forbids, for minutes
	.venv/bin/python -m tests.contract.fuzz_api

fuzz: .venv/.dev ## ten thousand mutated requests to a gateway; FUZZ and FUZZ_SEED choose how many and which
	FUZZ=$(or $(FUZZ),10000) FUZZ_SEED=$(or $(FUZZ_SEED),0) .venv/bin/pytest -s tests/serving/test_fuzz.py

deploy-test: .venv/.dev ## build the images and run compose for real; needs root or a Docker daemon
	.venv/bin/python -m tests.deploy.up

bench-posted: .venv/.dev ## the posted recipe against the repaired one on the pictures in CARDS, results in OUT
	.venv/bin/python -m tests.benchmarks.posted_against_repaired $(CARDS) $(OUT)

bench-train: .venv/.dev ## the posted loop, ours on the posted networks, and the presets; DATA is prepared at 64x64
	.venv/bin/python -m tests.benchmarks.training_speed $(DATA)

bench-recipes: .venv/.dev ## recipes at equal time and at equal images on DATA, results in OUT
	.venv/bin/python -m tests.benchmarks.recipes $(DATA) $(OUT)

bench-dataset: .venv/.dev ## memory, time for a step and waiting, for 1,000 to 100,000 cards
	.venv/bin/python -m tests.benchmarks.large_dataset

bench-doctor: .venv/.dev ## planted failures and healthy runs on the datasets in DATA (SQUARE for 64x64), results in OUT
	.venv/bin/python -m tests.benchmarks.seeded_failures $(OUT) --cards $(DATA) --square $(SQUARE)

bench-doctor-cost: .venv/.dev ## what the doctor costs, in shares of a step, on DATA
	.venv/bin/python -m tests.benchmarks.doctor_cost $(DATA)

bench-card: .venv/.dev ## what a card's ETag saves, on the starter models
	.venv/bin/python -m tests.benchmarks.card_address

bench-start: .venv/.dev ## how soon the gateway without TensorFlow is ready, and its memory
	.venv/bin/python -m tests.benchmarks.gateway_start

bench-batching: .venv/.dev ## what the batcher costs one client and gives to 64 at once
	.venv/bin/python -m tests.benchmarks.batching

bench-observing: .venv/.dev ## what log, metrics, Server-Timing and traces cost a request
	.venv/bin/python -m tests.benchmarks.observing_cost

bench-guard: .venv/.dev ## what keys and rates cost a request
	.venv/bin/python -m tests.benchmarks.guard_cost

bench-encoding: .venv/.dev ## ms and bytes of a card as PNG, JPEG and WebP, by Pillow, by hand and in the graph
	.venv/bin/python -m tests.benchmarks.encoding

bench-serve: .venv/.dev ## Holofoil beside TF Serving's protocol, FastAPI, LitServe, BentoML and Ray Serve; installs them first
	.venv/bin/python -m tests.benchmarks.serving.compare

bench-overload: .venv/.dev ## twice the load that the gateway can bear, for two minutes
	.venv/bin/python -m tests.benchmarks.serving.overload

bench-faults: .venv/.dev ## what becomes of every request when something breaks
	.venv/bin/python -m tests.benchmarks.serving.fault_table

bench-answers: .venv/.dev ## the small experiments behind training/ANSWERS.md
	.venv/bin/python -m tests.benchmarks.answers

format: .venv/.dev ## let ruff format and mend what it can
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

descriptors: .venv/.dev ## write serving/tfserving.desc anew from tensorflow-serving-api
	.venv/bin/python -m tests.contract.make_descriptors

# fewest: one version of a package for every Python, so that the checker sees the same NumPy on all of them.
lock: .venv/.dev ## write constraints.txt anew from pyproject.toml
	$(PIP) install uv
	.venv/bin/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --fork-strategy fewest --upgrade \
		--no-header --no-annotate --no-emit-index-url --quiet --output-file constraints.txt
	$(MAKE) hashes

hashes: .venv/.dev ## write gateway.lock anew: the gateway's part of constraints.txt, with hashes, for its image
	$(PIP) install uv
	.venv/bin/uv pip compile pyproject.toml --extra redis --constraint constraints.txt --universal --python-version 3.11 \
		--no-header --no-annotate --no-emit-index-url --quiet --generate-hashes --output-file gateway.lock

# strict: without it a package that the database was not asked about counts as safe.
audit: .venv/.dev ## known vulnerabilities of every pinned version; needs pypi.org and fails without it
	PIP_CONSTRAINT=constraints.txt $(PIP) install pip-audit
	.venv/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip --strict

clean: ## remove what make made
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis

.venv/bin/python:
	@$(PYTHON) -m venv .venv || (rm -rf .venv; echo "Python cannot make a virtual environment: on Debian, apt install python3-venv"; exit 1)

.venv/.serve: .venv/bin/python pyproject.toml constraints.txt
	@echo "Installing the gateway with TensorFlow into .venv (once, about 600 MB)"
	@$(INSTALL) ".[embedded,client]"
	@touch $@

.venv/.training: .venv/bin/python pyproject.toml constraints.txt
	@echo "Installing training into .venv (once)"
	@$(INSTALL) ".[training,client]"
	@touch $@ .venv/.serve

.venv/.dev: .venv/bin/python pyproject.toml constraints.txt
	@echo "Installing training and the development tools into .venv (once)"
	@$(INSTALL) ".[dev]"
	@touch $@ .venv/.serve .venv/.training
