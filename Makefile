# Two commands for a newcomer:
#   make demo   set up, export a model, track people with it, score the result
#   make test   set up and pass the tests
# Each does all of its own set-up into .venv; PYTHON picks the interpreter (3.10 or later).

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test check bench clean

$(VENV)/installed: pyproject.toml constraints.txt CMakeLists.txt $(wildcard runtime/native/*.cpp runtime/native/*.hpp)
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --upgrade "pip>=25.1"
	$(PIP) install --quiet --constraint constraints.txt --group dev --editable ".[export,onnxruntime,openvino,video]"
	$(PIP) install --quiet --no-deps trackeval==1.3.0
	touch $@

demo: $(VENV)/installed
	$(BIN)/python -m reidkit.calibration.street.demo

test: $(VENV)/installed
	$(BIN)/python -m pytest

check: $(VENV)/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/clang-format --dry-run --Werror $$(git ls-files '*.cpp' '*.hpp')
	$(BIN)/mypy
	PYTHONPATH=.typing $(BIN)/lint-imports

bench:
	bench/run

clean:
	rm -rf $(VENV) build dist
