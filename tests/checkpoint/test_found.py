"""What was found before sampling is not searched again, and is the same to the bit."""

import warnings

import numpy as np
import pymc as pm
import pytest

from pymc_sgld import SGLD, SettingError, SGLDWarning
from pymc_sgld.setup import prepare as of_step
from tests.checkpoint.stopped import Stopped, different, model, sample
from tests.models import EVEN, PASSED

FAST = {"compile_kwargs": {"mode": "FAST_COMPILE"}}
RUN = {"draws": 15, "tune": 10, "chains": 1}
MODEL = model(np.random.default_rng(2).normal(3, 2, size=300))


def groups():
    """Effects that are integrated out."""
    with pm.Model() as of:
        effect = pm.Normal("effect", pm.Normal("mean"), 1, shape=7)
        pm.Bernoulli("y", logit_p=effect[EVEN], observed=PASSED)
    return of


def searched_again(*arguments):
    raise AssertionError


def long(*parameters):
    return pytest.param(*parameters, marks=pytest.mark.long)


@pytest.mark.parametrize(
    ("of", "settings"),
    [
        (MODEL, {"gradient": "svrg", "preconditioner": "laplace_diagonal", "batch_size": 100}),
        long(MODEL, {}),
        long(MODEL, {"gradient": "taylor", "batch_size": 100}),
        long(MODEL, {"gradient": "saga", "batch_size": 100}),
        long(MODEL, {"subtract_noise": True, "batch_size": 100}),
        long(MODEL, {"gradient": "minibatch", "batch_size": 100}),
        long(groups(), {"marginalize": "effect", "batch_size": 5}),
    ],
    ids=lambda each: ",".join(map(str, each.values())) if isinstance(each, dict) else "",
)
def test_nothing_is_searched_again(of, settings, folder, monkeypatch):
    settings = settings | FAST | {"model": of, "checkpoint": folder}
    step = SGLD(**settings)
    with pytest.raises(Stopped):
        sample(of, step, (0, 5), **RUN)
    monkeypatch.setattr(of_step, "choose", searched_again)
    again = SGLD(**settings)
    found = sample(of, again, **RUN)
    monkeypatch.setattr(step, "_checkpoint", None)
    assert different(sample(of, step, **RUN), found, but=()) == []
    assert repr(step) == repr(again)


def test_batches_have_the_size_that_was_chosen(folder, monkeypatch):
    """Which is all rows here, and not what a call without it begins with."""
    monkeypatch.setattr("pymc_sgld.tuning.choices._ROUGH", 0.0)
    settings = FAST | {"model": MODEL, "checkpoint": folder}
    step = SGLD(**settings)
    assert step.batch_size == 300
    monkeypatch.setattr(of_step, "choose", searched_again)
    again = SGLD(**settings)
    assert again.batch_size == 300 and repr(step) == repr(again)


def test_what_the_search_said_is_said_again(folder, monkeypatch):
    """And the seconds are those of the search."""
    choose = of_step.choose

    def with_a_doubt(*arguments):
        warnings.warn("a doubt", SGLDWarning, stacklevel=2)
        return choose(*arguments)

    monkeypatch.setattr(of_step, "choose", with_a_doubt)
    settings = FAST | {"model": MODEL, "step_size": 1e-3, "checkpoint": folder}
    settings |= {"gradient": "minibatch", "preconditioner": "identity"}
    with pytest.warns(SGLDWarning, match="a doubt"):
        first = SGLD(**settings)
    monkeypatch.setattr(of_step, "choose", searched_again)
    with pytest.warns(SGLDWarning, match="a doubt"):
        assert SGLD(**settings).setup_seconds == first.setup_seconds


def test_a_search_that_fails_leaves_a_folder_that_can_be_used(folder, monkeypatch):
    settings = FAST | {"model": MODEL, "step_size": 1e-3, "checkpoint": folder}
    settings |= {"gradient": "minibatch", "preconditioner": "identity"}
    with monkeypatch.context() as patch:
        patch.setattr(of_step, "choose", lambda *arguments: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            SGLD(**settings)
    SGLD(**settings)


@pytest.mark.long
def test_effects_that_were_not_recorded(folder):
    of = groups()
    settings = FAST | {"model": of, "marginalize": "effect", "batch_size": 5, "step_size": 1e-3}
    settings |= {"gradient": "minibatch", "preconditioner": "identity", "checkpoint": folder}
    sample(of, SGLD(**settings), var_names=["mean"], chains=1)
    with pytest.raises(SettingError, match=r"other var_names: \['effect'\] were recorded"):
        sample(of, SGLD(**settings), chains=1)
