"""`log_likelihood`: what PyMC computes, block by block."""

import arviz as az
import numpy as np
import pymc as pm
import pytest
import xarray as xr

from pymc_sgld import DataError, SettingError, log_likelihood, loo
from pymc_sgld.results import likelihood


def test_it_is_that_of_pymc_in_memory_and_on_disk(regression, monkeypatch, tmp_path):
    monkeypatch.setattr(likelihood, "BLOCK", 64)
    expected = regression.idata.log_likelihood["y"]
    found = log_likelihood(regression.idata, regression.model)
    assert found["y"].dims == expected.dims and found.attrs == {"draws": 400}
    np.testing.assert_allclose(found["y"], expected, rtol=1e-12)
    data = {"X": regression.X, "y": regression.y}
    path = tmp_path / "found"
    stored = log_likelihood(regression.idata, regression.model, path=path, data=data)
    xr.testing.assert_allclose(stored.load(), found)
    complete = xr.DataTree.from_dict(
        {"posterior": regression.idata.posterior.to_dataset(), "log_likelihood": found}
    )
    assert az.loo(complete).elpd == pytest.approx(az.loo(regression.idata).elpd)
    few = log_likelihood(regression.idata, regression.model, draws=10)
    assert dict(few.sizes) == {"chain": 2, "draw": 5, "y_dim_0": 300}
    np.testing.assert_allclose(few["y"], expected.sel(draw=few["draw"]))
    with pytest.raises(SettingError, match="there already"):
        log_likelihood(regression.idata, regression.model, path=path)


def test_an_interrupt_leaves_nothing_behind(regression, monkeypatch, tmp_path):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(likelihood.RowLikelihood, "at", interrupted)
    with pytest.raises(KeyboardInterrupt):
        log_likelihood(regression.idata, regression.model, path=tmp_path / "found")
    assert not list(tmp_path.iterdir())


def test_draws_in_another_order():
    """Of dimensions, and of labels: both are known by name."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(9, 2))
    with pm.Model(coords={"row": [1, 2], "column": ["b", "a"]}) as model:
        slopes = pm.Normal("slopes", dims=("row", "column"))
        pm.Normal("y", x @ slopes, 1, observed=x)
    dims = ("chain", "draw", "row", "column")
    draws = xr.DataArray(rng.normal(size=(1, 5, 2, 2)), {"row": [1, 2], "column": ["b", "a"]}, dims)
    posterior = draws.to_dataset(name="slopes")
    other = posterior.sortby("column").transpose("column", "row", "draw", "chain")
    one, two = (log_likelihood(each, model)["y"] for each in (posterior, other))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("function", [log_likelihood, loo])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [(np.nan, "draws of .* are not finite"), (1j, "have dtype complex128"), ("a", "have dtype <U")],
)
def test_draws_that_cannot_be_used_are_refused(regression, function, wrong, message):
    """One of the first draws is enough."""
    posterior = regression.idata.posterior.to_dataset()
    name = next(iter(posterior.data_vars))
    spoilt = posterior[name].astype(type(wrong)) if wrong != "a" else posterior[name].astype(str)
    spoilt[0, 0] = wrong
    with pytest.raises(SettingError, match=message):
        function(posterior.assign({name: spoilt}), regression.model)


@pytest.mark.parametrize("function", [log_likelihood, loo])
def test_draws_outside_of_the_support_are_those_of_idata(function):
    """There is no initial point that could be passed."""
    with pm.Model() as model:
        end = pm.Uniform("end", 0, 100)
        pm.Uniform("y", 0, end, observed=np.linspace(0, 9.9, 200))
    draws = az.from_dict({"posterior": {"end": np.full((2, 50), 5.0)}})
    with pytest.raises(
        DataError, match=r"at the last draw of idata in .* that was sampled"
    ) as error:
        function(draws, model)
    assert "initial" not in str(error.value)
