"""`compare`: known differences, matching by label, refusals, and what the verdict says."""

import pickle

import arviz as az
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from pymc_sgld.diagnostics import compare, thin_by_step_size
from pymc_sgld.diagnostics.comparison.marginal import compare_draws
from pymc_sgld.errors import SettingError
from pymc_sgld.tolerance import MEAN_TOLERANCE

COLUMNS = [
    "mean_shift",
    "mean_shift_mcse",
    "sd_ratio",
    "sd_ratio_mcse",
    "wasserstein",
    "wasserstein_null",
    "r_hat",
    "ess_bulk",
    "ess_sd",
    "reference_r_hat",
    "reference_ess_bulk",
    "reference_ess_sd",
    "agrees",
]


NORMAL_SPREAD = 1.6147  # integral of sqrt(F (1 - F)) dx for the standard normal law


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def autoregressive(rng, correlation, chains, draws):
    """Stationary AR(1) chains of variance 1."""
    values = rng.normal(size=(chains, draws))
    for draw in range(1, draws):
        values[:, draw] *= np.sqrt(1 - correlation**2)
        values[:, draw] += correlation * values[:, draw - 1]
    return values


def posterior(coords=None, dims=None, **variables):
    return az.from_dict({"posterior": variables}, coords=coords, dims=dims)


# --- numbers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [0.5, -0.02])
@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e6])
def test_a_shift_of_the_draws_is_read_exactly(shift, scale):
    reference = scale * normal(1, 4, 500)
    draws = reference + shift * reference.std(ddof=1)
    result = compare_draws(draws, reference)
    np.testing.assert_allclose(result.mean_shift, shift, rtol=1e-9)
    np.testing.assert_allclose(result.wasserstein, abs(shift), rtol=1e-9)
    np.testing.assert_allclose(result.sd_ratio, 1, rtol=1e-12)
    assert result.agrees == (abs(shift) <= MEAN_TOLERANCE)


@pytest.mark.parametrize("ratio", [0.5, 0.89, 0.91, 1.09, 1.11, 3.0])
def test_an_inflation_of_the_draws_is_read_exactly(ratio):
    reference = normal(2, 4, 500)
    centered = reference - reference.mean()
    result = compare_draws(reference.mean() + ratio * centered, reference)
    np.testing.assert_allclose(result.sd_ratio, ratio, rtol=1e-12)
    np.testing.assert_allclose(result.mean_shift, 0, atol=1e-12)
    distance = abs(ratio - 1) * np.abs(centered).mean() / reference.std(ddof=1)
    np.testing.assert_allclose(result.wasserstein, distance, rtol=1e-9)
    assert result.agrees == (abs(ratio - 1) <= 0.1)


def test_figures_of_independent_samples_are_those_of_their_laws():
    # N(1, 4) against N(0, 1), of different numbers of chains and draws. Catches the wrong run's sd
    # as the unit and the sd of one chain instead of all.
    draws, reference = 1 + 2 * normal(3, 4, 4000), normal(4, 2, 3000)
    result = compare_draws(draws, reference)
    # The unit is estimated as well: its relative error is 1 / sqrt(2 * 6000), on a shift of 1.
    error = np.sqrt(result.mean_shift_mcse**2 + 1 / 12000)
    assert abs(result.mean_shift - 1) < 5 * error
    assert abs(result.sd_ratio - 2) < 5 * 2 * np.sqrt(1 / 32000 + 1 / 12000)
    np.testing.assert_allclose(
        result.mean_shift_mcse, np.sqrt(4 / 16000 + 1 / 6000), rtol=5 * np.sqrt(1 / 6000) + 0.1
    )


@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_the_errors_are_errors(correlation):
    # Standardised figures of independent runs have sd 1. Their sd over 200 runs has a standard
    # error of 5 %, times 5. Errors that ignore autocorrelation give 3 at 0.8 (2.1 for the sds); the
    # sum of the errors instead of the root of their squares gives 0.71.
    rng = np.random.default_rng(5)
    results = []
    for _ in range(200):
        runs = [autoregressive(rng, correlation, 4, 400) for _ in range(2)]
        results.append(compare_draws(*runs))
    table = pd.DataFrame(results)
    limit = 5 / np.sqrt(2 * len(table))
    assert abs(np.std(table["mean_shift"] / table["mean_shift_mcse"]) - 1) < limit
    assert abs(np.std((table["sd_ratio"] - 1) / table["sd_ratio_mcse"]) - 1) < limit
    independent = np.sqrt(1 / 1600)  # of a ratio of sds of 1600 independent normal draws each
    ignorant = np.std((table["sd_ratio"] - 1) / independent)
    assert (abs(ignorant - 1) < limit) == (correlation == 0)  # seen to fail on that defect
    # The Wasserstein distance of one law: its mean over 200 runs has an error of some 3 %.
    distance, error = table["wasserstein"].mean(), table["wasserstein"].sem()
    null = table["wasserstein_null"].mean()
    if correlation:  # ranks in the tails forget sooner than the values
        assert 0.6 * null < distance < null
    else:
        assert abs(distance - null) < 5 * error


def test_the_wasserstein_distance_of_two_laws_is_far_above_its_null():
    result = compare_draws(normal(1, 4, 1000) + 0.3, normal(2, 4, 1000))
    assert result.wasserstein > 8 * result.wasserstein_null
    # The effective sizes are known within some 10 %, of which this has half.
    expected = 2 / np.sqrt(np.pi) / np.sqrt(4000) * NORMAL_SPREAD
    np.testing.assert_allclose(result.wasserstein_null, expected, rtol=0.15)


def test_draws_of_one_law_agree():
    # The sd of a shift is sqrt(2 / 8000) = 0.016, that of a ratio 0.011: 0.1 is six of them away.
    table = compare(posterior(beta=normal(6, 4, 2000, 5)), posterior(beta=normal(7, 4, 2000, 5)))
    assert table["agrees"].all()
    assert table.attrs["verdict"].startswith(
        "agrees: all 5 parameters are within the tolerance (mean within 0.1 sd, sd within 10 %); "
        "worst mean shift "
    )
    assert "longer" not in table.attrs["verdict"]


@pytest.mark.parametrize("shift", [0.0, 0.05])
def test_an_error_too_large_to_tell_is_no_agreement(shift):
    reference = normal(8, 2, 50)
    draws = reference + shift * reference.std(ddof=1)
    table = compare(posterior(mu=draws), posterior(mu=reference))
    assert abs(table.loc["mu", "mean_shift"]) < 0.1 < table.loc["mu", "mean_shift_mcse"]
    assert not table.loc["mu", "agrees"]
    assert table.attrs["verdict"].startswith("cannot tell: the only parameter is within")
    assert "run longer first" in table.attrs["verdict"]


# --- the tolerance ---------------------------------------------------------------------------


def test_the_tolerance_is_an_argument_and_the_verdict_follows():
    reference = normal(1, 4, 1000)
    centered = (reference - reference.mean()) / reference.std(ddof=1)
    idata = posterior(a=centered + 0.15, b=1.3 * centered)
    reference = posterior(a=centered, b=centered)
    for mean, sd, agree in ((0.1, 0.1, "00"), (0.2, 0.1, "10"), (0.1, 0.4, "01"), (0.2, 0.4, "11")):
        table = compare(idata, reference, mean_tolerance=mean, sd_tolerance=sd)
        assert list(table["agrees"]) == [figure == "1" for figure in agree]
        words = f"(mean within {mean} sd, sd within {round(100 * sd)} %)"
        assert words in table.attrs["verdict"]
    tight = compare(reference, reference, mean_tolerance=0.01, sd_tolerance=0.01)
    assert tight.attrs["verdict"].startswith("cannot tell: 2 of 2 parameters are within")
    assert "the error of the sd ratio is 0.0" in tight.attrs["verdict"]
    for wrong in ({"mean_tolerance": 0}, {"sd_tolerance": "10 %"}, {"sd_tolerance": -1}):
        with pytest.raises(SettingError, match="_tolerance="):
            compare(reference, reference, **wrong)


# --- the table -------------------------------------------------------------------------------


def test_columns_rows_and_types():
    idata = posterior(
        {"county": ["AITKIN", "HENNEPIN"]},
        {"alpha": ["county"]},
        sigma=normal(9, 2, 100),
        alpha=normal(10, 2, 100, 2),
        beta=normal(11, 2, 100, 1, 2),
    )
    table = compare(idata, idata)
    assert list(table.columns) == COLUMNS
    assert list(table.index) == [
        "sigma",
        "alpha[AITKIN]",
        "alpha[HENNEPIN]",
        "beta[0, 0]",
        "beta[0, 1]",
    ]
    assert table["agrees"].dtype == bool
    assert {kind.name for kind in table.drop(columns="agrees").dtypes} == {"float64"}
    summary = az.summary(idata, round_to="none")
    np.testing.assert_allclose(table["r_hat"], summary["r_hat"], rtol=1e-12)
    np.testing.assert_allclose(table["reference_ess_bulk"], summary["ess_bulk"], rtol=1e-12)
    error = summary["mcse_sd"] / summary["sd"]  # of either run, and the ratio is 1
    np.testing.assert_allclose(table["sd_ratio_mcse"], np.sqrt(2) * error, rtol=1e-12)


def test_attributes_survive_the_usual_operations():
    table = compare(posterior(mu=normal(1, 4, 100)), posterior(mu=normal(2, 4, 100)))
    verdict = table.attrs["verdict"]
    for derived in (
        table.copy(),
        table.round(2),
        table.sort_values("mean_shift"),
        table[table["agrees"]],
        pickle.loads(pickle.dumps(table)),
    ):
        assert derived.attrs["verdict"] == verdict


def test_the_verdict_names_draws_that_count_unequally():
    step_size = np.tile(1 / np.arange(1.0, 1001), (4, 1))

    def run(step_size, **stats):
        stats = {"step_size": step_size, **stats}
        return az.from_dict({"posterior": {"mu": normal(1, 4, 1000)}, "sample_stats": stats})

    constant = run(0 * step_size + 0.3, sampling_threshold=0 * step_size)
    decreasing = run(step_size, sampling_threshold=0 * step_size)
    nuts = run(step_size)  # nutpie's step sizes vary too, and weight no draw
    words = "The step sizes of idata vary"
    assert words in compare(decreasing, constant).attrs["verdict"]
    assert words not in compare(constant, decreasing).attrs["verdict"]
    for run_of_equals in (constant, nuts, thin_by_step_size(decreasing, 1)):
        assert words not in compare(run_of_equals, constant).attrs["verdict"]


def test_variables_of_one_run_only_are_named():
    idata = posterior(mu=normal(1, 4, 100), tau=normal(2, 4, 100))
    reference = posterior(mu=normal(3, 4, 100), nu=normal(4, 4, 100))
    table = compare(idata, reference)
    assert list(table.index) == ["mu"]
    assert table.attrs["only_in_idata"] == ["tau"]
    assert table.attrs["only_in_reference"] == ["nu"]
    assert "only in idata: tau." in table.attrs["verdict"]
    assert "only in the reference: nu." in table.attrs["verdict"]
    assert "only in" not in compare(idata, reference, var_names="mu").attrs["verdict"]


def test_var_names_choose_and_order_the_rows():
    idata = posterior(a=normal(1, 2, 100), b=normal(2, 2, 100), c=normal(3, 2, 100))
    assert list(compare(idata, idata).index) == ["a", "b", "c"]
    assert list(compare(idata, idata, var_names=["c", "a"]).index) == ["c", "a"]
    assert list(compare(idata, idata, var_names="b").index) == ["b"]


def test_posteriors_may_be_trees_groups_or_datasets():
    tree = posterior(mu=normal(1, 2, 100))
    expected = compare(tree, tree)
    for other in (tree["posterior"], tree["posterior"].to_dataset()):
        pd.testing.assert_frame_equal(compare(other, tree), expected)


# --- matching --------------------------------------------------------------------------------


def test_entries_are_matched_by_label_and_not_by_position():
    draws = normal(1, 4, 500, 3, 2) + 10 * np.arange(6).reshape(3, 2)
    coords = {"row": ["a", "b", "c"], "column": [10, 20]}
    idata = posterior(coords, {"theta": ["row", "column"]}, theta=draws)
    reference = idata["posterior"].to_dataset().isel(row=[2, 0, 1], column=[1, 0])
    table = compare(idata, reference.transpose("column", "draw", "row", "chain"))
    np.testing.assert_array_equal(table["mean_shift"], 0)
    assert list(table.index[:3]) == ["theta[a, 10]", "theta[a, 20]", "theta[b, 10]"]


def test_entries_without_labels_are_matched_by_position():
    draws = normal(1, 4, 500, 3) + 10 * np.arange(3)
    labelled = posterior({"row": ["a", "b", "c"]}, {"theta": ["row"]}, theta=draws)
    bare = labelled["posterior"].to_dataset().drop_vars("row")
    for idata, reference in ((labelled, bare), (bare, labelled)):
        table = compare(idata, reference)
        np.testing.assert_array_equal(table["mean_shift"], 0)
        assert list(table.index) == ["theta[a]", "theta[b]", "theta[c]"]
    assert list(compare(bare, bare).index) == ["theta[0]", "theta[1]", "theta[2]"]


def test_repeated_labels_are_matched_only_in_the_same_order():
    twice = posterior({"row": ["a", "a", "b"]}, {"x": ["row"]}, x=normal(1, 4, 100, 3))
    assert list(compare(twice, twice).index) == ["x[0]", "x[1]", "x[2]"]
    with pytest.raises(SettingError, match="each once"):
        compare(twice, twice["posterior"].to_dataset().isel(row=[2, 0, 1]))


def test_unconstrained_variables_are_compared_wherever_they_are():
    # PyMC adds transformed variables to the posterior, nutpie has a group for them
    sigma, other = np.exp(normal(1, 4, 500)), np.exp(normal(2, 4, 500))
    idata = posterior(sigma=sigma, sigma_log__=np.log(sigma))
    reference = az.from_dict(
        {
            "posterior": {"sigma": other},
            "unconstrained_posterior": {"sigma_log__": np.log(other), "sigma": 0 * other},
        }
    )
    for runs in ((idata, reference), (reference, idata), (reference, reference)):
        table = compare(*runs)
        assert sorted(table.index) == ["sigma", "sigma_log__"]
        assert table["agrees"]["sigma_log__"] and abs(table["sd_ratio"]["sigma_log__"] - 1) < 0.1
    assert compare(idata, posterior(sigma=other)).attrs["only_in_idata"] == ["sigma_log__"]


def test_the_mode_of_a_laplace_approximation_is_not_a_draw():
    # pymc-extras adds it in the same group
    sigma = np.exp(normal(1, 1, 500))
    laplace = az.from_dict({"posterior": {"sigma": sigma}})
    mode = az.from_dict({"unconstrained_posterior": {"sigma_log__": np.zeros((1, 1))}})
    laplace["unconstrained_posterior"] = mode["unconstrained_posterior"]
    assert list(compare(laplace, posterior(sigma=np.exp(normal(2, 4, 500)))).index) == ["sigma"]


# --- refusals --------------------------------------------------------------------------------

MU = posterior(mu=normal(1, 2, 100))
THETA = posterior({"row": ["a", "b"]}, {"theta": ["row"]}, theta=normal(2, 2, 100, 2))
DATASET = THETA["posterior"].to_dataset()
NO_POSTERIOR = xr.DataTree.from_dict({"prior": xr.Dataset()})


@pytest.mark.parametrize(
    ("idata", "reference", "var_names", "message"),
    [
        (3, MU, None, "cannot read idata: it is builtins.int"),
        (MU, {"mu": 1}, None, "cannot read reference: it is builtins.dict"),
        (MU, NO_POSTERIOR, None, r"cannot read reference: .* groups \['prior'\]"),
        (MU, THETA, None, r"share no variable; idata has \['mu'\]"),
        (MU, MU, ["nu"], "cannot compare 'nu': it is no variable of idata and the reference"),
        (MU, MU, [], "names no variable"),
        (MU, MU, 5, "var_names=5 must be names"),
        (MU, MU, "tau", r"Both runs have \['mu'\]"),
        (THETA, DATASET.isel(row=[0]), None, "'row' has 2 entries in idata and 1 in the reference"),
        (THETA, DATASET.assign_coords(row=["a", "c"]), None, "labels a, b in idata and a, c in"),
        (THETA, DATASET.rename(row="line"), None, r"dimensions are \['row'\] in idata and"),
        (THETA, DATASET.sel(chain=0), None, r"\.sel\(chain=\[0\]\)"),
        (DATASET.astype(str), THETA, None, "'theta': its draws in idata have dtype <U"),
        (DATASET.isel(row=[]), DATASET.isel(row=[]), None, "these variables have no entries"),
    ],
)
def test_what_cannot_be_compared_is_refused_by_name(idata, reference, var_names, message):
    with pytest.raises(SettingError, match=message):
        compare(idata, reference, var_names)


def test_a_variable_of_one_run_is_refused_when_asked_for():
    idata = posterior(mu=normal(1, 2, 100), tau=normal(2, 2, 100))
    with pytest.raises(SettingError, match="'tau': it is no variable of the reference"):
        compare(idata, MU, var_names=["mu", "tau"])


def test_the_table_prints_as_a_whole():
    """No column is left out, whatever the width; what was selected prints as pandas prints it."""
    table = compare(
        posterior(mu=normal(1, 4, 500), one=np.ones((4, 500))),
        posterior(mu=normal(2, 2, 500), one=np.ones((2, 500))),
    )
    row = table.loc["mu"]
    with pd.option_context("display.width", 60):
        text, html = repr(table), table._repr_html_()
    for shown in (
        f"{row['mean_shift']:.3f} ± {row['mean_shift_mcse']:.3f}",
        f"{row['sd_ratio']:.3f} ± {row['sd_ratio_mcse']:.3f}",
        f"{row['wasserstein']:.3f} ({row['wasserstein_null']:.3f})",
        f"{row['r_hat']:.3f} ({row['reference_r_hat']:.3f})",
        f"{row['ess_bulk']:.0f} ({row['reference_ess_bulk']:.0f})",
        f"{row['ess_sd']:.0f} ({row['reference_ess_sd']:.0f})",
    ):
        assert shown in text and shown in html
    assert "..." not in text and text.endswith(table.attrs["verdict"])
    assert "- (-)" in text  # no figures of a constant
    assert repr(table.head(1)).startswith(" ") and "± " in repr(table.head(1))
    some = table[["mean_shift", "agrees"]]
    assert repr(some) == repr(pd.DataFrame(some))


# --- unusual draws ---------------------------------------------------------------------------


def test_a_single_chain_has_no_r_hat_and_the_verdict_says_so():
    table = compare(posterior(mu=normal(1, 1, 4000)), posterior(mu=normal(2, 4, 1000)))
    assert np.isnan(table.loc["mu", "r_hat"])
    assert table.loc["mu", "agrees"]
    assert "R-hat of idata is not known: it takes two chains or more." in table.attrs["verdict"]


@pytest.mark.parametrize("draws", [1, 2, 3])
def test_very_few_draws_give_no_diagnostics(draws):
    table = compare(posterior(mu=normal(1, 1, draws)), posterior(mu=normal(2, 4, 1000)))
    assert table.loc["mu", ["mean_shift", "sd_ratio", "wasserstein", "r_hat"]].isna().all()
    assert not table.loc["mu", "agrees"]
    verdict = table.attrs["verdict"]
    assert verdict.startswith("cannot tell: ") and "sd" not in verdict
    assert f"- idata: it has only {draws} draw" in verdict


def test_figures_just_beyond_a_limit_are_told_from_it():
    """No "R-hat is 1.01" where 1.01 is the limit, in any sentence that has both."""
    draws = np.tile(normal(1, 4, 2000), (1, 1))
    for size in (0.1004, 0.0996):
        table = compare(posterior(mu=draws + size * draws.std(ddof=1)), posterior(mu=draws))
        assert f"worst mean shift {size} sd" in table.attrs["verdict"]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("in_reference", [False, True])
def test_draws_that_are_not_finite_never_agree(value, in_reference):
    draws = normal(1, 4, 1000, 2)
    broken = draws.copy()
    broken[1, 5, 1] = value
    runs = [posterior(x=broken), posterior(x=draws)]
    table = compare(*(reversed(runs) if in_reference else runs))
    assert list(table["agrees"]) == [True, False]
    assert table.loc["x[1]", ["mean_shift", "sd_ratio", "wasserstein"]].isna().all()
    role = "the reference" if in_reference else "idata"
    assert f"{role} has draws that are not finite (x[1])" in table.attrs["verdict"]
    assert table.attrs["verdict"].startswith("does not agree: 1 of 2 parameters is outside")


def test_constants_agree_only_if_they_are_equal_everywhere():
    ones = np.ones((4, 100))
    rounding = 1 + np.finfo(float).eps * np.sign(normal(1, 2, 50))
    reference = posterior(same=ones, rounded=ones, other=ones, moving=ones, tiny=1 + ones)
    idata = posterior(
        same=ones[:2, :50],
        rounded=rounding,
        other=2 * ones[:2, :50],
        moving=normal(2, 2, 50),
        tiny=2 + 1e-9 * normal(3, 2, 50),
    )
    table = compare(idata, reference)
    assert list(table["agrees"]) == [True, True, False, False, False]
    assert table[COLUMNS[:6]].isna().to_numpy().all()
    listed = "constant in the reference, not the same in idata: other, moving, tiny"
    assert listed in table.attrs["verdict"]


def test_a_run_that_stands_still_does_not_agree():
    table = compare(posterior(mu=np.zeros((4, 1000))), posterior(mu=normal(1, 4, 1000)))
    assert table.loc["mu", "sd_ratio"] == 0
    assert not table.loc["mu", "agrees"]


@pytest.mark.parametrize("size", [1e160, 1e300])
def test_draws_that_overflow_do_not_agree(size):
    table = compare(posterior(mu=size * normal(1, 4, 100)), posterior(mu=normal(2, 4, 100)))
    assert not table.loc["mu", "agrees"]
    assert table.attrs["verdict"].startswith("does not agree")


@pytest.mark.parametrize("kind", [bool, np.int8, np.uint16, np.int64, np.float32])
def test_discrete_and_short_types(kind):
    rng = np.random.default_rng(3)
    draws, reference = rng.binomial(1, 0.3, (2, 4, 1000)).astype(kind)
    table = compare(posterior(z=draws), posterior(z=reference))
    expected = compare(posterior(z=draws.astype(float)), posterior(z=reference.astype(float)))
    pd.testing.assert_frame_equal(table, expected)
    assert table.loc["z", "agrees"]


# --- the verdict -----------------------------------------------------------------------------


def test_the_verdict_of_a_bias_names_the_worst_parameters():
    reference = normal(1, 4, 1000, 3)
    draws = reference - reference.mean(axis=(0, 1))
    unit = reference.std(axis=(0, 1), ddof=1)
    draws = draws * [1, 1, 1.42] + reference.mean(axis=(0, 1)) + [0, -0.31, 0] * unit
    dims, coords = {"alpha": ["county"]}, {"county": ["AITKIN", "ANOKA", "HENNEPIN"]}
    table = compare(posterior(coords, dims, alpha=draws), posterior(coords, dims, alpha=reference))
    assert table.attrs["verdict"] == (
        "does not agree: 2 of 3 parameters are outside the tolerance (mean within 0.1 sd, sd "
        "within 10 %); worst mean shift 0.31 sd (alpha[ANOKA]), worst sd ratio 1.42 "
        "(alpha[HENNEPIN])."
    )


@pytest.mark.parametrize("biased_run", ["idata", "the reference"])
def test_the_verdict_of_chains_that_have_not_mixed_says_to_run_longer(biased_run):
    stuck = normal(1, 4, 1000) + np.array([[0.0], [0.0], [0.0], [3.0]])
    runs = [posterior(mu=stuck), posterior(mu=normal(2, 4, 1000))]
    if biased_run == "the reference":
        runs.reverse()
    verdict = compare(*runs).attrs["verdict"]
    assert verdict.startswith("does not agree: the only parameter is outside the tolerance")
    assert "What to do: run longer first, this may be Monte-Carlo error." in verdict
    assert "- mu: R-hat is 1." in verdict and f"in {biased_run}, the bulk ESS is " in verdict


def test_a_difference_beyond_its_error_is_not_called_chance():
    """Although the draws are few, and their errors beyond the tolerance."""
    few, reference = posterior(mu=50 + 10 * normal(9, 4, 60)), posterior(mu=normal(10, 4, 1000))
    verdict = compare(few, reference).attrs["verdict"]
    assert "the bulk ESS is " in verdict
    assert "What to do: the difference is larger than Monte-Carlo error" in verdict


@pytest.mark.parametrize(("factor", "by_chance"), [(1.15, True), (1.5, False)])
def test_what_may_be_chance_is_said(factor, by_chance):
    """Draws of alternating sign know their mean well, as those of NUTS do, but not their sd."""
    signs = np.where(np.arange(150) % 2, 1, -1)
    reference = posterior(mu=signs * np.abs(normal(5, 2, 150)))
    table = compare(posterior(mu=factor * normal(6, 4, 3000)), reference)
    assert table.loc["mu", "reference_ess_bulk"] > 700
    assert table.loc["mu", "sd_ratio"] > 1.1 and not table.loc["mu", "agrees"]
    chance = "no figure is outside the tolerance by more than 3 of its errors"
    assert (chance in table.attrs["verdict"]) is by_chance


def unequal_chains(seed):
    """Chains of one mean and unequal scales: R-hat above 1.01, a mean that is well known."""
    return normal(seed, 4, 1000) * np.array([[1.0], [2.0], [1.0], [2.0]])


def test_an_agreement_of_chains_that_have_not_mixed_is_qualified():
    table = compare(posterior(mu=unequal_chains(1)), posterior(mu=unequal_chains(1)))
    verdict = table.attrs["verdict"]
    assert table.loc["mu", "agrees"]
    assert verdict.startswith("agrees: the only parameter is within the tolerance")
    assert "- mu: R-hat is 1." in verdict
    assert "What to do: run longer before you rely on it." in verdict


def test_a_clear_bias_is_not_blamed_on_the_chains_of_another_parameter():
    chains = unequal_chains(1)
    table = compare(
        posterior(mu=1 + normal(2, 4, 1000), tau=chains),
        posterior(mu=normal(3, 4, 1000), tau=chains),
    )
    assert list(table["agrees"]) == [False, True]
    assert "longer" not in table.attrs["verdict"]
