"""What is compiled, and that nothing is compiled twice."""

import pickle

import numpy as np
import pymc as pm
import pytest
from pytensor.compile.maker import FunctionMaker
from pytensor.link.numba.linker import NumbaLinker
from pytensor.tensor.math import Dot

from pymc_sgld import SGLD


@pytest.fixture
def compiled(monkeypatch):
    """List the functions that are made for Numba, which compiles each at its first call."""
    found = []
    create = FunctionMaker.create

    def noted(maker, *arguments, **keywords):
        function = create(maker, *arguments, **keywords)
        if isinstance(maker.mode.linker, NumbaLinker):
            found.append(function)
        return function

    monkeypatch.setattr(FunctionMaker, "create", noted)
    return found


@pytest.fixture(scope="module")
def logistic():
    rng = np.random.default_rng(3)
    X = rng.normal(size=(600, 4))
    with pm.Model() as model:
        beta = pm.Normal("beta", 0, 1, shape=4)
        pm.Bernoulli("y", logit_p=X @ beta, observed=rng.integers(0, 2, 600))
    return model


def nodes(function):
    """Return the operations of a function and of its loops."""
    found = []
    for node in function.maker.fgraph.toposort():
        inner = getattr(node.op, "fgraph", None)
        found += [node.op] if inner is None else [n.op for n in inner.toposort()]
    return found


def assert_moves_like(one, other, point):
    for step in (one, other):
        step.setup_chain(np.random.default_rng(1), 0, 5)
    np.testing.assert_array_equal(one.step(point)[0]["beta"], other.step(point)[0]["beta"])


def test_what_is_compiled_has_no_matrix_products(compiled, logistic):
    """An update, the density after the last, and gradients: all else NumPy does sooner."""
    step = SGLD(model=logistic)
    assert len(compiled) == 3
    # compiling a product takes longer than all the rest
    assert not any(isinstance(op, Dot) for function in compiled for op in nodes(function))
    assert_moves_like(pickle.loads(pickle.dumps(step)), step, logistic.initial_point())
    assert len(compiled) == 3 + 2  # functions are pickled as their graphs
    run = {"cores": 1, "chains": 2, "progressbar": False, "quiet": True, "random_seed": 1}
    with logistic:
        for _ in range(2):
            pm.sample(40, tune=40, step=step, compute_convergence_checks=False, **run)
    assert len(compiled) == 3 + 2 + 2 * 2  # PyMC compiles for each chain what it stores of a draw


@pytest.mark.long
def test_many_rows_take_no_more_functions(compiled):
    """Search, center, checks, and the gradients of samples of the rows and of batches share one."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=40_000)
    with pm.Model():
        slope, spread = pm.Normal("slope"), pm.HalfNormal("spread")
        pm.Normal("y", slope * x, spread, observed=x + rng.normal(size=40_000))
        SGLD()
    assert len(compiled) == 3


def test_a_model_of_the_same_shapes_compiles_nothing(compiled):
    """Other data, the same graph: as where one model is fitted to many segments."""
    steps = []
    for seed in (1, 2):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=700)
        with pm.Model():
            slope, spread = pm.Normal("slope"), pm.HalfNormal("spread")
            pm.Normal("y", slope * x, spread, observed=seed * x + rng.normal(size=700))
            steps.append(SGLD())
        if seed == 1:
            first = len(compiled)
    assert len(compiled) == first > 0
    for seed, step in zip((1, 2), steps, strict=True):  # each with its own data
        step.setup_chain(np.random.default_rng(3), 0, 5)
        point = {"slope": np.array(0.0), "spread_log__": np.array(0.0)}
        for _ in range(5):
            point = step.step(point)[0]
        assert abs(point["slope"] - seed) < 6 / np.sqrt(700) + 0.05  # six standard deviations
