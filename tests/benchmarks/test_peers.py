"""SGLD beside other methods: what is compared, and what is left of a run that is stopped."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.mark.parametrize("name", ["correlated", "radon_noncentered", "a9a"])
def test_a_model_with_batches_has_the_log_density_of_the_model(name):
    """In mean over batches of one row each, with all rows: a total_size that is missing is seen."""
    import known_posteriors
    from inference.methods import Problem

    problem = Problem.of(getattr(known_posteriors, name))
    batches = problem.with_batches(problem.rows)
    assert [rv.name for rv in batches.free_RVs] == [rv.name for rv in problem.model.free_RVs]
    point = {name: value + 0.1 for name, value in problem.model.initial_point().items()}
    expected = problem.model.compile_logp(mode="FAST_COMPILE")(point)
    found = batches.compile_logp(mode="FAST_COMPILE")
    values = np.array([found(point) for _ in range(10)])  # of rows drawn with replacement
    assert abs(values.mean() - expected) < 5 * values.std(ddof=1) / np.sqrt(len(values))
    with pytest.raises(AssertionError):  # half the rows
        assert abs(values.mean() - expected / 2) < 5 * values.std(ddof=1) / np.sqrt(len(values))


def test_small_data_are_read_whole():
    import known_posteriors
    from inference.methods import Problem

    problem = Problem.of(known_posteriors.skewed)
    assert problem.rows == 25 and problem.with_batches is None


def stopped(*lengths):
    """Return four chains of which so many draws are there."""
    draws = np.full((len(lengths), max(lengths), 2), np.nan)
    for chain, length in enumerate(lengths):
        draws[chain, :length] = np.arange(length)[:, None]
    posterior = xr.Dataset({"b": (("chain", "draw", "i"), draws)})
    return xr.DataTree.from_dict({"posterior": posterior})


def test_what_was_stopped_has_no_gaps():
    from inference.methods import without_gaps

    found = without_gaps(stopped(10, 7, 3, 0)).posterior["b"]
    assert found.shape == (2, 7, 2)
    assert not found.isnull().any() and (found[:, -1] == 6).all()
    with pytest.raises(RuntimeError, match="stopped before"):
        without_gaps(stopped(1, 0))


def test_errors_are_those_of_the_worst_parameter():
    from inference.measured import errors
    from known_posteriors import few_rows

    known = few_rows()
    z = np.random.default_rng(1).standard_normal((4, 5_000, 4))
    draws = known.mean + known.sd * (z * [1, 1, 0.5, 1] + [0, 0.5, 0, 0])
    posterior = xr.Dataset(
        {
            "intercept": (("chain", "draw"), draws[..., 0]),
            "beta": (("chain", "draw", "i"), draws[..., 1:]),
        }
    )
    found = errors(xr.DataTree.from_dict({"posterior": posterior}), known)
    assert found["worst mean"] == "beta[0]" and abs(found["mean shift"] - 0.5) < 5 / np.sqrt(2e4)
    assert found["worst sd"] == "beta[1]" and abs(found["sd ratio"] - 0.5) < 5 * 0.5 / np.sqrt(4e4)
    assert found["draws"] == 20_000


def test_a_line_and_a_picture(tmp_path):
    """A run that was stopped says so, and what has no figures is not drawn."""
    import known_posteriors
    import peers

    line = {
        "posterior": "a9a",
        "method": "nutpie",
        "rows": 32_561,
        "s": 1234.5,
        "processor s": 300.2,
        "draws": 640,
        "mean shift": 0.2,
        "sd ratio": 0.9,
        "certificate": "Not to be relied on: the run differs from the posterior; worst ...",
    }
    failed = {"posterior": "a9a", "method": "Laplace", "certificate": "failed: MemoryError"}
    assert peers.cells(line)[:2] == ["a9a", "nutpie, stopped after 640 draws"]
    assert peers.cells(line)[-1] == "the run differs from the posterior"
    assert peers.cells(failed) == ["a9a", "Laplace", "–", "–", "–", "–", "failed: MemoryError"]
    figure = peers.picture([line, failed])
    drawn = [len(axes.lines) for axes in figure.axes]
    assert drawn == [1, 1]
    known = [*known_posteriors.ALL, *known_posteriors.LARGE]
    assert {*peers.POSTERIORS, peers.SMALL} <= {build.__name__ for build in known}
    assert set(peers.COLOURS) == set(peers.METHODS)


def test_the_reference_of_a_logistic_regression_is_that_of_a_grid():
    """Few rows, where weights matter: the Gaussian around the mode alone is seen to be off."""
    from logistic_reference import PRIOR_SD, mode_of, moments

    design, outcome = np.ones((30, 1)), (np.arange(30) < 2).astype(float)
    found = moments(design, outcome, pairs=80_000, seed=1)
    grid = np.linspace(-12, 6, 20_001)
    log_density = outcome.sum() * grid - 30 * np.log1p(np.exp(grid)) - grid**2 / 2 / PRIOR_SD**2
    weights = np.exp(log_density - log_density.max())
    weights /= weights.sum()
    mean = weights @ grid
    sd = np.sqrt(weights @ (grid - mean) ** 2)
    mode, covariance = mode_of(design, outcome)
    assert abs(found["mean"][0] - mean) < 5 * found["mcse"][0]
    error = 1 / np.sqrt(found["ess_of_squares"])  # of an sd, up to a kurtosis of 5
    assert abs(found["sd"][0] / sd - 1) < 5 * error < 0.06
    assert abs(mode[0] - mean) > 0.2 * sd and abs(np.sqrt(covariance[0, 0]) / sd - 1) > 0.06
