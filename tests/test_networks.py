"""NetworkSGHMC: the search, what a chain measures, and posteriors with a known answer."""

import multiprocessing
import pickle
import warnings
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
from pymc.sampling.parallel import ParallelSamplingError

from pymc_sgld import NetworkSGHMC, NonFiniteError, SettingError, predict
from pymc_sgld.chain import warm_start
from pymc_sgld.chain.warm_start import batch_of_network, directions_of_network
from pymc_sgld.messages import Reason
from pymc_sgld.networks import UPDATES
from pymc_sgld.preconditioners import FisherLowRank
from tests.runs import RUN, draws

COMPILED = {"compile_kwargs": {"mode": "FAST_COMPILE"}}
ROWS = 400
X = np.random.default_rng(1).normal(size=(ROWS, 2)) * [1.0, 0.02]
Y = np.random.default_rng(2).normal(size=ROWS) + X @ [1.0, -2.0]
PRIOR = np.array([1.0, 20.0])  # sds
PRECISION = X.T @ X + np.diag(PRIOR**-2)
MEAN = np.linalg.solve(PRECISION, X.T @ Y)


@pytest.fixture(scope="module")
def regression():
    """A regression with columns of very different sizes: its posterior is a Gaussian."""
    with pm.Model() as model:
        slopes = pm.Normal("slopes", 0, PRIOR, shape=2)
        pm.Normal("y", pm.Data("x", X) @ slopes, 1, observed=Y)
    return model


def sampled(model, count, tune=20, **settings):
    step = NetworkSGHMC(model=model, **{"steps_per_draw": 20} | COMPILED | settings)
    run = draws(step, model.initial_point(), count, tune=tune)
    return step, run[:tune], run[tune:]


def largest_curvature(matrix):
    """Return the largest eigenvalue of the precision in the coordinates of a preconditioner."""
    return np.linalg.eigvalsh(matrix.whiten_gradient(matrix.whiten_gradient(PRECISION).T))[-1]


@pytest.mark.parametrize("batch_size", [50, pytest.param(ROWS, marks=pytest.mark.long)])
def test_posterior_of_a_regression(regression, batch_size):
    """Mean and covariance in whitened coordinates; batches add what the temperature tells."""
    settings = {"batch_size": batch_size, "steps_per_draw": 40, "friction": 1.0}
    step, _, run = sampled(regression, 300, **settings)
    found = np.array([point["slopes"] for point, _ in run])
    white = (found - MEAN) @ np.linalg.cholesky(PRECISION)
    groups = white.reshape(20, -1, 2)
    error = groups.mean(axis=1).std(axis=0, ddof=1) / np.sqrt(20)
    assert (np.abs(white.mean(axis=0)) < 4 * error).all() and error.max() < 0.15
    squares = (groups**2).mean(axis=1)
    error = squares.std(axis=0, ddof=1) / np.sqrt(20)
    hotter = warm_start.HEATING if batch_size < ROWS else 0.0
    assert (squares.mean(axis=0) > 1 - 4 * error).all()
    assert (squares.mean(axis=0) < 1 + hotter + 4 * error).all() and error.max() < 0.2
    temperature = np.mean([stats[0]["kinetic_temperature"] for _, stats in run])
    assert abs(temperature - 1) < hotter + 4 / np.sqrt(len(run))
    assert not step.chain.untrusted


def test_search_ends_at_the_mode_and_injects_nothing(regression):
    _, tuning, _ = sampled(regression, 1, tune=60, batch_size=ROWS)
    at_end, stats = tuning[29]
    away = (at_end["slopes"] - MEAN) @ np.linalg.cholesky(PRECISION)
    assert np.abs(away).max() < 0.05
    assert [each[0]["explores"] for _, each in tuning] == [1] * 30 + [0] * 30
    assert np.isnan(stats[0]["kinetic_temperature"])
    assert np.isfinite(tuning[30][1][0]["kinetic_temperature"])


def test_preconditioner_and_step_size_are_those_of_the_posterior(regression):
    """The Hessian's diagonal, and the largest eigenvalue in its units; both stay after tuning."""
    step, tuning, run = sampled(regression, 5, tune=100, batch_size=ROWS, friction=1.0)
    matrix = step.chain.preconditioner
    np.testing.assert_allclose(matrix.diagonal * np.diag(PRECISION), 1, atol=0.35)
    expected = warm_start.SHARE * 2 / np.sqrt(max(1, largest_curvature(matrix)))
    assert run[0][1][0]["step_size"] == pytest.approx(expected, rel=0.02)
    assert len({stats[0]["step_size"] for _, stats in run}) == 1
    assert len({stats[0]["step_size"] for _, stats in tuning[50:]}) == 5


def test_directions_that_are_correlated_are_whitened():
    """Gradients of a narrow valley tell it: with them the largest curvature is about one."""
    rng, size = np.random.default_rng(1), 40
    factors = np.linalg.qr(rng.normal(size=(size, 3)))[0]
    precision = np.eye(size) + 500 * factors @ factors.T
    gradients = rng.normal(size=(2_000, size)) @ np.linalg.cholesky(precision).T
    diagonal = 1 / np.diag(precision)
    largest = []
    for rank in (1, 3, 10):
        matrix = FisherLowRank.of(diagonal, gradients, 1.0, rank, float)
        white = matrix.whiten_gradient(matrix.whiten_gradient(precision).T)
        largest.append(np.linalg.eigvalsh(white)[-1])
        full = np.column_stack([matrix.multiply(column, *matrix.arrays) for column in np.eye(size)])
        factor = matrix.factor(np.eye(size)).T
        np.testing.assert_allclose(factor @ factor.T, full, atol=1e-12)
        np.testing.assert_allclose(matrix.whiten(factor.T), np.eye(size), atol=1e-10)
    before = np.linalg.eigvalsh(precision * np.sqrt(np.outer(diagonal, diagonal)))[-1]
    assert before > 5 and largest[0] > 2
    assert largest[1] < 1.3 and largest[2] < 1.3


@pytest.mark.parametrize(
    ("size", "rows", "count"),
    [(946, 1_202, 100), (946, 50, 5), (79_510, 1_024, 10), (2, 400, 1), (10**7, 1_024, 1)],
)
def test_how_many_directions(size, rows, count):
    assert directions_of_network(size, rows) == count


def test_a_search_is_not_longer_because_tuning_is(regression, monkeypatch):
    monkeypatch.setattr(warm_start, "SEARCH", 70)
    _, tuning, _ = sampled(regression, 1, tune=60)
    assert [each[0]["explores"] for _, each in tuning] == [1] * 4 + [0] * 56  # of 20 updates


def test_batches_of_an_epoch_allow_larger_steps_than_independent_ones(regression):
    """Both widen variances by a tenth: without a memory by as much as first order says, about."""
    noise, largest = np.array([3.0, 0.3]), 100.0
    found = []
    for batching in ("with_replacement", "reshuffle"):
        settings = {"batch_size": 40, "batching": batching, "friction": 0.3}
        step = NetworkSGHMC(model=regression, **settings, **COMPILED)
        found.append(step._transition._within(0.3, noise, largest))
    expected = 2 * 0.3 * warm_start.HEATING * len(noise) / noise.sum()
    assert 0.85 * expected < found[0] < 1.05 * expected
    assert found[1] > 2 * found[0]


def test_heat_is_told(regression, monkeypatch):
    """With steps that let the noise of small batches heat the momentum a chain is not trusted."""
    monkeypatch.setattr(warm_start, "HEATING", 10.0)
    step, _, run = sampled(regression, 60, batch_size=4, batching="with_replacement", friction=0.1)
    assert step.chain.reasons & Reason.HEAT
    assert "kinetic temperature" in str(run[-1][1][0]["warning"].message)


def test_cold_is_told(regression):
    """As momenta are where steps are large."""
    step, *_ = sampled(regression, 60)
    step.chain.heat *= 0.2
    (message,) = step._transition.verdict.of(step.chain)
    assert message.reason == Reason.HEAT
    assert "steps are too large for the curvature: tune longer" in message.text


def test_prior_precision(regression):
    step = NetworkSGHMC(model=regression, **COMPILED)
    np.testing.assert_allclose(step._transition.precision, PRIOR**-2.0, rtol=1e-6)
    with pm.Model():
        pm.Normal("y", pm.Flat("free") ** 2, 1, observed=np.zeros(3))
        assert NetworkSGHMC(**COMPILED)._transition.precision > 0


@pytest.mark.parametrize(
    ("rows", "size"), [(40, 40), (2_048, 2_048), (2_049, 1_024), (10**6, 1_024)]
)
def test_default_batch(rows, size):
    assert batch_of_network(rows) == size


def network(rows=60, units=4):
    x = np.linspace(-2, 2, rows)[:, None]
    with pm.Model() as model:
        first, bias = pm.Normal("first", shape=(1, units)), pm.Normal("bias", shape=units)
        hidden = pt.tanh(pm.Data("x", x) @ first + bias)
        if units > 4:
            hidden = pt.tanh(hidden @ pm.Normal("second", shape=(units, units)))
        mean = pm.Deterministic("mean", hidden @ pm.Normal("last", shape=units))
        pm.Normal("y", mean, 0.1, observed=np.sin(2 * x[:, 0]))
    return model


def test_a_network_through_pm_sample():
    """Chains find modes of their own, and their predictions agree where there are data."""
    with network() as model:
        step = NetworkSGHMC(**COMPILED)
        idata = pm.sample(
            20,
            tune=60,
            chains=2,
            cores=1,
            step=step,
            var_names=["first", "bias", "last"],
            random_seed=1,
            progressbar=False,
            quiet=True,
            compute_convergence_checks=False,
        )
    new = np.linspace(-1.5, 1.5, 9)
    found = predict(idata, model, data={"x": new[:, None]}, var_names="mean", progressbar=False)
    assert np.abs(found["mean"].sel(statistic="mean") - np.sin(2 * new)).max() < 0.15
    weights = idata.posterior["first"].mean("draw").values
    assert np.abs(weights[0] - weights[1]).max() > 0.1


def draws_by_jax():
    """Run a network whose backend is chosen, forked twice: before JAX ran here, and after."""
    warnings.filterwarnings("error", message="os.fork")  # of JAX, where it has run
    with network(2_000, units=16):
        step = NetworkSGHMC(steps_per_draw=10, progressbar=False)
        settings = RUN | {"step": step, "draws": 3, "tune": 4, "var_names": ["first"]}
        forked = pm.sample(**settings | {"cores": 2, "mp_ctx": "fork"})
        here = pm.sample(**settings | {"cores": 1})
        warnings.simplefilter("ignore")
        with pytest.raises(ParallelSamplingError, match="JAX does not survive a fork"):
            pm.sample(**settings | {"cores": 2, "mp_ctx": "fork"})
    return repr(step), [run.posterior["first"].values for run in (forked, here)]


def test_the_backend_that_is_chosen_survives_a_fork():
    """JAX runs only in the processes of chains, so that no argument of pm.sample is needed."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        text, (forked, here) = pool.submit(draws_by_jax).result()
    assert "backend='JAX'" in text
    np.testing.assert_array_equal(forked, here)


def test_starts_are_random_but_for_values_of_the_user(regression):
    with network():
        step = NetworkSGHMC(**COMPILED)
    transition = step._transition
    given = transition.origin.copy()
    given[:4] = 7.0
    rng = np.random.default_rng(1)
    starts = np.array([transition._disperse(rng, given, 1.0) for _ in range(500)])
    assert (starts[:, :4] == 7).all() and (starts[:, 4:].std(axis=0) > 0.05).all()


def test_same_seed_same_draws_and_a_pickle_goes_on(regression):
    one, other = [sampled(regression, 4, batch_size=50)[2] for _ in range(2)]
    assert all(np.array_equal(a["slopes"], b["slopes"]) for (a, _), (b, _) in zip(one, other))
    step, _, run = sampled(regression, 2, batch_size=50)
    again = pickle.loads(pickle.dumps(step))
    step.chain.draws = again.chain.draws = 9
    point = run[-1][0]
    assert np.array_equal(step.step(point)[0]["slopes"], again.step(point)[0]["slopes"])


def test_a_run_that_goes_on_from_a_checkpoint(regression, tmp_path):
    """In each phase, and in two processes: with the same draws as undisturbed ones."""
    settings = {"steps_per_draw": 10, "batch_size": 50, "model": regression} | COMPILED

    def run(**changes):
        changes = {"draws": 6, "tune": 6} | changes
        with regression:
            return pm.sample(**RUN | changes).posterior["slopes"]

    undisturbed = run(step=NetworkSGHMC(**settings))
    folder = tmp_path / "run"
    begun = run(draws=2, step=NetworkSGHMC(checkpoint=folder, **settings))
    extended = run(step=NetworkSGHMC(checkpoint=folder, **settings), cores=2)
    assert begun.equals(undisturbed.isel(draw=slice(2))) and extended.equals(undisturbed)


def test_at_temperature_zero_it_climbs_with_steps_that_stay(regression):
    """A momentum that moves at temperature zero is no explosion."""
    step, _, run = sampled(regression, 100, batch_size=ROWS, temperature=0, friction=0.05)
    away = (run[-1][0]["slopes"] - MEAN) @ np.linalg.cholesky(PRECISION)
    assert np.abs(away).max() < 1e-3
    assert not step.chain.overflows and len({stats[0]["step_size"] for _, stats in run}) == 1


def test_an_explosion_is_made_again_with_smaller_steps(regression, monkeypatch):
    """Steps beyond the largest stable one heat the momentum without end."""
    monkeypatch.setattr(warm_start, "SHARE", 1.5)
    step, _, run = sampled(regression, 20, batch_size=ROWS, steps_per_draw=40)
    largest = largest_curvature(step.chain.preconditioner)
    assert step.chain.last_step_size < 2 / np.sqrt(largest)
    assert max(stats[0]["kinetic_temperature"] for _, stats in run) < 10


def test_where_a_density_ends_the_remedy_is_one_that_it_takes():
    with pm.Model() as model:
        top = pm.Normal("top", 2, 1, initval=2.0)
        pm.Uniform("y", 0, top, observed=np.linspace(0, 1, 40))
        step = NetworkSGHMC(steps_per_draw=2, **COMPILED)
    step.setup_chain(np.random.default_rng(1), 0, 5)
    step.step(model.initial_point())
    with pytest.raises(NonFiniteError, match=r"attempts .* Standardise predictors") as raised:
        step.step(model.initial_point() | {"top": np.array(0.9)})
    assert "center=" not in str(raised.value) and "step_size and" not in str(raised.value)


@pytest.mark.parametrize("updates", [1, 60])
def test_noise_is_that_of_an_epoch_whatever_the_length_of_a_draw(regression, updates):
    step = NetworkSGHMC(model=regression, batch_size=10, steps_per_draw=updates, **COMPILED)
    chain = step._transition.start(np.random.default_rng(1), 4, 1)
    gradients = step._transition._gradients(chain, MEAN, [])
    assert gradients.shape == (ROWS // 10, 2)
    np.testing.assert_allclose(gradients.mean(axis=0), 0, atol=1e-8)  # at the mode


def test_other_variables_by_another_step(regression):
    """Whose values the prior may need."""
    with pm.Model():
        scale = pm.HalfNormal("scale")
        slopes = pm.Normal("slopes", 0, scale, shape=2)
        pm.Normal("y", pm.Data("x", X) @ slopes, 1, observed=Y)
        steps = [NetworkSGHMC([slopes], steps_per_draw=10, **COMPILED), pm.Metropolis([scale])]
        run = pm.sample(step=steps, **RUN)
    np.testing.assert_allclose(steps[0]._transition.precision, 1 / 0.8**2, rtol=0.6)
    assert np.isfinite(run.posterior["slopes"]).all()


def test_what_it_says_of_itself(regression):
    text = repr(NetworkSGHMC(model=regression, **COMPILED))
    assert "step_size=measured by each chain" in text
    assert "preconditioner='fisher_low_rank'" in text


def test_without_tuning(regression):
    run = sampled(regression, 40, tune=0)[2]
    assert np.isfinite([point["slopes"] for point, _ in run]).all()


@pytest.mark.parametrize(
    "setting",
    [{"step_size": 0.1}, {"preconditioner": "identity"}, {"gradient": "svrg"}, {"center": {}}],
)
def test_settings_that_a_chain_measures_are_refused(regression, setting):
    with pytest.raises(SettingError, match=f"NetworkSGHMC has no {next(iter(setting))}"):
        NetworkSGHMC(model=regression, **setting)


def test_the_default_updates_are_those_of_networks(regression):
    step = NetworkSGHMC(model=regression, steps_per_draw=None, **COMPILED)
    assert step.steps_per_draw == UPDATES


def test_friction_must_be_positive(regression):
    with pytest.raises(SettingError, match="friction"):
        NetworkSGHMC(model=regression, friction=0)
