"""Very many coordinates: a diagonal, and the directions it misses."""

import numpy as np
import pymc as pm
import pytest

from pymc_sgld import SGLD
from pymc_sgld.batching.order import independent
from pymc_sgld.dynamics import INTEGRATORS
from pymc_sgld.dynamics.gaussian_law import GaussianLaw, WideGaussianLaw
from pymc_sgld.preconditioners import Dense, Diagonal, Identity, LowRank
from pymc_sgld.tuning.posterior.covariance import Full, Stretched, lanczos

GROUPS, EACH = 700, 12
_rng = np.random.default_rng(8)
group = np.repeat(np.arange(GROUPS), EACH)
slope = _rng.normal(size=GROUPS * EACH) * 3
outcome = 2 + _rng.normal(size=GROUPS)[group] + 0.5 * slope + _rng.normal(size=GROUPS * EACH)


def groups():
    """An intercept for each group around a mean that all of them share, and a slope."""
    with pm.Model() as model:
        mean = pm.Normal("mean", 0, 5)
        beta = pm.Normal("beta", 0, 5)
        effect = pm.Normal("effect", shape=GROUPS)
        pm.Normal("y", mean + effect[group] + beta * slope, 1, observed=outcome)
    return model


def design():
    rows = np.column_stack([np.ones(len(group)), slope, np.eye(GROUPS)[group]])
    prior = np.concatenate([np.full(2, 1 / 25), np.ones(GROUPS)])
    precision = rows.T @ rows + np.diag(prior)
    return precision, np.linalg.solve(precision, rows.T @ outcome)


def test_a_width_that_a_search_has_lost():
    """In the funnel of a scale it runs away to no width at all: infinitely far, and no error."""
    assert Full(np.diag([np.inf, 1.0])).whiten(np.ones(2)).tolist() == [np.inf, 1.0]


@pytest.fixture(scope="module")
def step():
    with groups():
        return SGLD(rng=3, marginalize=False, compile_kwargs={"mode": "FAST_COMPILE"})


def random_shape(size=7):
    rng = np.random.default_rng(size)
    directions = np.linalg.qr(rng.normal(size=(size, 2)))[0]
    return Stretched(rng.gamma(2, size=size), directions, np.array([0.1, 9.0]))


def test_low_rank_is_the_matrix_it_stands_for():
    shape, rng = random_shape(), np.random.default_rng(1)
    scales, directions = np.diag(shape.precisions**-0.5), shape.directions
    covariance = directions @ np.diag(1 / shape.rates - 1) @ directions.T
    covariance = scales @ (np.eye(7) + covariance) @ scales
    z, identity = rng.normal(size=(4, 7)), np.eye(7)
    factor = shape.unwhiten(identity).T
    np.testing.assert_allclose(factor @ factor.T, covariance, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(shape.whiten_gradient(z), z @ factor, rtol=1e-12)
    np.testing.assert_allclose(shape.whiten(shape.unwhiten(z[0])), z[0], rtol=1e-12)
    np.testing.assert_allclose(shape.variances, np.diag(covariance), rtol=1e-12)
    np.testing.assert_allclose(shape.half_log_determinant, np.linalg.slogdet(factor)[1], rtol=1e-12)
    np.testing.assert_allclose(shape.narrower().variances * 2, shape.variances, rtol=1e-12)
    matrix = shape.preconditioner("laplace", "float64")
    np.testing.assert_allclose(matrix.multiply(z[0], *matrix.arrays), covariance @ z[0], rtol=1e-12)
    alone = shape.preconditioner("laplace_diagonal", "float64")
    np.testing.assert_allclose(alone.arrays[0], 1 / shape.precisions)


class Arrow:
    """The curvature of a coordinate that depends a little on five of very different scales."""

    precisions = 10.0 ** np.array([0, 6, -4, 3, -2, 1])

    def product(self, position, tangent):
        correlations = np.eye(6)
        correlations[0, 1:] = correlations[1:, 0] = 0.1
        scales = np.sqrt(self.precisions)
        return scales * (correlations @ (scales * tangent))


def test_scales_of_other_coordinates_do_not_disturb_the_diagonal():
    """A probe in units of the diagonal errs by correlations, one of ones by ratios of scales."""
    exact = Stretched(Arrow.precisions, np.zeros((6, 0)), np.zeros(0))
    for seed in range(20):
        turned = exact.rescaled(Arrow(), np.zeros(6), 0.3, np.random.default_rng(seed))
        # by 0.3 times the sum of the five correlations at most, to second order
        most = 0.3 * 0.5
        assert np.abs(turned.precisions / exact.precisions - 1).max() <= most + most**2 / 2 + 1e-9
    found = Stretched.at(Arrow(), np.zeros(6))
    # the mean of six probes: four standard errors of the sum of five correlations
    assert np.abs(found.precisions / Arrow.precisions - 1).max() < 4 * 0.1 * np.sqrt(5 / 6)


@pytest.mark.parametrize("kind", ["identity", "diagonal", "dense", "low rank"])
def test_whitened_gradients_and_duals_belong_to_the_factor(kind):
    covariance = np.cov(np.random.default_rng(2).normal(size=(9, 20)))
    matrix = {
        "identity": Identity(),
        "diagonal": Diagonal(np.arange(1.0, 10)),
        "dense": Dense(covariance, np.linalg.cholesky(covariance)),
        "low rank": LowRank(np.arange(1.0, 10), np.eye(9)[:, :2], np.array([3.0, 0.2])),
    }[kind]
    factor = matrix.factor(np.eye(9))
    np.testing.assert_allclose(matrix.whiten_gradient(np.eye(9)), factor.T, rtol=1e-12)
    expected = np.linalg.solve(factor.T @ factor, factor.T).T  # M^-1 L z, row by row
    np.testing.assert_allclose(matrix.dual(np.eye(9)), expected, rtol=1e-10, atol=1e-12)


def test_lanczos_finds_the_extreme_eigenvalues():
    rng = np.random.default_rng(3)
    turn = np.linalg.qr(rng.normal(size=(400, 400)))[0]
    values = np.concatenate([[0.01, 0.2], rng.uniform(0.9, 1.1, 397), [30]])
    matrix = (turn * values) @ turn.T
    found, vectors = lanczos(lambda vector: matrix @ vector, 400, 40)
    np.testing.assert_allclose(found[[0, 1, -1]], [0.01, 0.2, 30], rtol=1e-6)
    np.testing.assert_allclose(np.abs(vectors[:, [0, 1, -1]].T @ turn)[:, [0, 1, -1]], np.eye(3),
                               atol=1e-5)  # fmt: skip
    every, _ = lanczos(lambda vector: vector[:3] * [1, 2, 3], 3, 60)  # fewer rows than products
    np.testing.assert_allclose(every, [1, 2, 3])


@pytest.mark.long
def test_shape_of_many_groups(step):
    """One direction of the shared mean, which the diagonal misses by a factor of hundreds."""
    precision, mean = design()
    shape = step._transition.gaussian.shape
    assert isinstance(shape, Stretched) and step.preconditioner == "laplace_low_rank"
    factor = shape.unwhiten(np.eye(len(mean))).T
    alone = np.diag(shape.precisions**-0.5)
    rates = np.linalg.eigvalsh(factor.T @ precision @ factor)
    without = np.linalg.eigvalsh(alone @ precision @ alone)
    assert rates[-1] / rates[0] < 2 < 20 < without[-1] / without[0]
    np.testing.assert_allclose(step._transition.verdict.judge.law.rates, rates[[0, -1]], rtol=0.02)
    away = (step._transition.gaussian.mean - mean) / np.sqrt(np.diag(np.linalg.inv(precision)))
    assert np.abs(away).max() < 0.2


def test_sizes_of_what_is_kept(step):
    """No array of d x d numbers, in what a worker receives as in what it computes with."""
    size = len(step.coordinate_names)
    assert all(array.size < 100 * size for array in step._transition.run._constants)
    assert all(
        np.size(value) < 100 * size for value in vars(step._transition.gaussian.shape).values()
    )


@pytest.mark.long
def test_draws_of_many_groups(step):
    """Variances against the closed form, in all coordinates."""
    precision, mean = design()
    variances = np.diag(np.linalg.inv(precision))
    point = groups().initial_point()
    step.setup_chain(np.random.default_rng(5), 50, 250)
    draws = []
    for _ in range(300):
        point, _ = step.step(point)
        draws.append(np.concatenate([point["mean"][None], point["beta"][None], point["effect"]]))
    draws = np.array(draws[50:])
    ratio = draws.var(axis=0) / variances
    error = np.sqrt(2 / len(draws) * 1.5)  # lag-one correlation of about .2 and less
    assert abs(ratio.mean() - 1) < 0.05 + 5 * error / np.sqrt(GROUPS)
    assert (np.abs(ratio - 1) < 0.05 + 5 * error).all()
    shift = (draws.mean(axis=0) - mean) / np.sqrt(variances)
    assert np.abs(shift).max() < 5 * np.sqrt(1.5 / len(draws))


def test_bounds_contain_the_prediction():
    """The inflation that is bounded, against the discrete Lyapunov equation."""
    rng = np.random.default_rng(6)
    turn = np.linalg.qr(rng.normal(size=(30, 30)))[0]
    precision = (turn * rng.uniform(0.7, 1.5, 30)) @ turn.T
    samples = [rng.normal(size=(120, 30)) * np.linspace(0.5, 3, 30) / 11 for _ in range(2)]
    noise = np.array([half.T @ half for half in samples])
    rates = np.linalg.eigvalsh(precision)[[0, -1]]
    for dynamics in INTEGRATORS.values():
        for step_size in (0.05, 0.3):
            exact = GaussianLaw(precision, noise, np.eye(30), dynamics).inflation(step_size)
            wide = WideGaussianLaw(rates, samples, dynamics, independent)
            assert 1 < exact <= wide.inflation(step_size) * 1.001
            assert wide.inflation(step_size) - 1 < 1.3 * (exact - 1)
            assert abs(wide.remains(step_size) - 1) < 1e-12


@pytest.mark.parametrize(("largest", "kind"), [(2, Full), (1, Stretched)])
def test_full_matrix_up_to_a_size(monkeypatch, largest, kind):
    monkeypatch.setattr("pymc_sgld.tuning.posterior.search.FULL_SIZE", largest)
    with pm.Model():
        beta = pm.Normal("beta", shape=2)
        pm.Normal("y", beta[0] + beta[1] * slope[:300], 1, observed=outcome[:300])
        step = SGLD(compile_kwargs={"mode": "FAST_COMPILE"})
    assert isinstance(step._transition.gaussian.shape, kind)
