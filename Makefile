# Each target makes what it needs by itself; a machine with git, make, python3 >= 3.11 and pip is enough.
PYTHON ?= python3
# That of the system where an environment is activated, as this one, which has no pip.
BASE = $$($(PYTHON) -c 'import sys; print(sys._base_executable or sys.executable)')
BIN := .venv/bin
JOBS ?= 2
# Processes that test side by side, each with one thread: twice as fast as one process with two.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile

.PHONY: demo demo-seg test test-slow lint bench clean

# `--without-pip` and `pip --python`: Debian's python3 has no ensurepip unless python3-venv is installed.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "densenets needs Python 3.11 or newer")'
	test -x $(BIN)/python || $(BASE) -m venv --without-pip .venv
	$(BASE) -m pip --python $(BIN)/python install -q --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $@

demo: .venv/installed
	$(BIN)/python tools/train_det.py --backbone v2 --head ssdlite

demo-seg: .venv/installed
	$(BIN)/python tools/train_seg.py --backbone v3-small --head lraspp

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(PYTEST) -m "not slow"

test-slow: lint
	$(PYTEST)

bench: .venv/installed
	$(BIN)/python tools/bench.py

clean:
	rm -rf .venv
