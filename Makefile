# Every target does its own set-up: only git, make, Python >= 3.11 and a package index are needed.
SHELL := bash
.SHELLFLAGS := -o pipefail -c
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check fmt lint types imports spell docs licences audit sbom manifests lock clean bench bench-detection bench-load bench-page picture fuzz soak chaos

demo: .venv/.run  ## the main job, end to end, in under a minute, without a key
	$(BIN)/watcher demo --config config/demo.yaml --out demo-out

test: .venv/.dev  ## all tests, in two processes
	$(BIN)/pytest --numprocesses 2 --dist loadfile

check: lint types imports spell licences test  ## what CI runs

fmt: .venv/.dev
	$(BIN)/ruff format watcher tests bench tools
	$(BIN)/ruff check --fix watcher tests bench tools

lint: .venv/.dev
	$(BIN)/ruff format --check watcher tests bench tools
	$(BIN)/ruff check watcher tests bench tools

types: .venv/.dev
	$(BIN)/mypy

imports: .venv/.dev
	$(BIN)/lint-imports

spell: .venv/.dev
	$(BIN)/codespell README.md CHANGELOG.md CONTRIBUTING.md docs watcher config deploy tests --ignore-words-list intervall --skip '*.gz,tests/data/*,*.svg,*.js'

docs: .venv/.dev  ## the parts of the documentation that the program writes itself
	$(BIN)/python -m tools.reference

licences: .venv/.dev  ## the licences of what is installed with the program, against a list of permissive ones
	$(BIN)/python tools/licences.py $(if $(WRITE),--write $(WRITE))

AUDIT := tools/.venv/bin

audit: tools/.venv/.done  ## known vulnerabilities of the locked packages; says so where advisories can't be asked
	$(AUDIT)/python tools/audit.py $(AUDIT)/pip-audit requirements.txt requirements-dev.txt

sbom: tools/.venv/.done  ## what the program is made of, as CycloneDX
	mkdir -p dist
	PYTHONWARNINGS=ignore $(AUDIT)/cyclonedx-py requirements requirements.txt --pyproject pyproject.toml --mc-type application \
	  --output-reproducible --output-format JSON --output-file dist/watcher.cdx.json
	@echo "dist/watcher.cdx.json"

tools/.venv/.done: tools/requirements-audit.txt
	$(PYTHON) -m venv tools/.venv
	tools/.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	touch $@

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.run: .venv/bin/python requirements.txt pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

.venv/.dev: .venv/bin/python requirements-dev.txt pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@ .venv/.run

MANIFESTS := tools/.venv-deploy/bin

manifests: tools/.venv-deploy/.done  ## the Dockerfile, the Compose example and the Kubernetes manifests, by linter and schemas
	$(MANIFESTS)/hadolint deploy/docker/Dockerfile
	$(MANIFESTS)/check-jsonschema --builtin-schema vendor.compose-spec deploy/docker/compose.example.yaml
	$(MANIFESTS)/kubernetes-validate --strict deploy/kubernetes/*.yaml

tools/.venv-deploy/.done: tools/requirements-deploy.txt
	$(PYTHON) -m venv tools/.venv-deploy
	tools/.venv-deploy/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	touch $@

bench: .venv/.run  ## what the rules cost: microseconds a row, bytes of state a job
	$(BIN)/python -m bench.cost $(CURVES)

# The detection rules beside what people would use instead, on CURVES (labelled runs), in an environment of its own.
# WRITE names a document that takes the tables. What can't be installed is told, and our re-statement stands in.
CURVES ?= bench/data/lab-dev.jsonl.gz
BENCH_PIP := bench/.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes

bench-detection: .venv/.run bench/.venv/.peers bench/.venv/.torch  ## ours and its peers on the same labelled runs
	$(BIN)/python -m bench.compare $(CURVES) --peers bench/.venv/bin/python --json bench/out/detection.json $(if $(WRITE),--write $(WRITE))

bench/.venv/bin/python:
	$(PYTHON) -m venv bench/.venv

bench/.venv/.peers: bench/.venv/bin/python bench/requirements.txt
	$(BENCH_PIP) -r bench/requirements.txt && touch $@ || echo "bench: some peers can't be installed here (above)"

bench/.venv/.torch: bench/.venv/bin/python bench/requirements-torch.txt bench/peers/torch-cpu.txt
	$(BENCH_PIP) --no-deps -r bench/requirements-torch.txt -r bench/peers/torch-cpu.txt && touch $@ \
	  || echo "bench: no CPU build of PyTorch to be had here (above); bench/peers/torch-cpu.txt says how to name one"

# Coverage-guided fuzzing of what reads other people's bytes: a million inputs at least, each target within its bounds.
# FUZZ_SECONDS bounds each target besides; atheris has wheels for CPython 3.11 to 3.13 on Linux.
FUZZ_SECONDS ?= 180
FUZZ := bench/fuzz/.venv/bin/python -m bench.fuzz
FUZZ_BOUNDS := -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=512 -print_final_stats=1 -use_value_profile=0

fuzz: bench/fuzz/.venv/.done  ## a million inputs to the wire reader, the configuration and recordings
	$(FUZZ) wire bench/out/fuzz/wire -runs=700000 $(FUZZ_BOUNDS) 2>&1 | tail -8
	$(FUZZ) recording bench/out/fuzz/recording -runs=300000 $(FUZZ_BOUNDS) 2>&1 | tail -8
	$(FUZZ) configuration bench/out/fuzz/configuration -runs=40000 $(FUZZ_BOUNDS) 2>&1 | tail -8

bench-load: .venv/.dev  ## what thousands of jobs cost: about twenty minutes; LOAD=--quick leaves out what waits
	$(BIN)/python -m bench.load --json bench/out/load.json $(LOAD)

bench-page: .venv/.dev  ## the page with 500 jobs that change: from input to paint, in Chromium
	$(BIN)/python -m bench.page --json bench/out/page.json

picture: .venv/.dev  ## the README's picture of the page, from recorded runs in the simulator
	$(BIN)/python -m tools.page_picture docs/pictures/page.png

soak: .venv/.run  ## thirty simulated days: memory, database, deliveries, schedules
	$(BIN)/python -m bench.soak --json bench/out/soak.json

# The daemon as a process while everything around it breaks. A seed makes the same things be tried again.
chaos: .venv/.dev  ## nothing lost, nothing told or cancelled twice, whatever breaks: exit 1 on a broken promise
	$(BIN)/python -m bench.chaos $(if $(SEED),--seed $(SEED)) $(if $(ROUNDS),--rounds $(ROUNDS)) --json bench/out/chaos.json $(SCENARIOS)

bench/fuzz/.venv/.done: requirements.txt bench/requirements-fuzz.txt
	$(PYTHON) -m venv bench/fuzz/.venv
	bench/fuzz/.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt -r bench/requirements-fuzz.txt
	touch $@

UV_LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header

lock:  ## refresh the lock files (needs uv; they hold names and hashes, no index address)
	$(UV_LOCK) --upgrade pyproject.toml --group dev -o requirements-dev.txt
	$(UV_LOCK) --upgrade pyproject.toml -c requirements-dev.txt -o requirements.txt

clean:
	rm -rf .venv tools/.venv tools/.venv-deploy bench/.venv bench/fuzz/.venv demo-out dist .mypy_cache .ruff_cache .pytest_cache
