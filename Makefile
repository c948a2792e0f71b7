# make run | test | lab | notebooks | book | report | pages | kick-tyres | check-claims | gpu | clean.
# Each makes .venv by itself the first time. Without make: python go.py COMMAND.
PROFILE ?= cpu
DATASET ?= printed
SEED    ?= 0
OUT     ?= runs/$(PROFILE)
PYTHON  ?= python3

BIN := .venv/bin
READY := .venv/.ready
# Waiting threads soon give their core away. Beside another busy program, training is several times faster so.
export GOMP_SPINCOUNT = 1000
export HF_HUB_OFFLINE = 1
export HF_HUB_DISABLE_TELEMETRY = 1

.PHONY: run test lab notebooks book report pages picture kick-tyres check-claims gpu gpu-wheels clean

run: $(READY)
	$(BIN)/python -m radar_nb run --profile $(PROFILE) --dataset "$(DATASET)" --seed $(SEED) --out "$(OUT)"

# Two workers, a whole file each, in the order that tests/conftest.py gives (else the few long tests come last, and one worker waits):
# units, every notebook by papermill, the book, every notebook by nbval.
test: export OMP_NUM_THREADS = 1
test: $(READY)
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --nbval tests notebooks

# On this computer alone, with a token; so root may do it too, as in a container.
lab: $(READY)
	$(BIN)/jupyter lab --ip=127.0.0.1 --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb $(if $(filter 0,$(shell id -u)),--allow-root)

notebooks: $(READY)
	$(BIN)/python -m radar_nb notebooks

# The notebooks as git holds them, as a site that opens from the file system: build/book/index.html
book: $(READY)
	$(BIN)/sphinx-build -q -E -W --keep-going -c docs/book -d build/doctrees . build/book
	@echo build/book/index.html

# For reviewers: two minutes, then ten. Exit status 1 if a number is outside its tolerance.
kick-tyres: $(READY)
	$(BIN)/python -m radar_nb check-claims --quick

check-claims: $(READY)
	$(BIN)/python -m radar_nb check-claims

# The pages that hold numbers, then the report as HTML and PDF (which needs Chromium), then README's picture.
pages: $(READY)
	$(BIN)/python -m radar_nb pages

report: pages
	$(BIN)/python docs/report/build.py

picture: $(READY)
	$(BIN)/python docs/picture.py

# On a machine with a GPU and PyTorch; 8 minutes. Where that machine has no network, `make gpu-wheels` here first, and copy build/wheels.
GPU_PYTHON ?= python3
gpu:
	[ ! -d build/wheels ] || $(GPU_PYTHON) -m pip install --quiet --no-index --no-deps --upgrade --target build/gpu-site build/wheels/*.whl
	PYTHONPATH=build/gpu-site:$(CURDIR) $(GPU_PYTHON) -m radar_nb.experiments.gpu --out results

gpu-wheels: $(READY)
	$(BIN)/python -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.12 --platform any --dest build/wheels \
	  $$(grep -E '^(diffusers|platformdirs)==' constraints.txt)

clean:
	rm -rf .venv runs build *.egg-info .pytest_cache .hypothesis

$(READY): pyproject.toml constraints.txt
	$(PYTHON) go.py install
	touch $(READY)
