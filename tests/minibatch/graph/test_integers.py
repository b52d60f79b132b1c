"""Distributions whose arguments are integers: what is computed of them must not overflow."""

import numpy as np
import pymc as pm
import pytensor
import pytest
from pytensor.compile.mode import Mode

from pymc_sgld import DataError, MinibatchError
from pymc_sgld.minibatch.model import Minibatcher
from pymc_sgld.minibatch.position import Inputs
from pymc_sgld.minibatch.terms import make_terms

pytestmark = pytest.mark.filterwarnings("ignore:No safe default transform")  # of HurdleGamma
PLAIN = Mode("py", None)
COUNTS = {"n", "N", "k"}  # which have to be integers

# those of which PyMC's compiled density is right, and those that overflow in PyMC too
RIGHT = {
    "AsymmetricLaplace": {"kappa": 3, "mu": 2, "b": 100},
    "Bernoulli": {"p": 1},
    "Cauchy": {"alpha": 100, "beta": 100},
    "ChiSquared": {"nu": 100},
    "DiscreteUniform": {"lower": -100, "upper": 100},
    "DiscreteWeibull": {"q": 0.5, "beta": 3},
    "Exponential": {"lam": 100},
    "Gamma": {"alpha": 100, "beta": 100},
    "Gumbel": {"mu": 100, "beta": 100},
    "HalfCauchy": {"beta": 100},
    "HalfNormal": {"sigma": 100},
    "HalfStudentT": {"nu": 3, "sigma": 10},
    "HurdleGamma": {"psi": 0.5, "alpha": 100, "beta": 100},
    "HurdleNegativeBinomial": {"psi": 0.5, "mu": 100, "alpha": 100},
    "HurdlePoisson": {"psi": 0.5, "mu": 100},
    "HyperGeometric": {"N": 100, "k": 100, "n": 100},
    "InverseGamma": {"alpha": 100, "beta": 100},
    "Kumaraswamy": {"a": 100, "b": 100},
    "LogNormal": {"mu": 1, "sigma": 3},
    "Logistic": {"mu": 100, "s": 100},
    "LogitNormal": {"mu": 1, "sigma": 100},
    "Moyal": {"mu": 100, "sigma": 100},
    "NegativeBinomial": {"mu": 100, "alpha": 100},
    "Normal": {"mu": 100, "sigma": 100},
    "Pareto": {"alpha": 100, "m": 100},
    "Poisson": {"mu": 100},
    "Rice": {"nu": 100, "sigma": 100},
    "SkewNormal": {"mu": 100, "sigma": 100, "alpha": 100},
    "StudentT": {"nu": 100, "mu": 100, "sigma": 100},
    "VonMises": {"mu": 1, "kappa": 100},
    "Wald": {"mu": 100, "lam": 100, "alpha": 0},
    "Weibull": {"alpha": 100, "beta": 100},
    "ZeroInflatedBinomial": {"psi": 0.5, "n": 100, "p": 0.5},
    "ZeroInflatedNegativeBinomial": {"psi": 0.5, "mu": 100, "alpha": 100},
    "ZeroInflatedPoisson": {"psi": 0.5, "mu": 100},
}
OVERFLOW = {
    "Beta": {"alpha": 100, "beta": 100},
    "BetaBinomial": {"n": 100, "alpha": 100, "beta": 100},
    "ExGaussian": {"mu": 5, "sigma": 20, "nu": 10},
    "Laplace": {"mu": 100, "b": 100},
    "SkewStudentT": {"a": 100, "b": 100, "mu": 100, "sigma": 100},
    "Triangular": {"lower": -100, "c": 3, "upper": 100},
    "TruncatedNormal": {"mu": 100, "sigma": 100, "lower": -100, "upper": 100},
    "Uniform": {"lower": -100, "upper": 100},
}


def build(distributions, kind=int):
    """Return a model of these distributions, their arguments integers or floats."""
    with pm.Model() as model:
        for name, arguments in distributions.items():
            values = {
                k: v if k in COUNTS or isinstance(v, float) else kind(v)
                for k, v in arguments.items()
            }
            getattr(pm, name)(name, **values)
    return model


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_terms_are_those_of_floats(dtype):
    """As the graphs are, nothing rewritten: so they are evaluated before sampling."""
    with pytensor.config.change_flags(floatX=dtype):
        model, plain = build(RIGHT | OVERFLOW), build(RIGHT | OVERFLOW, float)
        point = plain.initial_point()
        inputs = Inputs(model, model.continuous_value_vars, point)
        terms, fixed = make_terms(model, inputs)
    found = fixed.evaluate([term.graph for term in terms], inputs.values, PLAIN)
    logps = plain.logp(vars=plain.free_RVs, sum=False)
    expected = pytensor.function(plain.value_vars, logps, mode=PLAIN)(*point.values())
    for term, ours, theirs in zip(terms, found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5, err_msg=term.name)
        assert term.graph.type.dtype == term.reference.type.dtype


def test_right_ones_are_those_of_pymc():
    """PyMC's density is compared at the start: of all of them at once, to compile once."""
    model = build(RIGHT)
    Minibatcher(model, model.continuous_value_vars, model.initial_point()).density()


@pytest.mark.parametrize("name", OVERFLOW)
def test_those_that_overflow_in_pymc_are_refused(name):
    """There is no telling which density is meant: that of the text, or that of NUTS."""
    model = build({name: OVERFLOW[name], "Normal": {"mu": 0, "sigma": 1}})
    point = build({name: OVERFLOW[name], "Normal": {"mu": 0, "sigma": 1}}, float).initial_point()
    with pytest.raises((DataError, MinibatchError), match=rf'"{name}" .*Write them as floats'):
        Minibatcher(model, model.continuous_value_vars, point).density()
