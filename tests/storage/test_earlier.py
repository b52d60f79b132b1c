"""What a step found is saved, and another step takes it over: or it is refused, by name."""

import errno
import os
import warnings
from pathlib import Path

import numpy as np
import pymc as pm
import pytest
import xarray as xr

from pymc_sgld import (
    MALA,
    SGHMC,
    SGLD,
    SGNHT,
    DataError,
    ReplicaExchange,
    SettingError,
    SGLDWarning,
)
from pymc_sgld.storage import earlier, files
from tests.graphs import QUICK
from tests.models import EVEN, PASSED
from tests.runs import draws, same

FAST = {"compile_kwargs": {"mode": "FAST_COMPILE"}, "progressbar": False}
WHOLE = FAST | {"full": "y"}  # no noise of gradients, whose measurement takes seconds
ROWS = np.random.default_rng(2).normal(3, 2, size=600)


def model(rows=ROWS, prior=10.0):
    with pm.Model(coords={"one": range(1)}) as model:
        mean = pm.Normal("mean", 0, prior, dims="one")
        pm.Normal("y", mean[0], pm.HalfNormal("sigma", 5), observed=rows)
    return model


@pytest.fixture(scope="module")
def step():
    """It has seen all rows but six."""
    return SGLD(model=model(ROWS[:-6]), **WHOLE)


@pytest.fixture
def path(step, tmp_path):
    step.save(tmp_path / "settings.npz")
    return tmp_path / "settings.npz"


def searched(*arguments):
    raise AssertionError


@pytest.fixture
def no_search(monkeypatch):
    monkeypatch.setattr("pymc_sgld.tuning.locate.approximate", searched)


def test_a_step_and_its_file_are_the_same(step, path, no_search):
    one, other = (SGLD(model=model(), settings=each, **WHOLE) for each in (step, path))
    assert repr(one) == repr(other)
    point = model().initial_point()
    for (a, _), (b, _) in zip(draws(one, point, 3), draws(other, point, 3), strict=True):
        assert same(a, b)


@pytest.mark.parametrize(
    ("rows", "tolerance"),
    [(ROWS, 0.1), (ROWS[:200] + 10, 0.2)],
    ids=["more", "others, 80 standard deviations away"],
)
def test_the_posterior_is_that_of_a_search(path, rows, tolerance):
    """Whether it was followed or searched."""
    fresh = SGLD(model=model(rows), **WHOLE)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        again = SGLD(model=model(rows), settings=path, **WHOLE)
    found, there = again._found.gaussian, fresh._found.gaussian
    assert np.linalg.norm(there.shape.whiten(found.mean - there.mean)) < tolerance
    np.testing.assert_allclose(found.shape.variances, there.shape.variances, rtol=2 * tolerance)
    assert [w for w in said if "searched as usual" in str(w.message)] or found.center is not None


def test_what_was_chosen_is_taken_over_where_the_noise_is_the_same(monkeypatch):
    """And chosen again where it is not: here one row of nine has all there is to know."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=1500)

    def of(x):
        with pm.Model() as model:
            slope = pm.Normal("slope", 0, 1)
            pm.Bernoulli("y", logit_p=slope * x, observed=rng.random(len(x)) < 0.5)
        return model

    first = SGLD(model=of(x[:1480]), **FAST)
    chosen = first._found.chosen
    rare = np.where(np.arange(len(x)) % 9, 0, 3 * x)
    assert SGLD(model=of(rare), settings=first, **FAST)._found.chosen.noise > 2 * chosen.noise
    assert SGLD(model=of(x[:100]), settings=first, **FAST).batch_size == 100  # less than a batch
    monkeypatch.setattr("pymc_sgld.tuning.choices._chosen", searched)
    again = SGLD(model=of(x), settings=first, **FAST)
    assert again._found.chosen == chosen
    assert again.schedule.step_size == chosen.step_size


@pytest.mark.long
def test_noise_in_one_direction_of_many():
    """A column of 30 is now in a few rows: all noise together grows by half at most, its own more.

    The posterior is as wide as it was.
    """
    rng = np.random.default_rng(4)
    x = rng.normal(size=(3000, 30))
    few = rng.choice(3000, 30, replace=False)
    other = x.copy()
    other[:, 0] = 0
    other[few, 0] = rng.choice([-10, 10], size=30)

    def of(x):
        with pm.Model() as model:
            slopes = pm.Normal("slopes", 0, 10, shape=30)
            pm.Normal(
                "y", pm.math.dot(x, slopes), 1, observed=x.sum(axis=1) + rng.normal(size=3000)
            )
        return model

    settings = FAST | {"batch_size": 50}
    first = SGLD(model=of(x), **settings)
    assert SGLD(model=of(x), settings=first, **settings)._found.chosen == first._found.chosen
    fresh, again = (
        SGLD(model=of(other), settings=each, **settings).schedule.step_size
        for each in (None, first)
    )
    assert again == pytest.approx(fresh, rel=0.3) and again < 0.7 * first.schedule.step_size


@pytest.mark.parametrize(
    ("sampler", "settings"),
    [
        (SGHMC, WHOLE),
        (MALA, FAST),
        pytest.param(SGNHT, FAST, marks=pytest.mark.long),
        pytest.param(ReplicaExchange, WHOLE, marks=pytest.mark.long),
    ],
)
def test_the_settings_of_another_sampler(path, sampler, settings, no_search):
    assert sampler(model=model(), settings=path, **settings).preconditioner == "laplace"


def test_what_does_not_fit_is_said(path, monkeypatch):
    monkeypatch.setattr("pymc_sgld.tuning.locate.verified", lambda *arguments: None)
    fresh = SGLD(model=model(ROWS + 1), **WHOLE)
    with pytest.warns(
        SGLDWarning, match=r"1. standard deviations away \(mean\[0\]\).*searched"
    ) as said:
        again = SGLD(model=model(ROWS + 1), settings=path, **WHOLE)
    assert said[0].filename == __file__
    assert repr(again) == repr(fresh)


def other_model(**changes):
    """A model with one thing changed."""
    of = {"name": "mean", "shape": (1,), "dims": ("one",), "scale": pm.HalfNormal} | changes
    with pm.Model(coords={"one": range(1), "two": range(1)}) as model:
        mean = pm.Normal(of["name"], 0, 10, shape=of["shape"], dims=of["dims"])
        pm.Normal("y", mean.sum(), of["scale"]("sigma", 5), observed=ROWS)
    return model


def uniform(name, scale):
    return pm.Uniform(name, 0, scale)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "mu"}, r'"mean" is not here; "mu" is not there'),
        ({"shape": (2,), "dims": None}, r'"mean" has the shape \(1,\) there and \(2,\) here'),
        ({"dims": ("two",)}, r'"mean" has the dims \(.one.,\) there and \(.two.,\) here'),
        ({"scale": uniform}, r'"sigma" is "sigma_log__" there and "sigma_interval__" here'),
    ],
    ids=["name", "shape", "dims", "transform"],
)
def test_another_model_is_refused(path, changes, message):
    with pytest.raises(SettingError, match=f"another model. What differs: {message}. Leave"):
        SGLD(model=other_model(**changes), settings=path, **WHOLE)


def test_another_order_is_refused(path):
    of = model()
    with pytest.raises(SettingError, match=r"the order of vars, \['mean', 'sigma'\] there"):
        SGLD([of["sigma"], of["mean"]], model=of, settings=path, **WHOLE)


def test_where_nothing_is_looked_for(path, tmp_path):
    textbook = QUICK | {"step_size": 1e-3, "model": model()}
    with pytest.raises(SettingError, match=r"there is none: leave it out"):
        SGLD(settings=path, **textbook)
    step = SGLD(**textbook)
    with pytest.raises(SettingError, match="nothing to save"):
        step.save(tmp_path / "nothing.npz")
    with pytest.raises(SettingError, match="nothing to save or to take over"):
        SGLD(settings=step, model=model(), **WHOLE)
    with pytest.raises(SettingError, match=r"center= and settings= both"):
        SGLD(settings=path, center={}, model=model(), **WHOLE)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "no file that step.save made"), (b"PK", "is damaged"), (None, "No such file")],
    ids=["empty", "another", "none"],
)
def test_files_that_are_none(tmp_path, content, message):
    path = tmp_path / "x.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        SGLD(model=model(), settings=path, **WHOLE)


def test_a_torn_file(path):
    whole = path.read_bytes()
    for length in range(0, len(whole), len(whole) // 7):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match="damaged"):
            earlier.Earlier.read(path)
    assert "mean".encode("utf-32-le") in whole
    path.write_bytes(whole.replace("mean".encode("utf-32-le"), "near".encode("utf-32-le")))
    with pytest.raises(DataError, match="damaged"):
        earlier.Earlier.read(path)


def test_what_has_no_settings(tmp_path):
    np.save(tmp_path / "x.npy", ROWS)
    np.savez(tmp_path / "x.npz", ROWS)
    for name in ("x.npy", "x.npz"):
        with pytest.raises(DataError, match="no file that step"):
            SGLD(model=model(), settings=tmp_path / name, **WHOLE)
    with pytest.raises(DataError, match="is a folder"):
        SGLD(model=model(), settings=tmp_path, **WHOLE)
    with pytest.raises(SettingError, match="settings is of type DataTree: pass a step"):
        SGLD(model=model(), settings=xr.DataTree(), **WHOLE)
    with pytest.raises(SettingError, match="path is of type NoneType: pass that of the file"):
        SGLD(model=model(), **WHOLE).save(None)


def test_another_format(path, step, monkeypatch):
    monkeypatch.setattr(earlier, "FORMAT", 0)
    step.save(path)
    monkeypatch.undo()
    with pytest.raises(SettingError, match=r"saved by pymc_sgld .* in another format"):
        earlier.Earlier.read(path)


def test_a_full_disk_leaves_what_was_there(path, step, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    before = path.read_bytes()
    monkeypatch.setattr(files, "flush", full)
    with pytest.raises(DataError, match=r"cannot save to .*No space left"):
        step.save(path)
    assert path.read_bytes() == before and os.listdir(path.parent) == [path.name]
    with pytest.raises(DataError, match=r"cannot save to"):
        step.save(Path(path.parent) / "nowhere" / "x.npz")


def test_with_a_checkpoint(path, tmp_path, no_search):
    """What was found with the settings is on disk: they are not looked at again."""
    of = WHOLE | {"model": model(), "checkpoint": tmp_path / "run"}
    first = SGLD(settings=path, **of)
    again = SGLD(**of)
    assert repr(again) == repr(first) and again._found.chosen == first._found.chosen


@pytest.mark.long
def test_rows_from_sources(step, no_search):
    with pm.Model(coords={"one": range(1)}) as of:
        mean = pm.Normal("mean", 0, 10, dims="one")
        pm.Normal("y", mean[0], pm.HalfNormal("sigma", 5), observed=ROWS[:5])
    again = SGLD(model=of, settings=step, data={"y": ROWS}, **FAST)
    assert again.total_size == len(ROWS)


@pytest.mark.long
def test_effects_that_are_integrated_out(monkeypatch, tmp_path):
    """By as many nodes as before; and what the old step did not integrate out stays as it was."""
    with pm.Model() as of:
        effect = pm.Normal("effect", pm.Normal("mean"), 1, shape=7)
        pm.Bernoulli("y", logit_p=effect[EVEN], observed=PASSED)
    first = SGLD(model=of, marginalize="effect", batch_size=35, **FAST)
    first.save(tmp_path / "x")
    monkeypatch.setattr("pymc_sgld.tuning.locate.approximate", None)
    again = SGLD(model=of, marginalize="effect", batch_size=35, settings=tmp_path / "x", **FAST)
    assert again._found.nodes == first._found.nodes
    assert again.integrated_out == 1 and again.coordinate_names == ["mean"]
    with pytest.raises(SettingError, match=r"integrated out: \['effect'\] there, none here"):
        SGLD(model=of, marginalize=False, settings=tmp_path / "x", **WHOLE)
