# Every target makes or updates the environment .venv first, by scripts/environment.sh. Needs make and a
# Python 3.12 or newer; uses uv where it runs.
.POSIX:
.NOTPARALLEL:
.PHONY: help example test test-long lint format types docs figures benchmark choosing flat-cost groups first-draw large distributed bias-target accuracy calibration certificate hierarchical samplers networks peers conformance package clean

environment = sh scripts/environment.sh
python = .venv/bin/python

help:
	@echo 'make example     a real data set by SGLD and by NUTS, compared; writes a picture'
	@echo 'make test        the default test suite, in two processes'
	@echo 'make test-long   the tests that take minutes each'
	@echo 'make lint        ruff: rules and format'
	@echo 'make format      ruff: write the format, fix what can be fixed'
	@echo 'make types       mypy on the package'
	@echo 'make docs        the documentation, into docs/_build/html; runs its notebooks, which takes minutes'
	@echo 'make figures     the figures of the documentation, and the numbers beside them'
	@echo 'make benchmark   speed and memory beside other libraries and NUTS; takes an hour, and torch'
	@echo 'make choosing    the rules for batch size and step size beside runs'
	@echo 'make flat-cost   rows and seconds for an effective sample size as the data grow, beside NUTS'
	@echo 'make groups      seconds as the number of groups grows, beside NUTS'
	@echo 'make first-draw  seconds to the first draw of twelve models, beside NUTS and nutpie; takes hours'
	@echo 'make large       8 GB of data on disk: seconds, memory, and the posterior (size=GB)'
	@echo 'make distributed set-up on 2 GB by one and by two workers, and a model of its time on more'
	@echo 'make bias-target the variance inflation that bias_target asks for, and the one measured'
	@echo 'make accuracy    posteriors with a known answer, from default settings'
	@echo 'make calibration ranks of true parameters among draws, 5,000 data sets; takes two hours'
	@echo 'make certificate exact moments of the same posteriors, and what they cost (ARGUMENTS=--large)'
	@echo 'make hierarchical  31 simulated hierarchical models, centered and not, beside NUTS; takes an hour'
	@echo 'make samplers    SGLD, SGHMC, SGNHT and MALA with default settings, on six posteriors'
	@echo 'make peers       SGLD beside nutpie, ADVI, Laplace and Pathfinder: errors and seconds; takes an hour'
	@echo 'make conformance posteriors of posteriordb with default settings (ARGUMENTS="--database FOLDER")'
	@echo 'make networks    Bayesian neural networks on two real data sets, beside published figures'
	@echo 'make package     build wheel and sdist, install them into a bare environment, and sample a model'
	@echo 'make clean       remove what the above made, .venv included'

example:
	@$(environment) plots
	$(python) examples/radon.py

test: # a file of tests runs in one process: its tests share models and what is compiled
	@$(environment) dev
	$(python) -m pytest -n 2 --dist loadfile

test-long:
	@$(environment) dev
	$(python) -m pytest -m long

lint:
	@$(environment) dev
	$(python) -m ruff check .
	$(python) -m ruff format --check .

format:
	@$(environment) dev
	$(python) -m ruff check --fix .
	$(python) -m ruff format .

types:
	@$(environment) dev
	$(python) -m mypy

docs:
	@$(environment) docs
	@rm -rf docs/_build docs/generated # a page that is not rebuilt would not repeat its warnings
	$(python) -m sphinx -W --keep-going -n docs docs/_build/html

figures:
	@$(environment) plots
	$(python) docs/figures/how_it_works
	$(python) docs/figures/selection.py
	$(python) docs/figures/certificate.py
	$(python) docs/figures/networks.py
	$(python) docs/figures/plots

benchmark:
	@$(environment) benchmark peers
	$(python) benchmarks/overhead.py

choosing:
	@$(environment) plots
	$(python) benchmarks/choosing.py

groups:
	@$(environment) benchmark
	$(python) benchmarks/groups.py

flat-cost: # empty caches, so that what compiles is timed
	@$(environment) benchmark
	caches=$$(mktemp -d) && trap 'rm -rf "$$caches"' EXIT && export NUMBA_CACHE_DIR="$$caches" && \
	PYTENSOR_FLAGS="base_compiledir=$$caches" $(python) benchmarks/flat_cost.py

first-draw:
	@$(environment) benchmark
	$(python) benchmarks/first_draw.py

size = 8
large:
	@$(environment) plots
	$(python) benchmarks/large.py --gigabytes $(size)

distributed:
	@$(environment) dask objects
	$(python) benchmarks/distributed_setup.py

bias-target:
	@$(environment) plots
	$(python) benchmarks/bias_target.py

accuracy:
	@$(environment) plots
	$(python) benchmarks/accuracy.py

calibration:
	@$(environment) plots
	$(python) benchmarks/calibration.py

certificate:
	@$(environment) plots
	$(python) benchmarks/certificate.py $(ARGUMENTS)

hierarchical:
	@$(environment) benchmark
	$(python) benchmarks/hierarchical.py

samplers:
	@$(environment) plots
	$(python) benchmarks/samplers.py

peers:
	@$(environment) approximations
	$(python) benchmarks/peers.py

conformance:
	@$(environment) plots
	$(python) benchmarks/conformance.py $(ARGUMENTS)

networks:
	@$(environment) benchmark
	$(python) benchmarks/networks.py

package:
	@$(environment) plots
	sh scripts/package.sh

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .benchmarks docs/_build docs/generated
	rm -rf examples/output build dist
