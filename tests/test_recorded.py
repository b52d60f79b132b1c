"""What a run records is asked of the call of pm.sample."""

import numpy as np
import pymc as pm
import pytest

from pymc_sgld.recorded import ALL, recorded_names
from tests.runs import RUN


@pytest.fixture(scope="module")
def model():
    with pm.Model() as model:
        pm.Deterministic("double", 2 * pm.Normal("a"))
        pm.Normal("b")
    return model


@pytest.mark.parametrize(
    ("var_names", "names"),
    [(None, ALL), (["a"], ["a"]), (("double", "b"), ["double", "b"])],
    ids=str,
)
def test_names_of_a_run(model, var_names, names):
    seen = []

    def callback(trace, draw):
        seen.append(recorded_names(outside="none"))

    with model:
        pm.sample(step=pm.Metropolis(), var_names=var_names, callback=callback, **RUN)
    assert seen and all(each == names for each in seen)


def test_names_outside_a_run():
    """Of another function of that name, too."""

    def sample(var_names):
        return recorded_names(), recorded_names(["a"])

    assert sample(["b"]) == (ALL, ["a"])
    assert np.ndim(recorded_names()) == 0
