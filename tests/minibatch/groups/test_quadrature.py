"""The integral over the effects of a group, beside integrals by SciPy and by fine grids."""

from functools import cache

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import stats
from scipy.integrate import quad
from scipy.special import logsumexp

from pymc_sgld.backends.numpy_mode import run_by_numpy
from pymc_sgld.minibatch.groups.quadrature import Nodes, derivatives, log_likelihood

NOISE, CORRELATION = 0.7, -0.6
# mean, logarithm of the spread of the effects
POSITIONS = [(0.0, 0.0), (0.8, -1.5), (-1.0, 0.7)]

# five groups of three rows of each family
FAMILIES = {
    "bernoulli": lambda y, eta, xp: (y > 1) * eta - xp.log1p(xp.exp(eta)),
    "poisson": lambda y, eta, xp: y * eta - xp.exp(eta),
    "gaussian": lambda y, eta, xp: -(((y - eta) / NOISE) ** 2) / 2,
}
OUTCOMES = np.tile([[1, 0, 0], [2, 2, 2], [0, 2, 2], [3, 0, 2], [9, 6, 7]], (3, 1))
COVARIATES = np.random.default_rng(1).normal(size=(15, 3))
OF_FAMILY = np.repeat(list(FAMILIES), 5)
GROUPS = len(OUTCOMES)


def prior(effects, mean, log_spread, xp):
    """Return the log density of effects, the last axis: one, or correlated ones."""
    q = effects.type.shape[-1] if xp is pt else effects.shape[-1]
    z = [(effects[..., i] - mean) * xp.exp(-log_spread) for i in range(q)]
    form, log_det = z[0] ** 2, 0.0
    if q == 2:
        form = form + (z[1] - CORRELATION * z[0]) ** 2 / (1 - CORRELATION**2)
        log_det = np.log(1 - CORRELATION**2) / 2
    return -form / 2 - q * (log_spread + np.log(2 * np.pi) / 2) - log_det


def of_group(g, effects, position):
    """Return the joint log density of a group by NumPy; effects are on the last axis."""
    eta = effects[..., :1] + (COVARIATES[g] * effects[..., 1:] if effects.shape[-1] == 2 else 0)
    rows = FAMILIES[OF_FAMILY[g]](OUTCOMES[g], eta, np).sum(axis=-1)
    return rows + prior(effects, *position, np)


@cache
def integral(g, position):
    """Return the log-likelihood of a group with one effect, by SciPy."""
    mean, log_spread = position
    line = mean + 15 * np.exp(log_spread) * np.linspace(-1, 1, 4001)
    values = of_group(g, line[:, None], position)
    mode, top = line[values.argmax()], values.max()
    found, _ = quad(
        lambda b: np.exp(of_group(g, np.array([b]), position) - top),
        line[0],
        line[-1],
        points=[mode],
        epsabs=1e-13,
        limit=200,
    )
    return np.log(found) + top


@cache
def grid_integral(g, position):
    """Return the log-likelihood of a group with two effects, by a sum over a fine grid."""
    mean, log_spread = position
    line = mean + np.exp(log_spread) * np.linspace(-20, 20, 321)
    grid = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1)
    return logsumexp(of_group(g, grid, position)) + 2 * np.log(line[1] - line[0])


@cache
def quadrature(q, nodes, newton=6):
    """Return a function of a position and of starts: the log-likelihoods, and their slopes."""
    positions, start = pt.matrix("positions", shape=(GROUPS, 2)), pt.matrix(shape=(GROUPS, q))

    def joint(effects, copies):
        eta = effects[:, [0]]
        if q == 2:
            eta = eta + effects[:, [1]] * np.tile(COVARIATES, (copies, 1))
        eta = (eta + np.zeros((copies * GROUPS, 3))).reshape((copies, GROUPS, 3))
        position = pt.tile(positions, (copies, 1))
        own = prior(effects, position[:, 0], position[:, 1], pt).reshape((copies, GROUPS))
        rows = [
            row(OUTCOMES[OF_FAMILY == name], eta[:, 5 * k : 5 * k + 5], pt).sum(axis=2)
            for k, (name, row) in enumerate(FAMILIES.items())
        ]
        return own + pt.concatenate(rows, axis=1)

    found = log_likelihood(joint, start, Nodes.of(nodes, q), newton)
    slope = pytensor.grad(found.sum(), positions)
    function = run_by_numpy([positions, start], [found, slope])
    begin = np.zeros((GROUPS, q))
    return lambda at, starts=begin: function(np.tile(at, (GROUPS, 1)), begin + starts)


def differences(function, position, step=1e-5):
    """Return derivatives by a position, shape (groups, 2)."""
    position, steps = np.array(position), step * np.eye(2)
    sides = [(function(position + s)[0], function(position - s)[0]) for s in steps]
    return np.stack([(above - below) / (2 * step) for above, below in sides], axis=1)


@pytest.mark.parametrize("position", POSITIONS)
def test_one_effect(position):
    expected = [integral(g, position) for g in range(GROUPS)]
    np.testing.assert_allclose(quadrature(1, 31)(position)[0], expected, atol=1e-6)
    np.testing.assert_allclose(quadrature(1, 7)(position)[0], expected, atol=5e-3)


@pytest.mark.parametrize("position", POSITIONS)
def test_two_effects(position):
    expected = [grid_integral(g, position) for g in range(GROUPS)]
    np.testing.assert_allclose(quadrature(2, 31)(position)[0], expected, atol=2e-5)
    np.testing.assert_allclose(quadrature(2, 9)(position)[0], expected, atol=5e-3)


@pytest.mark.parametrize("q", [1, 2])
def test_one_node_of_a_quadratic_density(q):
    """Exact, by one step from however far; SciPy's normal distribution is the reference."""
    gaussian = OF_FAMILY == "gaussian"
    for position in POSITIONS:
        mean, spread = position[0], np.exp(position[1])
        parts = np.array([[1, CORRELATION], [CORRELATION, 1]])[:q, :q] * spread**2
        expected = []
        for outcome, x in zip(OUTCOMES[gaussian], COVARIATES[gaussian], strict=True):
            design = np.stack([np.ones(3), x], axis=1)[:, :q]
            noise = NOISE**2 * np.eye(3)
            law = stats.multivariate_normal(
                design.sum(axis=1) * mean, design @ parts @ design.T + noise
            )
            expected.append(law.logpdf(outcome) + 1.5 * np.log(2 * np.pi * NOISE**2))
        evaluate = quadrature(q, 1, newton=1)
        for start, tolerance in ((0.0, 1e-10), (1e3, 1e-6)):  # a far start costs digits
            found = evaluate(position, start * gaussian[:, None])[0][gaussian]
            np.testing.assert_allclose(found, expected, rtol=tolerance)
        exact = differences(evaluate, position)[gaussian]
        np.testing.assert_allclose(evaluate(position)[1][gaussian], exact, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize(("q", "nodes", "error"), [(1, 7, 0.02), (1, 15, 2e-3), (2, 9, 0.03)])
def test_slopes(q, nodes, error):
    """Nodes are held fixed: the error is of the size of that of the quadrature, and no more."""
    for position in POSITIONS:
        exact = differences(quadrature(q, 31), position)
        np.testing.assert_allclose(quadrature(q, nodes)(position)[1], exact, atol=error)


def test_spread_without_curvature():
    """A double exponential has none, and in its tails that of Student is convex on a log scale."""
    starts = np.array([[0.0], [3.0], [60.0], [-60.0]])
    effects = pt.matrix("effects", shape=starts.shape)
    densities = [lambda b: -pt.abs(b), lambda b: -2 * pt.log1p(b**2 / 3)]
    for density in densities:

        def joint(b, copies, density=density):
            return density(b[:, 0]).reshape((copies, len(starts)))

        slope, factor = derivatives(joint, effects)
        outputs = [slope, factor[0][0], log_likelihood(joint, effects, Nodes.of(7, 1), 4)]
        found = run_by_numpy([effects], outputs)(starts)
        assert all(np.isfinite(value).all() for value in found)
        assert (found[1] > 0).all()
