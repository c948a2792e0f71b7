# make run | test | lab | notebooks | book | clean. Each makes .venv by itself the first time.
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

.PHONY: run test lab notebooks book clean

run: $(READY)
	$(BIN)/python -m radar_nb run --profile $(PROFILE) --dataset "$(DATASET)" --seed $(SEED) --out "$(OUT)"

# Two workers, a whole file each, in the order of their names (else the few long tests come last, and one worker waits): units, every
# notebook by papermill, every notebook by nbval.
test: export OMP_NUM_THREADS = 1
test: $(READY)
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --nbval tests notebooks

lab: $(READY)
	$(BIN)/jupyter lab --ip=127.0.0.1 notebooks/00_start_here.ipynb

notebooks: $(READY)
	$(BIN)/python -m radar_nb notebooks

# The notebooks as git holds them, as a site that opens from the file system: build/book/index.html
book: $(READY)
	$(BIN)/sphinx-build -q -E -W --keep-going -c docs/book -d build/doctrees . build/book
	@echo build/book/index.html

clean:
	rm -rf .venv runs build *.egg-info .pytest_cache .hypothesis

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[test]"
	touch $(READY)
