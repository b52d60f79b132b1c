"""`plot_inflation`: the figures of the report, the worst first, and how many are not shown."""

import sys

import arviz as az
import numpy as np
import pandas as pd
import pymc as pm
import pytest
import xarray as xr

from pymc_sgld import SettingError, SGLDWarning, TrustReport, diagnose, plot_inflation

pytestmark = pytest.mark.usefixtures("figures_without_a_screen")


def report(inflation, error=0.05, predicted=np.nan, names=None, parameters=None):
    """Return a report with the inflation of some coordinates, as `diagnose` writes it."""
    names = names or [f"beta[{k}]" for k in range(len(inflation))]
    coordinates = pd.DataFrame(
        {
            "parameter": parameters or names,
            "inflation": inflation,
            "inflation_error": error,
            "predicted_inflation": predicted,
        },
        index=names,
    )
    empty = pd.DataFrame(index=names)
    return TrustReport(empty, coordinates, pd.Series(), xr.Dataset(), "Trusted.", True, [])


def points(collection, kind):
    """Return what is drawn, {label: (x, y)}; kind 0 is measured, 1 is predicted."""
    drawn = collection.viz["estimate/inflation"].isel(kind=kind)
    return {
        str(each["parameter"].values): tuple(each.item().get_offsets()[0])
        for each in drawn
        if each.item() is not None
    }


def labels(collection):
    """Return the names at the axis, from top to bottom."""
    ticks = collection.get_viz("plot").get_yticklabels()
    return [tick.get_text() for tick in sorted(ticks, key=lambda tick: -tick.get_position()[1])]


def legend(collection):
    (found,) = collection.get_viz("figure").legends
    return [text.get_text() for text in found.get_texts()]


def test_figures_errors_and_order():
    """Ratios of standard deviations of 0.5, 1 and 2: half the sd is off by less than twice."""
    found = report([0.25, 1.0, 4.0], error=[0.01, 0.02, 0.3], predicted=[np.nan, 1.1, 3.5])
    collection = plot_inflation(found)
    assert labels(collection) == ["beta[2]", "beta[0]", "beta[1]"]
    assert points(collection, 0) == {"beta[2]": (4.0, 2), "beta[0]": (0.25, 1), "beta[1]": (1.0, 0)}
    assert points(collection, 1) == {"beta[2]": (3.5, 2), "beta[1]": (1.1, 0)}
    for name, (value, error) in {"beta[2]": (4.0, 0.3), "beta[0]": (0.25, 0.01)}.items():
        bar = collection.viz["error/error"].sel(parameter=name).item()
        np.testing.assert_allclose(bar.get_xdata(), [value - 2 * error, value + 2 * error])
        assert set(bar.get_ydata()) == {points(collection, 0)[name][1]}
    assert legend(collection) == ["measured, ± 2 standard errors", "predicted from the settings"]
    axes = collection.get_viz("plot")
    assert axes.get_xlabel().startswith("variance over that of the posterior")
    (band,) = axes.patches
    assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx((0.81, 1.21))
    assert "figure_title" not in collection.viz
    measured, predicted = (
        collection.viz["estimate/inflation"].sel(parameter="beta[2]").isel(kind=kind).item()
        for kind in (0, 1)
    )
    assert (measured.get_facecolor() != predicted.get_facecolor()).any()
    assert len(measured.get_paths()[0].vertices) != len(predicted.get_paths()[0].vertices)


def test_of_many_parameters_the_worst_are_shown_and_the_title_counts_them():
    inflation = 1 + 0.001 * np.arange(50)
    inflation[[30, 7]] = 0.2, 9.0
    collection = plot_inflation(report(inflation))
    shown = labels(collection)
    assert shown == ["beta[7]", "beta[30]", *[f"beta[{k}]" for k in range(49, 31, -1)]]
    assert len(points(collection, 0)) == 20
    title = collection.get_viz("figure_title").get_text()
    assert title == "The 20 of 50 parameters that are farthest off"


def test_without_a_prediction_only_what_is_measured_is_drawn():
    collection = plot_inflation(report([1.2, 1.0]))
    assert collection.viz["estimate/inflation"].sizes["kind"] == 1
    assert legend(collection) == ["measured, ± 2 standard errors"]


def test_coordinates_that_are_no_parameter_have_their_own_name_and_others_are_left_out():
    names = ["sigma_log__", "p_simplex__[0]", "unmeasured"]
    found = report([1.5, 1.2, np.nan], names=names, parameters=["sigma", "", "unmeasured"])
    assert labels(plot_inflation(found)) == ["sigma", "p_simplex__[0]"]


@pytest.fixture(scope="module")
def gaussian_mean():
    """A model with the posterior N(x.mean(), 1/100), and draws of twice that variance."""
    x = np.random.default_rng(1).normal(size=100)
    with pm.Model() as model:
        pm.Normal("y", pm.Flat("mu"), 1, observed=x)
    z = np.random.default_rng(2).normal(size=(4, 250))
    return model, az.from_dict({"posterior": {"mu": x.mean() + 0.1 * np.sqrt(2) * z}})


def test_a_run_and_its_report_give_the_same_picture(gaussian_mean):
    """The inflation is 2, within the error that is drawn; 1 is seen to be wrong."""
    model, idata = gaussian_mean
    with pytest.warns(SGLDWarning, match=r"mu: the sd is"):
        of_run = plot_inflation(idata, model)
    with pytest.warns(SGLDWarning):
        of_report = plot_inflation(diagnose(idata, model))
    assert points(of_run, 0) == points(of_report, 0)
    inflation = points(of_run, 0)["mu"][0]
    low, high = of_run.viz["error/error"].sel(parameter="mu").item().get_xdata()
    error = (high - low) / 4
    assert 0 < error < 0.15
    assert abs(inflation - 2) < 5 * error
    assert abs(inflation - 1) > 5 * error


def test_nothing_is_bound_to_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    found = report([1.2, 1.0, 3.0], predicted=[1.1, 1.0, 2.9])
    drawn = plot_inflation(found, backend="none").viz["plot"].item()
    kinds = [each["function"] for each in drawn]
    assert (kinds.count("scatter"), kinds.count("line"), kinds.count("vspan")) == (6, 3, 1)
    assert [float(each["x"][0]) for each in drawn if each["function"] == "scatter"] == [
        3.0, 1.2, 1.0, 2.9, 1.1, 1.0,
    ]  # fmt: skip


def test_no_text_is_cut_off():
    names = ["alpha_of_the_county[LAKE OF THE WOODS AND MANY OTHER PLACES]", *"abcdefghijklmnop"]
    collection = plot_inflation(report(np.linspace(3, 1, 17), names=names))
    assert labels(collection)[0] == "alpha_of_the_co…NY OTHER PLACES]"
    figure = collection.get_viz("figure")
    figure.canvas.draw()
    drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert min(drawn.x0, drawn.y0, width - drawn.x1, height - drawn.y1) >= 0


def test_what_cannot_be_plotted_is_refused(gaussian_mean):
    model, idata = gaussian_mean
    found = report([1.0])
    with pytest.raises(SettingError, match=r"cannot use model= beside a report"):
        plot_inflation(found, model)
    with pytest.raises(SettingError, match=r"without the model that was sampled"):
        plot_inflation(idata)
    for bare in (report([np.nan]), TrustReport(*[pd.DataFrame()] * 2, *[None] * 2, "V.", True, [])):
        with pytest.raises(SettingError, match=r"none was measured"):
            plot_inflation(bare)
    with pytest.raises(SettingError, match=r"backend='crayon' must be one of 'matplotlib'"):
        plot_inflation(found, backend="crayon")


def test_what_is_not_installed_is_named(monkeypatch):
    found = report([1.0])
    monkeypatch.setitem(sys.modules, "bokeh", None)
    monkeypatch.delitem(sys.modules, "arviz_plots.backend.bokeh", raising=False)
    with pytest.raises(ImportError, match=r"draws with bokeh.*, which is not installed"):
        plot_inflation(found, backend="bokeh")
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"plot_inflation .*`pip install 'pymc_sgld\[plots\]'`"):
        plot_inflation(found, backend="matplotlib")
