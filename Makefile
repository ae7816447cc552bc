PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# What needs torch is tested with this build, which is for the CPU; `make test TORCH=` does without.
TORCH ?= torch==2.13.0

.PHONY: demo test lint types schemas bench predictions clean

# The main job on a real architecture: where to cut ResNet-50 between a Jetson and a GPU server.
demo: $(VENV)/.package
	@mkdir -p demo
	$(BIN)/planner zoo resnet50 --training --batch 32 -o demo/resnet50.onnx --force
	$(BIN)/planner plan demo/resnet50.onnx --costs examples/jetson.json

# Every check. Always an editable install, so that the tests see this checkout.
test: $(STAMP) lint types
	$(BIN)/python -m pytest -n auto --dist worksteal

lint: $(STAMP)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python tools/check_imports.py

types: $(STAMP)
	$(BIN)/python tools/check_types.py

# Write the JSON Schemas from the types that read the files, the page of error codes, and the rooms.
schemas: $(STAMP)
	$(BIN)/python -m planner.cli.schemas schemas
	$(BIN)/python tools/error_page.py docs/errors.md
	$(BIN)/python tools/draw_rooms.py docs/architecture.md

# What docs/benchmarks.md shows, about ten minutes. Only on an idle machine are times what they say.
bench: $(STAMP)
	$(BIN)/python -m benchmarks.speed.bench
	$(BIN)/python -m benchmarks.speed.report --update docs/benchmarks.md --headlines README.md
	$(BIN)/python -m benchmarks.processes.startup
	$(BIN)/python -m benchmarks.processes.size
	$(BIN)/python -m benchmarks.speed.budgets
	$(BIN)/python -m benchmarks.speed.budgets --perturbed

# What docs/profiles.md says of predictions, about half an hour on an idle machine.
predictions: $(STAMP)
	$(BIN)/python -m benchmarks.fidelity.run --json benchmarks/results/fidelity.json
	$(BIN)/python -m benchmarks.fidelity.repeatability --json benchmarks/results/repeatability.json
	$(BIN)/python -m benchmarks.fidelity.profiling --threads 1 --json benchmarks/results/profiling.json
	$(BIN)/python -m benchmarks.fidelity.predictions --update docs/profiles.md

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or newer is needed"'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.package: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(STAMP): $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' $(TORCH)
	@touch $@ $(VENV)/.package

clean:
	rm -rf $(VENV) .typing .mypy_cache .ruff_cache .pytest_cache build dist demo *.egg-info
