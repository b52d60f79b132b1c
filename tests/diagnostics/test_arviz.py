"""Everything else in ArviZ works on a result of SGLD: statistics, plots, files, predictions."""

import arviz as az
import numpy as np
import pymc as pm
import pytest

from pymc_sgld import SGLD, SGLDWarning, compare, run_settings, thin_by_step_size

pytestmark = pytest.mark.usefixtures("figures_without_a_screen")

ROWS = 60
COMPILE = {"mode": "FAST_COMPILE"}
rng = np.random.default_rng(1)
X = rng.normal(size=(ROWS, 2))
y = X @ [1.0, -0.5] + rng.normal(size=ROWS)


@pytest.fixture(scope="module")
def model():
    with pm.Model(coords={"covariate": ["dose", "age"]}) as model:
        beta = pm.Normal("beta", dims="covariate")
        sigma = pm.HalfNormal("sigma")
        pm.Normal("y", pm.Data("X", X) @ beta, sigma, observed=y)
        pm.Deterministic("ratio", beta[0] / sigma)
    return model


@pytest.fixture(scope="module")
def idata(model):
    """The one run of this file, with log-likelihood and predictions of the unmodified model."""
    step = SGLD(batch_size=20, steps_per_draw=4, model=model, compile_kwargs=COMPILE)
    with model:
        idata = pm.sample(
            150, tune=50, chains=2, cores=1, step=step, random_seed=2, quiet=True,
            idata_kwargs={"include_transformed": True}, compute_convergence_checks=False,
        )  # fmt: skip
        pm.compute_log_likelihood(idata, progressbar=False, compile_kwargs=COMPILE)
        pm.sample_posterior_predictive(
            idata, extend_inferencedata=True, progressbar=False, random_seed=3,
            compile_kwargs=COMPILE,
        )  # fmt: skip
    return idata


@pytest.fixture(scope="module")
def reference(idata):
    """Another run of the same variables."""
    shifted = idata["posterior"].to_dataset() + 0.1
    return az.from_dict({"posterior": {name: shifted[name].values for name in ("beta", "sigma")}})


def test_summary(idata):
    table = az.summary(idata, var_names=["beta", "sigma", "ratio"], round_to="none")
    assert list(table.index) == ["beta[dose]", "beta[age]", "sigma", "ratio"]
    assert np.isfinite(table.to_numpy()).all()


@pytest.mark.parametrize("plot", [az.plot_trace_dist, az.plot_rank, az.plot_ess])
def test_plots_of_one_run(idata, plot):
    collection = plot(idata, var_names=["beta", "sigma"], backend="matplotlib")
    assert list(collection.data.data_vars) == ["beta", "sigma"]
    assert collection.get_viz("figure").axes


def test_forest_of_both_runs(idata, reference):
    collection = az.plot_forest(
        {"SGLD": idata, "NUTS": reference}, var_names=["sigma"], backend="matplotlib"
    )
    assert list(collection.data["model"].values) == ["SGLD", "NUTS"]
    assert collection.get_viz("figure").axes


FEW_DRAWS = "ignore:Estimated shape parameter of Pareto:UserWarning"  # ArviZ, of so short a run


@pytest.mark.filterwarnings(FEW_DRAWS)
def test_loo(idata):
    found = az.loo(idata, pointwise=True)
    assert found.n_data_points == ROWS
    assert idata.log_likelihood["y"].dims[:2] == ("chain", "draw")
    # Elementwise, of all rows: the density of the model at the draws, not that of a batch.
    draws = idata.posterior
    mean = draws["beta"].values @ X.T
    sigma = draws["sigma"].values[..., None]
    expected = -0.5 * ((y - mean) / sigma) ** 2 - np.log(sigma * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(idata.log_likelihood["y"], expected, rtol=1e-6)


def test_predictions_of_the_unmodified_model(idata):
    predicted = idata.posterior_predictive["y"]
    assert predicted.shape == (2, 150, ROWS)
    # One prediction a draw: standardised by that draw they are standard normal, 18,000 of them.
    draws = idata.posterior
    mean = draws["beta"].values @ X.T
    z = (predicted.values - mean) / draws["sigma"].values[..., None]
    assert abs(z.mean()) < 5 / np.sqrt(z.size) and abs(z.std() - 1) < 5 / np.sqrt(2 * z.size)


def check_same(read, idata):
    assert set(read.groups) == set(idata.groups)
    for name, group in idata.children.items():
        again = read[name].to_dataset().load()
        assert again.equals(group.to_dataset()), name
        assert {key: list(np.ravel(value)) for key, value in again.attrs.items()} == {
            key: list(np.ravel(value)) for key, value in group.attrs.items()
        }
    stats = read["sample_stats"]
    assert set(SGLD.stats_dtypes_shapes) - {"warning"} <= set(stats.data_vars)
    assert run_settings(read) == run_settings(idata)


def test_netcdf(idata, tmp_path):
    idata.to_netcdf(tmp_path / "run.nc", engine="h5netcdf")
    with az.from_netcdf(tmp_path / "run.nc", engine="h5netcdf") as read:
        check_same(read, idata)


@pytest.mark.filterwarnings("ignore:Consolidated metadata")  # zarr, of its own format 3
def test_zarr(idata, tmp_path):
    pytest.importorskip("zarr", reason="zarr is not installed")
    idata.to_zarr(tmp_path / "run.zarr")
    check_same(az.from_zarr(tmp_path / "run.zarr"), idata)


@pytest.mark.filterwarnings(FEW_DRAWS)
def test_selections_and_thinned_results(idata):
    later = idata.isel(draw=slice(50, None))
    assert thin_by_step_size(later, 1).posterior.sizes["draw"] == 100  # a constant step size
    assert az.loo(thin_by_step_size(later, 1)).n_samples == 200
    with pytest.warns(SGLDWarning, match=r"too few draws to judge a chain \(\d of 2\)"):
        table = compare(idata, later)
    assert {"sigma", "sigma_log__", "beta[dose]", "ratio"} <= set(table.index)
