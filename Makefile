# Two commands on a fresh clone: `make demo` and `make test`. Each makes the environment it needs.

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
LOWEST := $(VENV)-lowest
LOCK := locks/device.txt
DEMO := .demo
DATASET := rgbnt201
# processes that run tests; each may take 4 GB
WORKERS ?= 2
# the CPU kernel of the scan is compiled when the package is installed
KERNEL := $(wildcard plugins/selective_scan/cpu/csrc/*)
SAY = @printf '\n== %s\n'

.PHONY: help demo test quick test-lowest lock test-lock device-wheel sbom lint docs docs-check gpu-check clean

help:
	@echo 'make demo   draw a benchmark, train on it, export, run without PyTorch, compare'
	@echo 'make test   the test suite'
	@echo 'make quick  tests of every folder in under three minutes, before a commit'
	@echo 'make test-lowest  the tests of the runtime with the oldest packages that pyproject.toml allows'
	@echo 'make lock   write locks/device.txt anew: what a device installs, with hashes; make test-lock installs it'
	@echo 'make device-wheel  a wheel with the runtime alone in dist/'
	@echo 'make sbom   a CycloneDX list of what locks/device.txt holds, dist/device.cdx.json'
	@echo 'make lint   ruff and mypy'
	@echo 'make docs   these pages as a site in site/, with the reference of the Python API'
	@echo 'make docs-check  run the commands of README and docs in order, in an empty folder, and compare what they print'
	@echo 'make gpu-check  what an NVIDIA GPU can verify: kernels, plugin, PyTorch operator, engines; writes JSON'
	@echo 'make clean  remove what the others made'

# One environment; what a target needs beyond it is added when that target is made.
$(VENV)/made:
	@test -n '$(PYTHON)' || { echo 'error: no Python 3.11 or newer found; install one, or say make PYTHON=/path/to/python'; exit 1; }
	$(SAY) 'making an environment in $(VENV) with $(PYTHON)'
	@$(PYTHON) -m venv $(VENV) || { echo 'error: $(PYTHON) cannot make environments (on Debian: install python3-venv)'; exit 1; }
	@touch $@

$(VENV)/demo: $(VENV)/made pyproject.toml setup.py $(KERNEL)
	$(SAY) 'installing mambapro with torch and ONNX Runtime (some GB; a minute or two)'
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[export,cpu]'
	@touch $@

$(VENV)/dev: $(VENV)/made pyproject.toml setup.py $(KERNEL)
	$(SAY) 'installing mambapro and its test tools (some GB; a minute or two)'
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@# only now: beside a torch that is not installed yet, the compiler's version would decide torch's
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev,cuda]'
	@touch $@

$(VENV)/docs: $(VENV)/made pyproject.toml
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[docs]'
	@touch $@

demo: $(VENV)/demo
	@rm -rf $(DEMO)
	$(SAY) 'drawing a tri-modal benchmark in the layout of $(DATASET)'
	$(BIN)/mambapro synth --out $(DEMO)/data --dataset $(DATASET)
	$(SAY) 'training a tiny model on it (about two minutes)'
	$(BIN)/mambapro train --config tiny --data $(DEMO)/data --dataset $(DATASET) --out $(DEMO)/run
	$(SAY) 'exporting it in float32 and float16, each against PyTorch on images of the benchmark'
	$(BIN)/mambapro-export --ckpt $(DEMO)/run/best.pth --data $(DEMO)/data --dataset $(DATASET)
	$(BIN)/mambapro-export --ckpt $(DEMO)/run/best.pth --data $(DEMO)/data --dataset $(DATASET) --fp16
	$(SAY) 'evaluating the float16 bundle; this process never loads PyTorch'
	$(BIN)/mambapro eval $(DEMO)/run/best-fp16.mambapro --data $(DEMO)/data --dataset $(DATASET)
	$(SAY) 'all of them side by side'
	$(BIN)/mambapro compare --ckpt $(DEMO)/run/best.pth $(DEMO)/run/best-fp32.mambapro $(DEMO)/run/best-fp16.mambapro \
		--data $(DEMO)/data --dataset $(DATASET)
	$(SAY) 'the second task, attributes of persons: drawing them, training a tiny Vim (about two minutes), exporting it'
	$(BIN)/mambapro synth --out $(DEMO)/persons --dataset pa100k
	$(BIN)/mambapro train --config mini_vim_s --data $(DEMO)/persons --dataset pa100k --out $(DEMO)/attributes --epochs 10
	$(BIN)/mambapro-export --ckpt $(DEMO)/attributes/best.pth --data $(DEMO)/persons --dataset pa100k --fp16
	$(SAY) 'both tasks on the same crops, each decoded once: embeddings and attributes, then a search by both'
	$(BIN)/mambapro extract $(DEMO)/run/best-fp16.mambapro --rgb $(DEMO)/data/RGBNT201/test/RGB \
		--nir $(DEMO)/data/RGBNT201/test/NI --tir $(DEMO)/data/RGBNT201/test/TI \
		--attributes $(DEMO)/attributes/best-fp16.mambapro --out $(DEMO)/crops.npz
	$(BIN)/mambapro find $(DEMO)/crops.npz --like 0 --top 3

# Tests that measure time or memory run after the others, alone on the machine. Threads of processes that share the cores
# do not spin while they wait. Exit code 5: no test was selected.
test: $(VENV)/dev
	$(SAY) 'running the tests'
	@status=0; \
	OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m 'not alone' $(PYTEST) || status=$$?; \
	$(BIN)/python -m pytest -m alone $(PYTEST); last=$$?; \
	case $$status-$$last in 0-5) ;; 0-* | 5-*) status=$$last ;; esac; exit $$status

# beside others no test measures time
quick: $(VENV)/dev
	@OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m 'not alone' $(PYTEST) @tests/quick.txt

# The oldest packages in an environment of their own, by uv's resolution of lower bounds.
test-lowest: $(VENV)/made pyproject.toml
	$(SAY) 'installing the oldest packages that are allowed in $(LOWEST)'
	@$(BIN)/pip install --quiet --disable-pip-version-check 'uv>=0.8'
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(LOWEST)
	@$(BIN)/uv pip install --quiet --python $(LOWEST)/bin/python --resolution lowest-direct --editable '.[cpu,openvino,calib]'
	@$(BIN)/uv pip install --quiet --python $(LOWEST)/bin/python pytest pytest-timeout psutil
	@$(LOWEST)/bin/python -m pytest tests/runtime tests/common $(PYTEST)

# Every platform and Python in one file; hashes make an installation the one that was tested.
lock: $(VENV)/made pyproject.toml
	@$(BIN)/pip install --quiet --disable-pip-version-check 'uv>=0.8'
	@$(BIN)/uv pip compile --quiet --universal --no-header --no-annotate --generate-hashes --upgrade --python-version 3.10 \
		--extra cpu pyproject.toml --output-file $(LOCK)

test-lock: $(VENV)/made $(LOCK)
	$(SAY) 'installing $(LOCK) in a new environment'
	@rm -rf $(VENV)-device && $(PYTHON) -m venv $(VENV)-device
	@$(VENV)-device/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement $(LOCK)
	@MAMBAPRO_WHEEL=device $(VENV)-device/bin/pip install --quiet --disable-pip-version-check --no-deps .
	@cd / && $(CURDIR)/$(VENV)-device/bin/mambapro env

# Without training, export, calibration and drawing; its version ends in +device.
device-wheel: $(VENV)/made
	@MAMBAPRO_WHEEL=device $(BIN)/pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	@ls dist/mambapro-*+device-*.whl

sbom: $(VENV)/made $(LOCK)
	@$(BIN)/pip install --quiet --disable-pip-version-check 'cyclonedx-bom>=7'
	@mkdir -p dist
	@$(BIN)/cyclonedx-py requirements --output-reproducible --output-format JSON --output-file dist/device.cdx.json $(LOCK)
	@echo dist/device.cdx.json

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/docs
	@$(BIN)/mkdocs build --strict
	@echo site/index.html

# some ten minutes; what cannot be run is marked in the pages
docs-check: $(VENV)/dev
	@$(BIN)/python benchmarks/docs_check.py

# exit code 3 where there is no GPU
gpu-check: $(VENV)/dev
	@$(BIN)/python benchmarks/gpu_check.py

clean:
	rm -rf $(VENV) $(LOWEST) $(VENV)-device $(DEMO) build dist site *.egg-info .mypy_cache .pytest_cache .ruff_cache
