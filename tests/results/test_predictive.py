"""`diagnose_predictions`: densities of rows, and how much they depend on the chains there are."""

import arviz as az
import numpy as np
import pymc as pm
import pytest
import xarray as xr
from scipy.special import logsumexp
from scipy.stats import norm

from pymc_sgld import NonFiniteError, SettingError, SGLDWarning, diagnose_predictions
from pymc_sgld.results import likelihood
from pymc_sgld.results.predictive import very_many_chains

SETTINGS = {"random_seed": 1, "progressbar": False}


@pytest.mark.parametrize("chains", [4, 10])
def test_very_many_chains_are_told_from_few(chains):
    """Chains that stay where they started, as wide as the noise: both are known exactly.

    Without the jackknife's factor the bias of few chains is not corrected, and its error is too
    small.
    """
    rng = np.random.default_rng(1)
    outcome = norm.ppf((np.arange(50) + 0.5) / 50, scale=np.sqrt(2))
    exact = norm.logpdf(outcome, scale=np.sqrt(2)).mean()
    plain, more, error = np.empty((3, 400))
    for k in range(400):
        alone = norm.logpdf(outcome, rng.normal(size=(chains, 1)))
        plain[k] = (logsumexp(alone, axis=0) - np.log(chains)).mean()
        more[k], error[k] = very_many_chains(alone)
    off = plain.mean() - exact
    assert off < -5 * plain.std() / 20  # few chains are too narrow
    assert abs(more.mean() - exact) < 0.35 * abs(off)
    told = np.sqrt(np.mean(error**2))  # too large rather than too small (Efron and Stein 1981)
    assert 0.9 * more.std() < told < 2 * more.std()


def by_hand(found):
    """Return log predictive densities of rows, from draws of log-likelihoods (chain, draw, row)."""
    values = np.asarray(found).reshape(-1, found.shape[-1])
    return logsumexp(values, axis=0) - np.log(len(values))


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(likelihood, "BLOCK", 64)


def test_densities_are_those_of_arviz(regression, small_blocks):
    model = regression.model
    with pytest.warns(SGLDWarning, match="2 chains are too few"):
        report = diagnose_predictions(regression.idata, model, **SETTINGS)
    expected = by_hand(regression.idata.log_likelihood["y"].to_numpy())
    np.testing.assert_allclose(report.table["lpd"], expected, rtol=1e-10)
    assert report.run["lpd"] == pytest.approx(expected.mean())
    assert list(report.table.index) == list(range(len(expected)))
    assert "300 of 300 rows, 2 chains." in repr(report) and not report.trusted
    assert "Cannot tell" in report._repr_html_()

    with pytest.warns(SGLDWarning):
        some = diagnose_predictions(regression.idata, model, rows=70, **SETTINGS)
    assert len(some.table) == 70 and some.table.index.is_monotonic_increasing
    np.testing.assert_allclose(some.table["lpd"], expected[some.table.index], rtol=1e-10)


def four_chains(regression, shift=0.0):
    """Return the draws as four chains, each moved to a place of its own."""
    draws = regression.draws.reshape(4, -1, 3) + shift * np.arange(4)[:, None, None]
    return az.from_dict({"posterior": {"beta": draws}})


def test_rows_that_were_held_out(regression, small_blocks):
    rng = np.random.default_rng(2)
    X = rng.normal(size=(90, 3))
    y = X @ [1, -1, 0.5] + rng.standard_t(3, size=90)
    report = diagnose_predictions(
        four_chains(regression), regression.model, data={"X": X, "y": y}, **SETTINGS
    )
    means = np.einsum("cdk,nk->cdn", regression.draws, X)
    rv = pm.StudentT.dist(nu=3, mu=0, sigma=1)
    expected = by_hand(pm.logp(rv, y - means).eval())
    np.testing.assert_allclose(report.table["lpd"], expected, rtol=1e-10)
    assert report.trusted and report.verdict.startswith("Trusted: more chains")


def test_chains_that_stay_apart_are_told(regression, small_blocks):
    with pytest.warns(SGLDWarning, match="more chains would change .* and 0.05 is tolerated"):
        report = diagnose_predictions(four_chains(regression, 0.7), regression.model, **SETTINGS)
    assert report.run["one_chain"] < report.run["lpd"] - 0.05
    assert "Chains do not agree (median R-hat" in report.verdict
    with pytest.warns(SGLDWarning, match="1e-06 is tolerated"):
        diagnose_predictions(four_chains(regression), regression.model, tolerance=1e-6, **SETTINGS)


def test_a_chain_that_was_found_untrusted(regression, small_blocks):
    idata = four_chains(regression)
    stats = {"untrusted": (("chain", "draw"), np.ones((4, 100)))}
    idata["sample_stats"] = xr.DataTree(xr.Dataset(stats))
    with pytest.warns(SGLDWarning, match="^Not trusted: .*\n.* 4 of 4 chains were found untrusted"):
        assert not diagnose_predictions(idata, regression.model, **SETTINGS).trusted


@pytest.mark.parametrize("draws", [100, 1])
def test_draws_that_do_not_move_are_not_trusted(regression, draws, small_blocks):
    still = np.broadcast_to(regression.draws.mean(axis=(0, 1)), (4, draws, 3))
    posterior = xr.Dataset({"beta": (("chain", "draw", "column"), still)})
    with pytest.warns(SGLDWarning, match="^Not trusted: .*\n.* predictions do not vary"):
        diagnose_predictions(posterior, regression.model, **SETTINGS)


def test_one_chain_has_no_figures_that_compare_chains(regression, small_blocks):
    one = az.from_dict({"posterior": {"beta": regression.draws[:1]}})
    with pytest.warns(SGLDWarning, match="1 chain is too few to tell"):
        report = diagnose_predictions(one, regression.model, **SETTINGS)
    assert "300 of 300 rows, 1 chain." in repr(report) and "nan" not in repr(report)
    assert np.isnan(report.run["more_chains"])


def test_what_cannot_be_judged(regression):
    nothing = az.from_dict({"posterior": {"other": np.ones((4, 10))}})
    with pytest.raises(SettingError, match="cannot diagnose predictions: beta"):
        diagnose_predictions(nothing, regression.model, **SETTINGS)
    with pytest.raises(SettingError, match="tolerance"):
        diagnose_predictions(regression.idata, regression.model, tolerance=0)
    gone = {"X": regression.X[:5], "y": np.full(5, np.nan)}
    with pytest.raises(NonFiniteError, match='"y" is nan in row 0'):
        diagnose_predictions(four_chains(regression), regression.model, data=gone, **SETTINGS)
