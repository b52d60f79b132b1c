"""`plot_comparison`: the right panels, lines and names, whatever the two runs look like."""

import arviz as az
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.text import Text

from pymc_sgld.diagnostics import compare, plot_comparison, thin_by_step_size
from pymc_sgld.diagnostics.plots.short_labels import in_two_lines, shortened
from pymc_sgld.errors import SettingError

pytestmark = pytest.mark.usefixtures("figures_without_a_screen")


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def posterior(coords=None, dims=None, **variables):
    return az.from_dict({"posterior": variables}, coords=coords, dims=dims)


def legend_names(collection):
    figure = collection.get_viz("figure")
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def axis_label(collection, parameter, column, axis):
    axes = collection.get_viz("plot", parameter=parameter, column=column)
    return getattr(axes, f"get_{axis}label")()


def test_panels_lines_and_names_of_runs_of_different_length():
    coords, dims = {"county": ["ANOKA", "a/b"]}, {"alpha": ["county"]}
    idata = posterior(coords, dims, sigma=normal(1, 2, 300), alpha=normal(2, 2, 300, 2))
    reference = posterior(coords, dims, sigma=normal(3, 4, 100), alpha=normal(4, 4, 100, 2))
    collection = plot_comparison(idata, reference)
    labels = ["sigma", "alpha[ANOKA]", "alpha[a/b]"]
    assert list(collection.viz["plot"]["parameter"].values) == labels
    assert len(collection.get_viz("figure").axes) == 6
    assert legend_names(collection) == ["SGLD", "NUTS"]
    assert axis_label(collection, "alpha[ANOKA]", "density", "x") == "alpha[ANOKA]"
    assert axis_label(collection, "alpha[ANOKA]", "density", "y") == "density"
    assert axis_label(collection, "alpha[ANOKA]", "trace", "x") == "draw"
    assert axis_label(collection, "alpha[ANOKA]", "trace", "y") == "alpha[ANOKA]"
    for label in labels:
        density, trace = (
            collection.get_viz("plot", parameter=label, column=column)
            for column in ("density", "trace")
        )
        assert len(density.get_lines()) == 2
        assert sorted(len(line.get_xdata()) for line in trace.get_lines()) == [100] * 4 + [150] * 2
        assert len({line.get_color() for line in trace.get_lines()}) == 2


def test_each_line_is_of_its_run_and_parameter():
    idata = posterior(beta=normal(1, 2, 200, 2) + np.array([100, 200]))
    reference = posterior(beta=normal(2, 2, 200, 2) + np.array([500, 600]))
    collection = plot_comparison(idata, reference, labels=("one", "two"))
    assert legend_names(collection) == ["one", "two"]
    for run, start in (("one", 100), ("two", 500)):
        for entry in (0, 1):
            selection = {"parameter": f"beta[{entry}]", "model": run}
            density = collection.viz["density/value"].sel(selection).item()
            trace = collection.viz["trace/value"].sel({**selection, "chain": 0}).item()
            for values in (density.get_xdata(), trace.get_ydata()):
                assert abs(np.mean(values) - start - 100 * entry) < 10
            assert density.get_color() == trace.get_color()


def test_the_parameters_that_differ_most_are_chosen_and_the_title_says_so():
    draws = normal(1, 4, 200, 12)
    offsets = np.where(np.arange(12) == 9, 3.0, np.where(np.arange(12) == 4, -2.0, 0.0))
    idata, reference = posterior(beta=draws + offsets), posterior(beta=draws)
    collection = plot_comparison(idata, reference)
    shown = list(collection.viz["plot"]["parameter"].values)
    assert len(shown) == 8
    assert shown[:2] == ["beta[9]", "beta[4]"]
    title = collection.get_viz("figure").get_suptitle()
    assert title == "The 8 of 12 parameters that differ most"
    everything = plot_comparison(idata, reference, var_names="beta")
    assert list(everything.viz["plot"]["parameter"].values) == list(compare(idata, reference).index)
    assert everything.get_viz("figure").get_suptitle() == ""


def test_the_title_says_that_draws_of_unequal_steps_count_alike():
    draws = normal(1, 2, 300)
    step_size = np.tile(1 / np.arange(1, 301), (2, 1))
    stats = {"step_size": step_size, "sampling_threshold": step_size}
    idata = az.from_dict({"posterior": {"mu": draws}, "sample_stats": stats})
    title = plot_comparison(idata, posterior(mu=draws)).get_viz("figure").get_suptitle()
    assert "Step sizes vary" in title and "thin_by_step_size" in title
    thinned = thin_by_step_size(idata, rng=1)
    title = plot_comparison(thinned, posterior(mu=draws)).get_viz("figure").get_suptitle()
    assert title == ""


@pytest.mark.parametrize(
    "draws",
    [
        np.random.default_rng(1).poisson(3, (2, 100)),
        np.random.default_rng(1).integers(0, 10**6, (2, 400)),
        np.random.default_rng(1).random((2, 100)) < 0.3,
        np.full((2, 100), 3.0),
        np.full((2, 100), np.nan),
        np.where(np.arange(200).reshape(2, 100) % 7 == 0, np.inf, normal(1, 2, 100)),
        normal(1, 1, 1),
    ],
    ids=["counts", "many integers", "booleans", "constant", "nan", "some infinite", "one draw"],
)
def test_unusual_draws_are_drawn_without_a_warning(draws):
    collection = plot_comparison(posterior(x=draws), posterior(x=normal(2, 2, 100)))
    collection.get_viz("figure").canvas.draw()
    assert legend_names(collection) == ["SGLD", "NUTS"]


def test_the_curve_of_counts_is_their_relative_frequency():
    counts = np.array([[0, 0, 0, 1], [1, 1, 4, 4]])
    collection = plot_comparison(posterior(z=counts), posterior(z=np.array([[4, 4, 4, 7]])))
    curve = collection.viz["density/value"].sel(parameter="z", model="SGLD").item()
    x, y = curve.get_data()
    for value, frequency in ((0, 3 / 8), (1, 3 / 8), (4, 2 / 8)):
        np.testing.assert_allclose(y[np.abs(x - value) < 0.5].max(), frequency, rtol=1e-12)


def test_no_text_is_cut_off():
    names = ["LAKE OF THE WOODS AND MANY OTHER PLACES", "HENNEPIN"]
    variables = {"alpha_of_the_county": normal(1, 2, 100, 2), "x" * 60: normal(2, 2, 100)}
    idata = posterior({"county": names}, {"alpha_of_the_county": ["county"]}, **variables)
    figure = plot_comparison(idata, idata).get_viz("figure")
    figure.canvas.draw()
    drawn = figure.get_tightbbox()  # of all that is drawn, in inches
    width, height = figure.get_size_inches()
    assert drawn.x0 >= 0
    assert drawn.y0 >= 0
    assert drawn.x1 <= width
    assert drawn.y1 <= height


def test_the_figure_takes_arguments_of_matplotlib():
    idata = posterior(mu=normal(1, 2, 100))
    figure = plot_comparison(idata, idata, figure_kwargs={"figsize": (7, 3)}).get_viz("figure")
    np.testing.assert_allclose(figure.get_size_inches(), (7, 3))


def test_what_cannot_be_plotted_is_refused_by_name():
    idata = posterior(mu=normal(1, 2, 100), beta=normal(2, 2, 100, 21))
    with pytest.raises(SettingError, match="cannot plot 21 parameters: a figure has room for 20"):
        plot_comparison(idata, idata, var_names="beta")
    with pytest.raises(SettingError, match="'nu': it is no variable"):
        plot_comparison(idata, idata, var_names="nu")
    for labels in (("NUTS", "NUTS"), ("SGLD",), None, "ab"):
        with pytest.raises(SettingError, match="two different names"):
            plot_comparison(idata, idata, labels=labels)
    with pytest.raises(SettingError, match="figure_kwargs=3 must be a dictionary"):
        plot_comparison(idata, idata, var_names="mu", figure_kwargs=3)


@pytest.mark.parametrize("width", [9, 15, 32])
def test_short_labels_stay_apart(width):
    """They differ at the start, at the end, in the middle, in two places, or not within reach."""
    long = "x" * 50
    labels = ["mu", *[f"{k}{long}" for k in "ab"], *[f"{long}{k}" for k in "ab"]]
    labels += [f"{long}{k}{long}" for k in "abc"] + [
        f"{long}{k}{long}{j}{long}" for k, j in ("dd", "de")
    ]
    cut = shortened(labels, width)
    assert len(set(cut)) == len(labels) and max(map(len, cut)) <= width
    assert shortened(["mu", "sigma"], width) == ["mu", "sigma"]
    lines = in_two_lines(labels, width)
    assert len(set(lines.values())) == len(labels)
    assert all(len(line) <= width for text in lines.values() for line in text.split("\n"))
    assert max(text.count("\n") for text in lines.values()) <= 1


def contrast(line, background):
    """Return that of WCAG 2, from 1 to 21, of a line as it is drawn, half transparent or not."""

    def luminance(rgb):
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722] + 0.05

    behind, opaque = np.array(to_rgb(background)), line.get_alpha() or 1
    drawn = opaque * np.array(to_rgb(line.get_color())) + (1 - opaque) * behind
    return np.exp(abs(np.log(luminance(drawn) / luminance(behind))))


@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_readable_in_any_style(style):
    """Thin traces stand out; the blue of a light page has 1.7 on black. Text is the style's."""
    with plt.style.context(style):
        runs = [posterior(mu=normal(seed, 2, 100)) for seed in (1, 2)]
        figure = plot_comparison(*runs).get_viz("figure")
        figure.canvas.draw()
        own = to_rgb(plt.rcParams["text.color"])
    lines = [line for axes in figure.axes for line in axes.get_lines()]
    assert min(contrast(line, figure.get_facecolor()) for line in lines) > 1.9
    texts = [text for text in figure.findobj(Text) if text.get_text()]
    assert {to_rgb(text.get_color()) for text in texts} == {own}
