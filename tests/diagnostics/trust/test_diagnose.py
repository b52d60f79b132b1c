"""`diagnose`: known biases are found with the right figures, exact draws raise no alarm."""

import re
import warnings

import arviz as az
import numpy as np
import pandas as pd
import pymc as pm
import pytest
from scipy.signal import lfilter
from scipy.stats import binom, norm

from pymc_sgld import SGLD, SGLDWarning, TrustReport, diagnose
from pymc_sgld.diagnostics.stored import StoredStats
from pymc_sgld.diagnostics.trust.doubts import (
    doubts_of_bias,
    doubts_of_mixing,
    quantile,
    r_hat_by_chance,
    too_uncertain,
)
from pymc_sgld.diagnostics.trust.mixing import mixing_table
from pymc_sgld.errors import SettingError
from pymc_sgld.minibatch.placing import UNKNOWN, number_of, places_of
from pymc_sgld.stats import WORDS
from pymc_sgld.tolerance import FALSE_ALARMS, sd_ratio_of
from tests.graphs import QUICK

ROWS = 60


class Regression:
    """A linear regression whose posterior is N(mean, covariance)."""

    def __init__(self):
        rng = np.random.default_rng(1)
        x = rng.normal(size=(ROWS, 3)) @ [[1, 0.8, 0], [0, 0.6, 0], [0, 0, 3]]
        y = x @ [1, -1, 0.2] + rng.normal(size=ROWS)
        self.coords = {"column": ["one", "two", "three"]}
        with pm.Model(coords=self.coords) as self.model:
            beta = pm.Normal("beta", 0, 2, dims="column")
            pm.Normal("y", x @ beta, 1, observed=y)
        self.covariance = np.linalg.inv(x.T @ x + np.eye(3) / 4)
        self.mean = self.covariance @ x.T @ y
        self.factor = np.linalg.cholesky(self.covariance)

    def idata(self, beta, **stats):
        groups = {"posterior": {"beta": beta}} | ({"sample_stats": stats} if stats else {})
        return az.from_dict(groups, coords=self.coords, dims={"beta": ["column"]})

    def exact(self, z):
        """Turn standard normal numbers, shape (chain, draw, 3), into a run."""
        return self.idata(self.mean + z @ self.factor.T)


@pytest.fixture(scope="module")
def regression():
    return Regression()


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def autoregressive(rng, correlation, *shape):
    start = correlation * rng.normal(size=(shape[0], 1, shape[2]))
    scale = np.sqrt(1 - correlation**2)
    return lfilter([scale], [1, -correlation], rng.normal(size=shape), axis=1, zi=start)[0]


def distrusted(idata, model=None, gradients=2000, **options):
    """Return the report on a run that is not to be trusted."""
    with pytest.warns(SGLDWarning, match=r"^(Not trusted|Cannot tell): ") as caught:
        report = diagnose(idata, model, gradients=gradients, **options)
    assert not report.trusted and str(caught[0].message) == report.verdict
    return report


def quiet(idata, model=None, gradients=2000, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SGLDWarning)
        return diagnose(idata, model, gradients=gradients, **options)


# --- beside exact moments --------------------------------------------------------------------


def test_a_run_is_compared_with_exact_moments_where_they_are_at_hand(regression):
    widened = 1.3 * normal(40, 4, 500, 3)
    report = distrusted(regression.exact(widened), regression.model, gradients=None)
    assert report.certificate.certified and report.coordinates.empty
    assert "gradients" not in report.run and report.run["k"] < 0.7
    away = (report.table["sd_ratio"] - 1.3) / report.table["sd_ratio_error"]
    assert (away.abs() < 5).all() and not report.table["trusted"].any()
    assert "Compared with exact moments" in report.verdict
    right = diagnose(regression.exact(normal(41, 4, 500, 3)), regression.model)
    assert right.trusted and right.table["sd_ratio"].notna().all()


def test_a_wrong_correlation_is_seen_beside_exact_moments(regression):
    """Independent draws with the right marginals; the error is that of a direction given before."""
    sd = np.sqrt(np.diag(regression.covariance))
    draws = regression.mean + sd * normal(6, 4, 500, 3)
    report = distrusted(regression.idata(draws), regression.model, gradients=None)
    assert report.certificate.certified and report.table["trusted"].all()
    words = r"a combination of beta\[(one|two)\] and beta\[(one|two)\]: along the worst direction"
    assert re.search(words, report.verdict)
    relative = np.linalg.eigvals(np.diag(sd**2) @ np.linalg.inv(regression.covariance)).real
    away = (relative**0.5 - report.run["worst_sd_ratio"]) / report.run["worst_sd_ratio_error"]
    assert np.abs(away).min() < 5


def test_the_worst_of_many_directions_is_no_false_alarm():
    """Of 40 coordinates the widest direction of 2,000 draws is 15 % too wide, by chance alone."""
    with pm.Model() as model:
        pm.Normal("x", 0, 1, shape=40)
    z = normal(42, 4, 500, 40)
    report = diagnose(az.from_dict({"posterior": {"x": z}}), model)
    assert np.sqrt(np.linalg.eigvalsh(np.cov(z.reshape(-1, 40).T))[-1]) > 1.1
    away = (report.run["worst_sd_ratio"] - 1) / report.run["worst_sd_ratio_error"]
    assert report.trusted and abs(away) < 5


def test_gradients_where_the_posterior_is_no_gaussian():
    with pm.Model() as model:
        pm.Cauchy("x", 0, 1, shape=14)
    draws = np.random.default_rng(43).standard_cauchy(size=(4, 500, 14))
    report = quiet(az.from_dict({"posterior": {"x": draws}}), model, gradients=None)
    assert not report.certificate.certified and report.run["gradients"] > 40
    assert "near enough to a Gaussian (Pareto k" in report.verdict
    assert "The bias was measured by gradients." in report.verdict


def test_moments_that_do_not_exist():
    """Of a Deterministic they are not compared; of a free variable gradients take their place."""
    with pm.Model() as model:
        x = pm.Normal("x")
        pm.Deterministic("inverse", 1 / x)
    z = normal(47, 4, 500)
    report = diagnose(az.from_dict({"posterior": {"x": z, "inverse": 1 / z}}), model)
    assert report.trusted and report.certificate.certified
    assert "No exact moments of inverse: not compared." in report.verdict
    assert np.isnan(report.table.loc["inverse", "sd_ratio"])
    with pm.Model() as heavy:  # a Gaussian on the logarithmic scale
        pm.LogNormal("x", 0, 4)
    report = quiet(az.from_dict({"posterior": {"x": np.exp(4 * z)}}), heavy, gradients=None)
    assert report.certificate.certified and "gradients" in report.run
    assert "No exact moments of x. The bias was measured by gradients." in report.verdict
    assert report.table.loc["x", "trusted"] and report.table["sd_ratio"].notna().all()


def test_too_few_draws_have_no_figures_beside_exact_moments(regression):
    slow = lfilter([1], [1, -0.97], normal(33, 2, 60, 3), axis=1) * np.sqrt(1 - 0.97**2)
    report = distrusted(regression.exact(slow), regression.model, gradients=None)
    assert report.certificate.certified
    assert report.table[["mean_shift", "sd_ratio"]].isna().all(axis=None)
    assert report.verdict.startswith("Cannot tell") or "R-hat" in report.verdict
    assert "cannot tell: its draws are too few to measure its bias" in report.verdict


def test_effects_that_a_run_sampled_itself_are_judged():
    """Where they were integrated out they are exact; where they were not, they may be wrong."""
    rng = np.random.default_rng(44)
    group = np.arange(2400) % 40
    with pm.Model() as model:
        mean = pm.Normal("mean", 0, 1)
        effect = pm.Normal("effect", mean, 1, shape=40)
        y = rng.normal(size=40)[group] + rng.normal(size=2400)
        pm.Normal("y", effect[group], 1, observed=y)
    means, precision = y.reshape(60, 40).mean(axis=0), 60 / 61
    variance = 1 / (1 + 40 * precision)
    draws = variance * precision * means.sum() + variance**0.5 * normal(45, 4, 500)
    effects = (60 * means + draws[..., None]) / 61 + 61**-0.5 * normal(46, 4, 500, 40)
    wrong = {"mean": draws, "effect": 2 * effects}
    own = stats(total_size=np.full((4, 500), 2400), integrated_out=np.ones((4, 500), int))
    run = az.from_dict({"posterior": wrong, "sample_stats": own})
    assert quiet(run, model, gradients=None).table.loc["mean", "trusted"]
    own["integrated_out"] = np.zeros((4, 500), int)
    run = az.from_dict({"posterior": wrong, "sample_stats": own})
    assert not quiet(run, model, gradients=None).table["trusted"].filter(like="effect").any()


# --- exact draws -----------------------------------------------------------------------------


def rejections(regression, seeds, correlation=0.0, draws=500):
    runs = [
        regression.exact(autoregressive(np.random.default_rng(seed), correlation, 4, draws, 3))
        for seed in seeds
    ]
    return sum(not quiet(run, regression.model, gradients=400).trusted for run in runs)


def test_exact_draws_raise_no_alarm(regression):
    # At most one run in a hundred: two of five have a probability of 0.001.
    assert rejections(regression, range(3)) + rejections(regression, range(3, 5), 0.8, 2500) <= 1


@pytest.mark.long
@pytest.mark.parametrize(("correlation", "draws"), [(0.0, 500), (0.8, 2500)])
def test_the_rate_of_false_alarms(regression, correlation, draws):
    # A rate of FALSE_ALARMS gives more than 4 of 100 with a probability of 0.003.
    found = rejections(regression, range(100, 200), correlation, draws)
    assert found <= binom.isf(0.005, 100, FALSE_ALARMS)


def test_the_quantile_controls_all_figures_together():
    # Of 50 independent standardised figures, two-sided, against a third of FALSE_ALARMS.
    level = quantile(50, 10**6)
    alarm = 1 - (1 - 2 * norm.sf(level)) ** 50
    np.testing.assert_allclose(alarm, FALSE_ALARMS / 3, rtol=0.02)
    assert quantile(50, 39) > level


def test_r_hat_exceeds_its_limit_by_chance():
    # 400 R-hats of chains that mix, effective sample size about 450 each: a fixed limit of 1.01
    # fails in one of eight; the bound for all of them together is to hold.
    draws = autoregressive(np.random.default_rng(28), 0.8, 4, 1000, 400)
    table = mixing_table(az.from_dict({"posterior": {"x": draws}}).posterior.to_dataset(), None)
    assert (table["r_hat"] > 1.01).sum() > 5
    least = table[["ess_bulk", "ess_tail"]].min(axis=1)
    bound = np.array([r_hat_by_chance(each, 4, 400) for each in least])
    assert (table["r_hat"] <= bound).all()
    assert 1.01 < r_hat_by_chance(450, 4, 400) < 1.06  # and no more than that


# --- wrong draws -----------------------------------------------------------------------------


def test_a_shift_is_measured(regression):
    z = normal(3, 4, 500, 3) + np.array([0.0, 0.0, 0.5])
    report = distrusted(regression.exact(z), regression.model)
    sd = np.sqrt(np.diag(regression.covariance))
    true = regression.factor @ [0, 0, 0.5] / sd
    away = (report.table["mean_shift"] - true) / report.table["mean_shift_error"]
    assert (away.abs() < 5).all()
    assert list(report.table["trusted"]) == [True, True, False]
    assert "beta[three]: the mean is +0.5" in report.verdict
    assert "beta[one]:" not in report.verdict


def test_a_wrong_sd_of_all_directions_is_measured(regression):
    report = distrusted(regression.exact(1.5 * normal(4, 4, 500, 3)), regression.model)
    away = (report.table["sd_ratio"] - 1.5) / report.table["sd_ratio_error"]
    assert (away.abs() < 5).all() and (report.table["sd_ratio_error"] < 0.2 / 3).all()
    assert not report.table["trusted"].any()
    assert "% (± " in report.verdict and "too large" in report.verdict
    assert "model is the one that was sampled" in report.verdict  # no SGLD: no step size


def test_a_wrong_sd_of_one_parameter_is_measured(regression):
    # Beta three is nearly independent of the others: only its sd is doubled.
    z = normal(5, 4, 500, 3) * [1, 1, 2]
    report = distrusted(regression.exact(z), regression.model)
    widened = regression.factor @ np.diag([1, 1, 4]) @ regression.factor.T
    true = np.sqrt(np.diag(widened) / np.diag(regression.covariance))
    away = (report.table["sd_ratio"] - true) / report.table["sd_ratio_error"]
    assert (away.abs() < 5).all()
    assert list(report.table["trusted"]) == [True, True, False]


def test_a_wrong_correlation_with_right_marginals_is_seen(regression):
    # Independent draws with the marginals of a posterior with correlation: no parameter is off.
    sd = np.sqrt(np.diag(regression.covariance))
    draws = regression.mean + sd * normal(6, 4, 500, 3)
    report = distrusted(regression.idata(draws), regression.model)
    assert report.table["trusted"].all()
    assert "a combination of beta[one] and beta[two]: along the worst direction" in report.verdict
    relative = np.linalg.eigvals(np.diag(sd**2) @ np.linalg.inv(regression.covariance)).real
    away = (relative**0.5 - report.run["worst_sd_ratio"]) / report.run["worst_sd_ratio_error"]
    assert np.abs(away).min() < 5


def test_draws_that_are_too_narrow_are_seen(regression):
    report = distrusted(regression.exact(0.7 * normal(7, 4, 500, 3)), regression.model)
    assert "too small" in report.verdict


def mixture(distance):
    with pm.Model() as model:
        pm.NormalMixture("x", [0.5, 0.5], [-distance, distance], 1)
    return model


def test_a_missing_mode_is_seen_only_where_modes_meet():
    # A limit, and it is stated: draws of one of two modes far apart satisfy every identity.
    z = normal(8, 4, 500)
    far = quiet(az.from_dict({"posterior": {"x": 6 + z}}), mixture(6), gradients=400)
    assert far.table["trusted"].all()
    near = distrusted(az.from_dict({"posterior": {"x": 1.5 + z}}), mixture(1.5), gradients=400)
    assert near.run["ksd_p_value"] < FALSE_ALARMS / 3


def test_figures_on_transformed_scales():
    # Exact draws of priors, then a scale parameter whose logarithm is shifted by half an sd.
    with pm.Model() as model:
        pm.LogNormal("scale", 0, 1, shape=2)
        pm.Dirichlet("weights", [4.0, 5.0, 6.0])
        ordered = pm.distributions.transforms.ordered
        pm.Normal("cuts", 0, 1, shape=2, transform=ordered, initval=[-1, 1])
        pm.Uniform("share", 0, pm.Exponential("most", 1))
    rng = np.random.default_rng(9)
    most = rng.exponential(size=(4, 400))
    draws = {
        "scale": np.exp(normal(10, 4, 400, 2)),
        "weights": rng.dirichlet([4, 5, 6], size=(4, 400)),
        "cuts": np.sort(normal(11, 4, 400, 2), axis=2),
        "share": most * rng.random((4, 400)),
        "most": most,
    }
    report = quiet(az.from_dict({"posterior": draws}), model)
    assert report.table["trusted"].all()
    of_one = {"scale[0]", "scale[1]", "share", "most"}
    own = report.coordinates
    assert set(own["parameter"]) == of_one | {""}
    assert set(report.table.index[report.table["sd_ratio"].notna()]) == of_one
    assert own.loc["scale_log__[0]", "parameter"] == "scale[0]"
    assert {"weights_simplex__[1]", "cuts_ordered__[0]"} <= set(own.index)
    assert own.loc["scale_log__[0]", "sd_ratio"] == report.table.loc["scale[0]", "sd_ratio"]
    draws["scale"] = draws["scale"] * np.exp([0.5, 0])
    moved = distrusted(az.from_dict({"posterior": draws}), model)
    figure = moved.table.loc["scale[0]"]
    assert abs(figure["mean_shift"] - 0.5) < 5 * figure["mean_shift_error"]
    assert "scale[0]: the mean is +0." in moved.verdict


def test_discrete_variables_keep_the_values_of_the_draws():
    # Given the discrete variable the center moves by 3: gradients at another value would be off.
    with pm.Model() as model:
        group = pm.Bernoulli("group", 0.5)
        pm.Normal("x", 3 * group, 1)
    group = np.random.default_rng(12).integers(2, size=(4, 500))
    idata = az.from_dict({"posterior": {"group": group, "x": 3 * group + normal(13, 4, 500)}})
    assert quiet(idata, model).table["trusted"].all()
    swapped = az.from_dict({"posterior": {"group": 1 - group, "x": idata.posterior["x"].values}})
    assert not quiet(swapped, model).trusted


def test_too_few_gradients_for_all_pairs_of_coordinates(regression):
    # 40 gradients for 12 coordinates: each on its own, and it says so.
    with pm.Model() as model:
        pm.Normal("x", 0, 1, shape=12)
    z = normal(14, 4, 500, 12)
    z[:, :, 4] *= 2
    report = distrusted(az.from_dict({"posterior": {"x": z}}), model, gradients=40)
    assert "40 gradients are too few for 12 coordinates together" in report.verdict
    assert report.table["sd_ratio"].isna().all()
    row = report.coordinates.loc["x[4]"]
    assert abs(row["stein_second"] - 4) < 5 * row["stein_second_error"]
    assert not report.table.loc["x[4]", "trusted"]


def test_figures_too_uncertain_to_tell(regression):
    report = distrusted(regression.exact(normal(15, 2, 30, 3)), regression.model)
    assert "cannot tell: the error of its mean is" in report.verdict


def test_too_few_draws_have_no_figures(regression):
    """Neither a bias nor an error: the chains hardly move, or the errors say nothing."""
    slow = lfilter([1], [1, -0.97], normal(33, 2, 60, 3), axis=1) * np.sqrt(1 - 0.97**2)
    report = distrusted(regression.exact(slow), regression.model)
    assert report.table[["mean_shift", "sd_ratio", "sd_ratio_error"]].isna().all(axis=None)
    assert "cannot tell: its draws are too few to measure its bias" in report.verdict
    assert "%" not in report.verdict and "worst_sd_ratio" not in report.run
    figures, errors = np.array([0.2, 5.0, 0.2, 40.0]), np.array([0.3, 3.0, 1.1, 5.0])
    assert too_uncertain(figures, errors).tolist() == [False, True, True, False]


def test_a_vanishing_variance_has_an_error_in_proportion():
    """The delta method would divide by zero: "the error of its sd is 86324983 %"."""
    none = np.zeros(1)
    ratio = sd_ratio_of(none - 0.1, none + 0.09)
    found = doubts_of_bias(
        ["x"], (none, none), ratio, 5, StoredStats.of(None), only_identities=False
    )
    assert [doubt.text for doubt in found] == [
        "cannot tell: the error of its mean is 0.00 sd, that of its sd 30 %"
    ]


def test_figures_are_told_from_their_limits():
    row = {"r_hat": 1.0104, "ess_bulk": 399.7, "ess_tail": 500}
    found = doubts_of_mixing(pd.DataFrame(row, index=["x"]), 4, 500)
    assert [doubt.text for doubt in found] == [
        "R-hat is 1.0104, above 1.01",
        "its effective sample size is 399, below 400",
    ]


# --- what a run stored -----------------------------------------------------------------------


WORD = {
    "gradient": "minibatch",
    "preconditioner": "identity",
    "batching": "with_replacement",
    "integrator": "euler_maruyama",
}


def stats(chains=4, draws=500, steps=(), **changed):
    """The stats of a run of SGLD."""
    size = (chains, draws, *steps)
    ramp = np.broadcast_to(
        np.arange(1, draws + 1)[:, None] if steps else np.arange(1, draws + 1), size
    )
    found = {
        "step_size": np.full(size, 0.1),
        "gradient_norm": np.ones(size),
        "sampling_threshold": np.where(ramp > draws / 2, 0.1, 0.3),
        "rows_seen": 10 * ramp,
        "updates": 10 * ramp,
        "untrusted": np.zeros(size, dtype=int),
        "batch_size": np.full(size, 10),
        "total_size": np.full(size, ROWS),
        "temperature": np.ones(size),
        "placing": np.zeros(size, dtype=int),
        **{name: np.full(size, words.index(WORD[name])) for name, words in WORDS.items()},
    }
    return found | changed


def test_without_a_model_what_the_run_stored(regression):
    beta = regression.mean + normal(16, 4, 500, 3) @ regression.factor.T
    report = diagnose(regression.idata(beta, **stats()))
    expected = {
        "sampling_threshold": 0.2,
        "rows_seen": 5000,
        "epochs": 5000 / ROWS,
        "step_size": 0.1,
        "untrusted_chains": 0,
        "not_finite": 0,
    }
    for name, value in expected.items():
        np.testing.assert_allclose(report.run[name], value, rtol=1e-12)
    assert report.trusted and report.coordinates.empty
    assert "Pass the model to measure it." in report.verdict
    summary = az.summary(regression.idata(beta), round_to="none")
    for name in ("mean", "sd", "r_hat", "ess_bulk", "ess_tail"):
        np.testing.assert_allclose(report.table[name], summary[name], rtol=1e-12)
    assert list(report.table.index) == list(summary.index)


def test_stats_of_several_steps_at_once(regression):
    beta = regression.mean + normal(17, 4, 500, 3) @ regression.factor.T
    both = {name: np.asarray(value) for name, value in stats(steps=(2,)).items()}
    both["sampling_threshold"] = both["sampling_threshold"] * [1, 2]
    report = quiet(regression.idata(beta, **both), regression.model)
    np.testing.assert_allclose(report.run["rows_seen"], 10_000)  # each step reads its own
    np.testing.assert_allclose(report.run["sampling_threshold"], 0.4)  # of the worst


def test_a_run_without_statistics_of_sgld(regression):
    beta = regression.mean + normal(18, 4, 500, 3) @ regression.factor.T
    nuts = regression.idata(beta, step_size=np.ones((4, 500)), diverging=np.zeros((4, 500)))
    report = diagnose(nuts)
    assert report.trusted
    assert "The bias was not measured: this run has no statistics of SGLD" in report.verdict
    assert list(report.run.index) == ["not_finite"]


def test_the_run_itself_is_in_doubt(regression):
    beta = regression.mean + normal(19, 4, 500, 3) @ regression.factor.T
    untrusted = np.zeros((4, 500), dtype=int)
    untrusted[2, -1] = 1
    report = distrusted(regression.idata(beta, **stats(untrusted=untrusted)))
    assert "1 of 4 chains were found untrusted while they ran" in report.verdict
    norms = np.ones((4, 500))
    norms[0, 3:5] = np.inf
    exploded = distrusted(regression.idata(beta, **stats(gradient_norm=norms)))
    assert "2 of its draws had a gradient that is not finite" in exploded.verdict
    cold = distrusted(regression.idata(beta, **stats(temperature=np.zeros((4, 500)))))
    assert "temperature 0" in cold.verdict
    beta[1, 7, 0] = np.nan
    broken = distrusted(regression.idata(beta), regression.model)
    assert "1 of its draws are not finite" in broken.verdict
    assert broken.table.loc["beta[one]"].drop("trusted").isna().all()


def test_chains_that_do_not_mix(regression):
    z = normal(20, 4, 500, 3)
    z[0] += 3
    report = distrusted(regression.exact(z))
    assert "R-hat is 1." in report.verdict and not report.table["trusted"].any()


def test_a_tempered_run_is_compared_with_the_tempered_posterior(regression):
    beta = regression.mean + np.sqrt(2) * normal(21, 4, 500, 3) @ regression.factor.T
    stored = stats(temperature=np.full((4, 500), 2.0))
    report = quiet(regression.idata(beta, **stored), regression.model)
    assert "to the power 1/2" in report.verdict
    away = (report.table["sd_ratio"] - 1) / report.table["sd_ratio_error"]
    assert (away.abs() < 5).all()


# --- a run of SGLD ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def textbook():
    """Textbook SGLD on a Gaussian mean, whose stationary variance is known in closed form."""
    rows, size, step_size = 1000, 50, 5e-4
    x = np.random.default_rng(22).normal(size=rows)
    x = (x - x.mean()) / x.std()
    with pm.Model() as model:
        mean = pm.Normal("mean", 0, 5)
        pm.Normal("x", mean, 1, observed=x)
        step = SGLD(
            batch_size=size,
            step_size=step_size,
            gradient="minibatch",
            preconditioner="identity",
            batching="with_replacement",
            steps_per_draw=8,
            compile_kwargs={"mode": "FAST_COMPILE"},
        )
        idata = pm.sample(
            draws=400, tune=20, chains=4, cores=1, step=step, random_seed=1, progressbar=False,
            quiet=True,
        )  # fmt: skip
    precision, noise = rows + 1 / 25, rows**2 / size
    inflation = (1 + step_size * noise / 4) / (1 - step_size * precision / 4)
    return idata, model, inflation


def test_textbook_sgld_is_measured(textbook):
    # The closed form of the stationary variance: 4 times that of the posterior.
    idata, model, inflation = textbook
    report = distrusted(idata, model)
    row = report.table.loc["mean"]
    assert abs(inflation - 4) < 0.01
    assert abs(row["sd_ratio"] - inflation**0.5) < 5 * row["sd_ratio_error"]
    # the last 100 draws have a coupled chain of twice as many updates
    np.testing.assert_allclose(report.run["epochs"], 50 * 8 * (420 + 2 * 100) / 1000)
    assert 'a smaller step_size (now 0.0005) or gradient="control_variate"' in report.verdict
    exact = distrusted(idata, model, gradients=None)
    row = exact.table.loc["mean"]
    assert abs(row["sd_ratio"] - inflation**0.5) < 5 * row["sd_ratio_error"]
    for report in (report, exact):  # what chains found is said once, and the remedy with its size
        assert report.verdict.count("gradient noise makes") == 1
        assert report.verdict.count("a smaller step_size") == 1


def test_the_placing_of_terms_travels_with_a_run():
    """More rows than the model would have by default: no error that it is another model."""
    x = normal(28, 1500)
    with pm.Model() as model:
        mean = pm.Normal("mean", 0, 5)
        pm.Normal("x", mean, 1, observed=x[:500])
        pm.Potential("same", pm.logp(pm.Normal.dist(mean, 1), x[500:1000]))
        pm.Potential("fewer", pm.logp(pm.Normal.dist(mean, 1), x[1000:1300]))
        pm.Normal("whole", mean, 1, observed=x[1300:])
        places = {"potentials": {"same": "rows", "fewer": "rows"}, "full": ["whole"]}
        step = SGLD(batch_size=50, step_size=1e-4, model=model, audit=False, **places, **QUICK)
    assert places_of(model, step.placing) == (places["potentials"], ["whole"])
    exact = x.mean() + 1500**-0.5 * normal(29, 4, 100)
    stored = stats(draws=100, total_size=np.full((4, 100), step.total_size))
    stored["placing"] = np.full((4, 100), step.placing)
    idata = az.from_dict({"posterior": {"mean": exact}, "sample_stats": stored})
    report = quiet(idata, model)
    row = report.table.loc["mean"]
    assert abs(row["sd_ratio"] - 1) < 5 * row["sd_ratio_error"]


def test_placing_of_more_terms_than_a_number_holds():
    with pm.Model() as model:
        x = pm.Normal("x")
        for i in range(64):
            pm.Potential(f"term{i}", x + i)
    assert number_of(model, {"term62": "rows"}, ()) == 2**62
    assert number_of(model, {"term63": "rows"}, ()) == UNKNOWN
    assert set(places_of(model, UNKNOWN)[0].values()) == {"prior"}


# --- the report ------------------------------------------------------------------------------


def test_the_report_as_text_and_html():
    names = ["<b>", "plain & simple"]
    z = normal(23, 4, 500, 2) * [1, 2]
    with pm.Model(coords={"name": names}) as model:
        pm.Normal("x", 0, 1, dims="name")
    idata = az.from_dict({"posterior": {"x": z}}, coords={"name": names}, dims={"x": ["name"]})
    report = distrusted(idata, model, gradients=400)
    text, html = str(report), report._repr_html_()
    assert isinstance(report, TrustReport) and isinstance(report.table, pd.DataFrame)
    assert repr(report) == text
    for word in ("x[<b>]", "x[plain & simple]", "sd_ratio", " ± ", "kernel Stein", "NO"):
        assert word in text
    assert text.endswith(report.verdict)
    assert "&lt;b&gt;" in html and "<b>" not in html and "plain &amp; simple" in html
    assert html.count("<table") == 1 and "<p>What to do: " in html


def test_long_reports_are_cut_and_the_worst_come_first():
    z = normal(24, 4, 500, 30)
    z[:, :, 20:] *= 2
    with pm.Model() as model:
        pm.Normal("x", 0, 1, shape=30)
    report = distrusted(az.from_dict({"posterior": {"x": z}}), model, gradients=400)
    text = str(report)
    assert "20 of 30 parameters, those in doubt first" in text
    assert text.index("x[20]") < text.index("x[0]")
    assert len(report.table) == 30 and (~report.table["trusted"]).sum() == 10
    assert report.verdict.count("\n- ") == 6
    assert re.search(r"\n- and \d+ more\.\n", report.verdict)


# --- refusals --------------------------------------------------------------------------------


def test_variables_that_are_no_draws_can_be_left_out(regression):
    posterior = regression.exact(normal(25, 4, 50, 3)).posterior.to_dataset()
    label = ("chain", "draw"), np.full((4, 50), "a")
    mixed = posterior.assign(label=label, constant=("row", np.ones(2)))
    with pytest.warns(SGLDWarning, match="too little evidence"):
        found = diagnose(mixed, var_names="beta")
    assert found.run["not_finite"] == 0


def test_refusals(regression):
    exact = regression.exact(normal(25, 4, 50, 3))
    with pytest.raises(SettingError, match=r"cannot read idata"):
        diagnose([1, 2])
    with pytest.raises(SettingError, match=r"cannot diagnose 'gamma': it is no variable"):
        diagnose(exact, var_names="gamma")
    with pytest.raises(SettingError, match=r"var_names=5 must be names"):
        diagnose(exact, var_names=5)
    with pytest.raises(SettingError, match=r"cannot read idata: it has no draws"):
        diagnose(exact.posterior.to_dataset().isel(draw=slice(0)))
    with pytest.raises(SettingError, match=r"mu is not in the posterior of idata"):
        with pm.Model() as other:
            pm.Normal("mu")
        diagnose(exact, other)
    with pytest.raises(SettingError, match=r"has the shape \(3,\) in the posterior and \(2,\)"):
        with pm.Model() as other:
            pm.Normal("beta", shape=2)
        diagnose(exact, other)
    with pytest.raises(SettingError, match=r"gradients=0 must be a whole number"):
        diagnose(exact, regression.model, gradients=0)
    stored = stats(draws=50, total_size=np.full((4, 50), 61))
    with pytest.raises(SettingError, match=r"the model has 60 rows, and the run read 61"):
        diagnose(regression.idata(exact.posterior["beta"].values, **stored), regression.model)


def test_constant_and_boundary_draws_give_no_figures():
    with pm.Model() as model:
        pm.Beta("share", 2, 2)
    share = np.random.default_rng(26).beta(2, 2, size=(4, 200))
    share[0, 3] = 1.0
    report = distrusted(az.from_dict({"posterior": {"share": share}}), model)
    assert "draws lie on the edge of their support (share_logodds__)" in report.verdict
    still = distrusted(az.from_dict({"posterior": {"share": np.full((4, 200), 0.5)}}), model)
    assert "draws are constant (share_logodds__)" in still.verdict
    assert still.verdict.startswith("Not trusted: the run is in doubt")


@pytest.mark.parametrize(
    ("draws", "said"),
    [
        (normal(34, 2, 3), "Cannot tell: .*\n- the run: it has only 3 draws per chain"),
        (np.ones((1, 1)), "Cannot tell: .*\n- the run: it has only 1 draw per chain"),
        (np.ones((4, 500)), "Not trusted: .*\n- the run: no parameter varies in its draws"),
        (np.full((4, 500), np.nan), "Not trusted: .*\n- the run: 2000 of its draws are not finite"),
    ],
)
def test_draws_that_have_no_figures_are_not_trusted(draws, said):
    report = distrusted(az.from_dict({"posterior": {"x": draws}}))
    assert re.search(said, report.verdict) and not report.table["trusted"].any()


def test_a_constant_among_parameters_that_vary_is_no_reason_for_doubt():
    """As the diagonal of a matrix of correlations is."""
    posterior = {"x": normal(35, 4, 500), "one": np.ones((4, 500))}
    assert diagnose(az.from_dict({"posterior": posterior})).table["trusted"].all()


def test_nothing_stored_is_nothing():
    assert not StoredStats.of(az.from_dict({"posterior": {"x": normal(27, 2, 9)}})).is_sgld
