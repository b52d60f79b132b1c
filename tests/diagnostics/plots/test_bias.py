"""`plot_bias`: the figures of the report, the worst first, and how many are not shown."""

from functools import partial

import arviz as az
import numpy as np
import pandas as pd
import pymc as pm
import pytest

from pymc_sgld import SettingError, SGLDWarning, TrustReport, certify, diagnose, plot_bias
from pymc_sgld.tolerance import Verdict

pytestmark = pytest.mark.usefixtures("figures_without_a_screen")


def report(ratio, error=0.05, shift=0.0, names=None, parameters=None):
    """Return a report with the bias of some coordinates, as `diagnose` writes it."""
    names = names or [f"beta[{k}]" for k in range(len(ratio))]
    coordinates = pd.DataFrame(
        {
            "parameter": parameters or names,
            "mean_shift": shift,
            "mean_shift_error": error,
            "sd_ratio": ratio,
            "sd_ratio_error": error,
        },
        index=names,
    )
    return TrustReport(pd.DataFrame(index=names), coordinates, pd.Series(), Verdict("Trusted."))


def points(collection, column="sd_ratio"):
    """Return what is drawn in a panel, {label: (x, y)}."""
    drawn = collection.viz["estimate/bias"].sel(column=column)
    return {
        str(each["parameter"].values): tuple(each.item().get_offsets()[0].tolist())
        for each in drawn
        if each.item() is not None
    }


def labels(collection):
    """Return the names at the axis of the left panel, from top to bottom."""
    ticks = collection.get_viz("plot", column="mean_shift").get_yticklabels()
    return [tick.get_text() for tick in sorted(ticks, key=lambda tick: -tick.get_position()[1])]


def test_figures_errors_and_order():
    """In tolerances: a ratio of 2 is 10 off, of 0.5 it is 5, a shift of -0.7 is 7."""
    errors = [0.01, 0.02, 0.05, 0.3]
    collection = plot_bias(report([0.5, 1.0, 1.0, 2.0], errors, shift=[0.0, -0.7, 0.1, 0.2]))
    assert labels(collection) == ["beta[3]", "beta[1]", "beta[0]", "beta[2]"]
    expected = {
        "mean_shift": {"beta[3]": 0.2, "beta[1]": -0.7, "beta[0]": 0.0, "beta[2]": 0.1},
        "sd_ratio": {"beta[3]": 2.0, "beta[1]": 1.0, "beta[0]": 0.5, "beta[2]": 1.0},
    }
    for column, of_each in expected.items():
        drawn = points(collection, column)
        assert {name: x for name, (x, _) in drawn.items()} == pytest.approx(of_each)
        assert [drawn[name][1] for name in labels(collection)] == [3, 2, 1, 0]
        for k, error in enumerate(errors):
            name = f"beta[{k}]"
            bar = collection.viz["error/error"].sel(parameter=name, column=column).item()
            ends = [of_each[name] - 2 * error, of_each[name] + 2 * error]
            np.testing.assert_allclose(bar.get_xdata(), ends)
            assert set(bar.get_ydata()) == {drawn[name][1]}
    for column, edges in {"mean_shift": (-0.1, 0.1), "sd_ratio": (0.9, 1.1)}.items():
        axes = collection.get_viz("plot", column=column)
        (band,) = axes.patches
        assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx(edges)
    assert axes.get_xlabel() == "sd over that of the posterior"
    assert "figure_title" not in collection.viz


def test_of_many_parameters_the_worst_are_shown_and_the_title_counts_them():
    ratio = 1 + 0.001 * np.arange(50)
    ratio[[30, 7]] = 0.2, 9.0
    collection = plot_bias(report(ratio))
    shown = labels(collection)
    assert shown == ["beta[7]", "beta[30]", *[f"beta[{k}]" for k in range(49, 31, -1)]]
    assert len(points(collection)) == 20
    title = collection.get_viz("figure_title").get_text()
    assert title == "The 20 of 50 parameters that are farthest off"


def test_coordinates_that_are_no_parameter_have_their_own_name_and_others_are_left_out():
    names = ["sigma_log__", "p_simplex__[0]", "unmeasured"]
    found = report([1.5, 1.2, np.nan], names=names, parameters=["sigma", "", "unmeasured"])
    assert labels(plot_bias(found)) == ["sigma", "p_simplex__[0]"]


@pytest.fixture(scope="module")
def gaussian_mean():
    """A model with the posterior N(x.mean(), 1/100), and draws of twice that variance."""
    x = np.random.default_rng(1).normal(size=100)
    with pm.Model() as model:
        pm.Normal("y", pm.Flat("mu"), 1, observed=x)
    z = np.random.default_rng(2).normal(size=(4, 250))
    return model, az.from_dict({"posterior": {"mu": x.mean() + 0.1 * np.sqrt(2) * z}})


@pytest.mark.parametrize(
    "judge", [diagnose, partial(diagnose, gradients=400), certify], ids=["", "gradients", "exact"]
)
def test_the_report_of_a_run_is_drawn(gaussian_mean, judge):
    """The ratio of variances is 2, within the error that is drawn; 1 is seen to be wrong."""
    model, idata = gaussian_mean
    with pytest.warns(SGLDWarning, match=r"mu: the sd is"):
        collection = plot_bias(judge(idata, model))
    ratio = points(collection)["mu"][0]
    bar = collection.viz["error/error"].sel(parameter="mu", column="sd_ratio").item()
    low, high = bar.get_xdata()
    error = (high - low) / 4
    assert 0 < error < 0.15 / 2**1.5
    assert abs(ratio - 2**0.5) < 5 * error
    assert abs(ratio - 1) > 5 * error


def test_no_text_is_cut_off():
    names = ["alpha_of_the_county[LAKE OF THE WOODS AND MANY OTHER PLACES]", *"abcdefghijklmnop"]
    collection = plot_bias(report(np.linspace(3, 1, 17), names=names))
    assert labels(collection)[0] == "alpha_of_the_co…NY OTHER PLACES]"
    figure = collection.get_viz("figure")
    figure.canvas.draw()
    drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert min(drawn.x0, drawn.y0, width - drawn.x1, height - drawn.y1) >= 0


def test_what_cannot_be_plotted_is_refused(gaussian_mean):
    with pytest.raises(SettingError, match=r"DataTree: it must be a report"):
        plot_bias(gaussian_mean[1])
    unmeasured = TrustReport(*[pd.DataFrame()] * 2, pd.Series(), Verdict("V."))
    for bare in (report([np.nan]), unmeasured):
        with pytest.raises(SettingError, match=r"none was measured"):
            plot_bias(bare)
