"""The center, the preconditioner and the step size that are chosen: against closed forms."""

from types import SimpleNamespace

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest

from pymc_sgld import SGLD, SettingError, SGLDWarning
from pymc_sgld.dynamics import INTEGRATORS
from pymc_sgld.dynamics.gaussian_law import LARGEST, WideGaussianLaw
from pymc_sgld.minibatch.full_data import FullData
from pymc_sgld.minibatch.model import Minibatcher
from pymc_sgld.preconditioners import laplace
from pymc_sgld.tuning import estimators
from pymc_sgld.tuning.batch_noise import BATCHES, POSITIONS, BatchGradients, bends
from pymc_sgld.tuning.choices import _batch_size
from pymc_sgld.tuning.posterior import search as center
from pymc_sgld.tuning.posterior.covariance import Full, Stretched
from pymc_sgld.tuning.posterior.search import find_gaussian
from pymc_sgld.tuning.posterior.variational import Gaussian
from pymc_sgld.tuning.settings import Asked, Search
from tests.graphs import QUICK

ROWS = 300
_rng = np.random.default_rng(4)
X = _rng.normal(size=(ROWS, 3)) * [1, 10, 0.1]
y = X @ [1, -0.2, 3] + _rng.normal(size=ROWS)
PRECISION = X.T @ X + np.eye(3) / 25
MEAN = np.linalg.solve(PRECISION, X.T @ y)
CHOSEN = {"compile_kwargs": {"mode": "FAST_COMPILE"}}


def regression(**settings):
    with pm.Model() as model:
        beta = pm.Normal("beta", 0, 5, shape=3)
        pm.Normal("y", X @ beta, 1, observed=y, **settings)
    return model


def gaussian_of(model, block=64):
    rows = Minibatcher(model, model.value_vars, model.initial_point())
    start = rows.inputs.values[rows.inputs.position]
    return find_gaussian(FullData(rows.blocks(block)), start, [])


def test_passes_over_the_data_by_blocks():
    """Blocks that do not divide the rows: each row counts once."""
    model = regression()
    rows = Minibatcher(model, model.value_vars, model.initial_point())
    full, at = model.compile_logp(mode="FAST_COMPILE"), np.array([0.3, -0.1, 2.0])
    for block in (64, ROWS):
        data = FullData(rows.blocks(block))
        value, gradient = data.gradients(at, [])
        np.testing.assert_allclose(value.sum(), full({"beta": at}), rtol=1e-10)
        np.testing.assert_allclose(gradient.sum(axis=0), PRECISION @ (MEAN - at), rtol=1e-9)
        hessian = data.hessians(at, [])
        np.testing.assert_allclose(hessian[0], -np.eye(3) / 25, atol=1e-12)
        np.testing.assert_allclose(hessian.sum(axis=0), -PRECISION, rtol=1e-9)


def test_gaussian_of_a_gaussian_posterior():
    found = gaussian_of(regression())
    assert found.settled
    np.testing.assert_allclose(found.shape.precision, PRECISION, rtol=1e-8)
    whitened = np.linalg.cholesky(PRECISION).T @ (found.mean - MEAN)
    assert np.abs(whitened).max() < 0.01
    np.testing.assert_allclose(
        found.shape.whitener @ found.shape.whitener.T, np.linalg.inv(PRECISION), rtol=1e-8
    )


def test_gaussian_of_a_skewed_posterior():
    """A gamma posterior of a rate, by its logarithm: the mean, which is not the mode."""
    with pm.Model() as model:
        rate = pm.Gamma("rate", 1, 0.01)
        pm.Poisson("y", rate, observed=np.array([1, 0, 2, 0]))
    found = gaussian_of(model)
    # q = N(m, v) for p(t) ~ exp(4 t - 4.01 exp(t)): exp(m + v / 2) = 4 / 4.01 and 1 / v = 4
    assert found.settled
    # a curvature exp(N(0, v)) is averaged over the last dozens of points, a mean over eight pairs
    assert abs(found.shape.precision[0, 0] / 4 - 1) < 5 * np.sqrt((np.exp(1 / 4) - 1) / 30)
    assert abs(found.mean[0] - np.log(4 / 4.01) + 1 / 8) * 2 < 0.1 + 5 * np.sqrt(0.1 / 8)


def test_group_effects_without_a_mode():
    """The centered parametrisation: the density has no maximum, and the scale no mode."""
    group = np.repeat(np.arange(12), 25)
    effects = np.random.default_rng(2).normal(1, 0.5, 12)
    outcome = effects[group] + np.random.default_rng(3).normal(size=300)
    with pm.Model() as model:
        spread = pm.HalfNormal("spread")
        effect = pm.Normal("effect", pm.Normal("mean"), spread, shape=12)
        pm.Normal("y", effect[group], 1, observed=outcome)
    found = gaussian_of(model)
    assert found.settled
    assert -1.5 < found.mean[1 if model.value_vars[0].name == "mean" else 0] < 1.5
    assert np.linalg.eigvalsh(found.shape.precision)[0] > 0


@pytest.fixture(scope="module")
def run():
    with regression():
        step = SGLD(batch_size=30)
        idata = pm.sample(
            draws=1500, tune=50, chains=4, cores=1, step=step, random_seed=3, progressbar=False
        )
    return step, idata


def test_defaults_sample_a_conjugate_regression(run):
    step, idata = run
    assert (step.gradient, step.preconditioner) == ("control_variate", "laplace")
    assert step.integrator == "leimkuhler_matthews"
    draws = idata.posterior["beta"].to_numpy().reshape(-1, 3)
    whitened = (draws - MEAN) @ np.linalg.cholesky(PRECISION)
    effective = len(draws) / 1.6  # lag-one correlation 0.2
    assert np.abs(whitened.mean(axis=0)).max() < 4.5 / np.sqrt(effective)
    variances = np.linalg.eigvalsh(np.cov(whitened.T))
    error = 4.5 * np.sqrt(2 / effective)
    assert 1 - error < variances[0] and variances[-1] < 1.05 + error


def test_noise_is_seen(run):
    """What the test above is for: without a control variate the same step is too large."""
    with regression():
        step = SGLD(batch_size=5, step_size=0.3, gradient="minibatch", **CHOSEN)
        idata = pm.sample(
            draws=500, tune=50, chains=2, cores=1, step=step, random_seed=3, progressbar=False
        )
    draws = idata.posterior["beta"].to_numpy().reshape(-1, 3)
    whitened = (draws - MEAN) @ np.linalg.cholesky(PRECISION)
    assert np.linalg.eigvalsh(np.cov(whitened.T))[-1] > 1.5
    assert (idata.sample_stats["untrusted"].max("draw") == 1).all()
    assert not run[1].sample_stats["untrusted"].any()


def test_control_variate_that_is_worse_than_none(monkeypatch):
    """One of the wrong sign."""
    from pymc_sgld.tuning import batch_noise as noise

    class Opposite(noise.BatchGradients):
        def _of_batch(self, i, at, rows):
            plain = self._data.gradients_of(i, (at, self._others), rows)[i]
            if self._center is None:
                return plain
            return 2 * plain - super()._of_batch(i, at, rows)

    monkeypatch.setattr("pymc_sgld.tuning.estimators.BatchGradients", Opposite)
    message = r"[34].* times the variance of the plain"
    with regression(), pytest.warns(SGLDWarning, match=message) as record:
        step = SGLD(batch_size=30, step_size=0.1, **CHOSEN)
    assert record[0].filename == __file__
    assert step.gradient == "minibatch"


def test_bias_target_sets_the_step():
    with regression():
        of_rows = CHOSEN | {"batch_size": 5, "batching": "with_replacement"}
        wide = SGLD(bias_target=0.1, **of_rows)
        close = SGLD(bias_target=0.01, **of_rows)
    assert wide.schedule.step_size > 4 * close.schedule.step_size
    assert wide.steps_per_draw < close.steps_per_draw


def test_chains_start_apart_around_the_center():
    """R-hat needs it; a value that the user gave stays."""
    with regression() as model:
        step = SGLD(batch_size=30, step_size=1e-9, steps_per_draw=1, **CHOSEN)
        starts = []
        for seed in range(200):
            step.setup_chain(np.random.default_rng(seed), 0, 1)
            starts.append(step.step(model.initial_point())[0]["beta"])
        given = step.step(model.initial_point() | {"beta": np.array([4.0, 5, 6])})[0]
        step.setup_chain(np.random.default_rng(1), 0, 1)
        given = step.step(model.initial_point() | {"beta": np.array([4.0, 5, 6])})[0]["beta"]
    whitened = (np.array(starts) - MEAN) @ np.linalg.cholesky(PRECISION)
    error = 5 / np.sqrt(2 * len(starts))
    np.testing.assert_allclose(whitened.std(axis=0), 1.5, rtol=error)
    np.testing.assert_allclose(given, [4, 5, 6], atol=1e-3)


def test_restored_state_replays_the_averaged_noise():
    with regression() as model:
        step = SGLD(batch_size=30, **CHOSEN)
    step.setup_chain(np.random.default_rng(1), 0, 5)
    point = step.step(model.initial_point())[0]
    state = step.sampling_state
    first = step.step(point)[0]["beta"]
    step.step(point)
    step.sampling_state = state
    np.testing.assert_array_equal(step.step(point)[0]["beta"], first)


def test_center_of_the_user():
    center = {"beta": np.array([1.0, -0.2, 3.0])}
    with regression():
        step = SGLD(batch_size=30, center=center, **CHOSEN)
    np.testing.assert_array_equal(step._transition.gaussian.mean, center["beta"])
    np.testing.assert_allclose(step._transition.gaussian.shape.precision, PRECISION, rtol=1e-8)


def test_without_data_and_with_all_of_it():
    """There is no gradient noise to measure: the step is the largest."""
    with pm.Model():
        pm.Normal("x", 3, 2, shape=2)
        step = SGLD(**CHOSEN)
    np.testing.assert_allclose(step.schedule.step_size, LARGEST, rtol=1e-6)
    with regression():
        step = SGLD(batch_size=ROWS, preconditioner="laplace_diagonal", **CHOSEN)
    assert step.preconditioner == "laplace_diagonal"
    rates = np.linalg.eigvalsh(
        PRECISION / np.sqrt(np.outer(np.diag(PRECISION), np.diag(PRECISION)))
    )
    np.testing.assert_allclose(step.schedule.step_size, LARGEST / rates[-1], rtol=5e-3)


def test_search_that_does_not_settle():
    """A flat ridge: there is no posterior to find."""
    with pm.Model():
        pm.Flat("a", initval=0.0)
        pm.Normal("y", pt.exp(pm.Flat("b", initval=0.0)), 1, observed=-np.ones(50))
        with pytest.warns(SGLDWarning, match="did not settle|no Gaussian is like the posterior"):
            SGLD(**CHOSEN)


def test_a_start_where_the_gradient_overflows_is_refused():
    """With what to do, instead of an error of linear algebra; from a nearer start it works."""
    for start in (40.0, 1.0):  # of the first 1 - p is zero
        with pm.Model():
            logit = pm.Normal("logit", 0, 2, initval=start)
            psi = pm.math.invlogit(logit)
            pm.ZeroInflatedPoisson("y", psi=psi, mu=2.0, observed=[0, 1, 0, 2, 3, 0, 1, 0, 0])
            if start == 1:
                SGLD(**CHOSEN)
                continue
            with pytest.raises(SettingError, match="overflows"):
                SGLD(**CHOSEN)


@pytest.mark.parametrize(("fisher_divergence", "searches"), [(0.01, 1), (0.03, 2)])
def test_a_poor_gaussian_is_looked_for_again(fisher_divergence, searches, monkeypatch):
    """Also where it settled: from another start, and the one of more evidence is taken."""
    unit = Full(np.eye(2))
    poor = Gaussian(np.full(2, 3.0), unit, True, fisher_divergence, elbo=-3.0)
    better = Gaussian(np.zeros(2), unit, True, 0.1, elbo=-2.0)
    found = iter([poor, better])
    monkeypatch.setattr(center, "settle", lambda *arguments: next(found))
    for start in ("climb", "mean_field"):
        monkeypatch.setattr(center, start, lambda evaluate, start, until, *hyper: start)
    curvature = SimpleNamespace(
        data=SimpleNamespace(rows=10**7), matrix=lambda position: np.eye(2), may_have_groups=False
    )
    expected = [poor, better][searches - 1]
    assert center._search(curvature, lambda position: None, np.zeros(2), None) is expected


def test_float32():
    import pytensor

    with pytensor.config.change_flags(floatX="float32"):
        with pm.Model() as model:
            beta = pm.Normal("beta", 0, 5, shape=3)
            mean = X.astype("float32") @ beta
            pm.Normal("y", mean, np.float32(1), observed=y.astype("float32"))
            step = SGLD(batch_size=30, **CHOSEN)
        step.setup_chain(np.random.default_rng(1), 0, 2)
        assert step.step(model.initial_point())[0]["beta"].dtype == "float32"


def test_too_many_coordinates():
    """Before anything of that size is made."""
    with pm.Model():
        weights = pm.Normal("weights", shape=(3, 2000))
        pm.Normal("y", pt.tanh(X @ weights).sum(axis=1), 1, observed=y)
        with pytest.raises(SettingError, match=r'6000 unconstrained.*"control_variate"'):
            SGLD(batch_size=30, gradient="taylor", **CHOSEN)


def test_textbook_settings_choose_nothing():
    with regression():
        step = SGLD(batch_size=30, step_size=1e-4, **QUICK)
    assert step._transition.gaussian is None and step.integrator == "euler_maruyama"


@pytest.mark.parametrize(
    ("coordinates", "rows", "expected"),
    [(10, 10**6, 1024), (1500, 10**6, 2048), (10, 2000, 256), (10, 300, 128)],
    ids=["many rows", "many coordinates", "a quarter of the rows", "very few rows"],
)
def test_largest_batch_size(coordinates, rows, expected):
    """Batches grow as long as noise limits the step, up to 1,024 rows or twice the coordinates.

    All rows are read where that costs little, or less than the many updates of smaller batches.
    """
    density = SimpleNamespace(batch_size=128, rows=rows, sources={})
    prediction = SimpleNamespace(size=coordinates)
    assert _batch_size(density, prediction, short=1e5, few=False, most=1024) == rows
    limited = 0.9 * rows / 128
    assert _batch_size(density, prediction, short=limited, few=False, most=1024) == expected
    assert _batch_size(density, prediction, short=1e5, few=True, most=1024) == rows
    assert _batch_size(density, prediction, short=1, few=True, most=1024) == 128


@pytest.mark.parametrize("kind", [Full, Stretched])
def test_a_mean_that_moves_because_variances_grow(kind, monkeypatch):
    """The scale of the errors, by closed form: noise in 60 effects adds to all squared errors.

    y[g, i] ~ N(a[g], s), a flat prior: s'^2 is larger by the share d of v / EACH with the variance
    s^2 (1 + d) / EACH of an effect, so that log s moves by d / (2 EACH), and has the standard
    deviation 1 / sqrt(2 GROUPS (EACH - 1)).
    """
    groups, each, added = 60, 10, 0.2
    outcome = np.random.default_rng(6).normal(size=(groups, each))
    outcome -= outcome.mean(axis=1, keepdims=True)
    outcome /= np.sqrt((outcome**2).sum() / (groups * (each - 1)))
    with pm.Model() as model:
        effect, spread = pm.Flat("effect", shape=groups), pm.HalfFlat("spread", initval=1.0)
        pm.Normal("y", effect[np.repeat(np.arange(groups), each)], spread, observed=outcome.ravel())
    rows = Minibatcher(model, model.value_vars, model.initial_point())
    precisions = np.r_[np.full(groups, each), 2 * groups * (each - 1)].astype(float)
    empty = np.zeros((groups + 1, 0))
    shape = Full(np.diag(precisions)) if kind is Full else Stretched(precisions, empty, np.zeros(0))
    gaussian = Gaussian(np.zeros(groups + 1), shape)
    asked = Asked("control_variate", "laplace", "reshuffle", True, 0.05)
    search = Search(gaussian.mean, [], None, [])
    matrix = laplace("laplace", np.diag(precisions), np.dtype(float))
    noise = estimators.EstimatorNoise(
        FullData(rows.blocks(groups * each)), gaussian, asked, search, matrix
    )
    ones = np.r_[np.ones(groups), 0]
    if kind is Full:
        wide = SimpleNamespace(covariance=lambda step: np.diag((1 + added * ones) / precisions))
    else:
        wide = WideGaussianLaw.__new__(WideGaussianLaw)
        monkeypatch.setattr(WideGaussianLaw, "added", lambda self, step: added * ones)
    found = noise.mean_shift(wide, 0.1)
    exact = added / (2 * each) * np.sqrt(precisions[-1])
    # sums of squares of 60 normal numbers, eight times
    assert abs(found / exact - 1) < 5 * np.sqrt(2 / (8 * groups)) + added / 2


@pytest.mark.parametrize("batches", [4, 16, 200])
def test_the_order_of_an_epoch_moves_a_mean(batches, monkeypatch):
    """Chains with the gradient -x + xi (1 + c x), without noise of their own: it is linear in x.

    The mean over many orders is what the formula says, up to terms of the order of the step size.
    """
    step_size, bent, epochs, chains = 0.1, 0.3, 4 + 400 // batches, 4_000
    rng = np.random.default_rng(7)
    errors = rng.normal(size=batches)
    errors = (errors - errors.mean()) / errors.std()
    x, means = np.zeros(chains), []
    for epoch in range(epochs):
        for error in rng.permuted(np.tile(errors, (chains, 1)), axis=1).T:
            x = x + step_size / 2 * (-x + error * (1 + bent * x))
            means.append(x.mean())
    moved = np.mean(means[len(means) // 2 :])
    table = SimpleNamespace(full=False, batch_size=10, total_size=10 * batches)
    density = SimpleNamespace(full=False, tables=[table])
    noise = estimators.EstimatorNoise.__new__(estimators.EstimatorNoise)
    dynamics = INTEGRATORS["leimkuhler_matthews"]
    noise._asked = SimpleNamespace(batching="reshuffle", dynamics=dynamics)
    monkeypatch.setattr(noise, "_drift", lambda *arguments: bent / 4)
    found = noise.steady_step("minibatch", density, rate=1.0, tolerance=abs(moved))
    # E[H xi] = bent, since H = -1 + bent xi: the mean goes to the other side
    assert moved < 0
    np.testing.assert_allclose(found, step_size, rtol=0.2)


def test_bends_where_there_is_no_density_are_left_out():
    """One of the positions without a density does not hide what the others say."""
    gaussian = Gaussian(np.zeros(2), Full(np.eye(2)))
    values = iter([np.array([np.nan, 1.0])] + [np.array([3.0, 1.0])] * POSITIONS)
    gradients = SimpleNamespace(bend=lambda *arguments: next(values))
    np.testing.assert_array_equal(bends(gradients, gaussian, None), [[3, 1], [3, 1]])
    nowhere = SimpleNamespace(bend=lambda *arguments: np.full(2, np.nan))
    np.testing.assert_array_equal(bends(nowhere, gaussian, None), np.zeros((2, 2)))


def test_how_noise_bends_the_gradient_of_a_batch():
    """y ~ N(0, exp(t)): rows have the gradient u^2 - 1 and the curvature -2 u^2, u = y exp(-t).

    So E[H M xi] is -2 M (N^2 / n) Var(u^2) (N - n) / (N - 1), with M = 1 / (2 N).
    """
    rows, size = 4_000, 100
    outcome = np.random.default_rng(8).normal(size=rows)
    outcome /= np.sqrt(np.mean(outcome**2))
    with pm.Model() as model:
        spread = pm.HalfFlat("spread", initval=1.0)
        pm.Normal("y", 0, spread, observed=outcome)
    minibatcher = Minibatcher(model, model.value_vars, model.initial_point())
    precision = np.array([[2.0 * rows]])
    gaussian = Gaussian(np.zeros(1), Full(precision))
    matrix = laplace("laplace", precision, np.dtype(float))
    data = FullData(minibatcher.density(size))
    gradients = BatchGradients(data, "minibatch", None, [], "reshuffle")
    found = bends(gradients, gaussian, matrix)
    exact = -rows / size * np.var(outcome**2) * (rows - size) / (rows - 1)
    batches = POSITIONS // 4 * (BATCHES // 4)  # of a half
    np.testing.assert_allclose(found[:, 0], exact, rtol=5 * np.sqrt(2 / batches))
    np.testing.assert_allclose(found.mean(), exact, rtol=5 * np.sqrt(1 / batches))
