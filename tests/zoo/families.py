"""Every univariate distribution as an outcome, one or two of its parameters a regression."""

import numpy as np
import pymc as pm

from tests.zoo.catalogue import selectable
from tests.zoo.data import COLUMNS, X, angle, binary, counts, exposure, positive, trials, unit, y

identity, exp, sigmoid = (lambda eta: eta), pm.math.exp, pm.math.sigmoid

# Distribution: what is observed, the link of every parameter that is a regression, the others.
FAMILIES = {
    pm.AsymmetricLaplace: (y, {"mu": identity, "kappa": exp}, {"b": 1}),
    pm.Bernoulli: (binary, {"p": sigmoid}, {}),
    pm.Beta: (unit, {"alpha": exp, "beta": exp}, {}),
    pm.BetaBinomial: (counts, {"alpha": exp, "beta": exp}, {"n": trials}),
    pm.Binomial: (counts, {"p": sigmoid}, {"n": trials}),
    pm.Cauchy: (y, {"alpha": identity, "beta": exp}, {}),
    pm.ChiSquared: (positive, {"nu": exp}, {}),
    pm.DiscreteWeibull: (counts, {"q": sigmoid, "beta": exp}, {}),
    pm.ExGaussian: (y, {"mu": identity, "nu": exp}, {"sigma": 1}),
    pm.Exponential: (positive, {"lam": exp}, {}),
    pm.Gamma: (positive, {"alpha": exp, "beta": exp}, {}),
    pm.Geometric: (counts + 1, {"p": sigmoid}, {}),
    pm.Gumbel: (y, {"mu": identity, "beta": exp}, {}),
    pm.HalfCauchy: (positive, {"beta": exp}, {}),
    pm.HalfNormal: (positive, {"sigma": exp}, {}),
    pm.HalfStudentT: (positive, {"sigma": exp, "nu": exp}, {}),
    pm.InverseGamma: (positive, {"alpha": exp, "beta": exp}, {}),
    pm.Kumaraswamy: (unit, {"a": exp, "b": exp}, {}),
    pm.Laplace: (y, {"mu": identity, "b": exp}, {}),
    pm.Logistic: (y, {"mu": identity, "s": exp}, {}),
    pm.LogitNormal: (unit, {"mu": identity, "sigma": exp}, {}),
    pm.LogNormal: (positive, {"mu": identity, "sigma": exp}, {}),
    pm.Moyal: (y, {"mu": identity, "sigma": exp}, {}),
    pm.NegativeBinomial: (counts, {"mu": exp, "alpha": exp}, {}),
    pm.Normal: (y, {"mu": identity, "tau": exp}, {}),
    pm.Pareto: (positive + 1, {"alpha": exp}, {"m": 0.5}),
    pm.Poisson: (counts, {"mu": exp}, {}),
    pm.Rice: (positive, {"nu": exp, "sigma": exp}, {}),
    pm.SkewNormal: (y, {"mu": identity, "alpha": identity}, {"sigma": 1}),
    pm.SkewStudentT: (y, {"mu": identity, "a": exp}, {"b": 2, "sigma": 1}),
    pm.StudentT: (y, {"mu": identity, "nu": exp}, {"sigma": 1}),
    pm.Triangular: (unit, {"c": sigmoid}, {"lower": 0, "upper": 1}),
    pm.TruncatedNormal: (positive, {"mu": identity, "sigma": exp}, {"lower": 0}),
    pm.Uniform: (unit, {"upper": lambda eta: 1 + exp(eta)}, {"lower": 0}),
    pm.VonMises: (angle, {"mu": identity, "kappa": exp}, {}),
    pm.Wald: (positive, {"mu": exp, "lam": exp}, {}),
    pm.Weibull: (positive, {"alpha": exp, "beta": exp}, {}),
    pm.ZeroInflatedBinomial: (counts, {"psi": sigmoid, "p": sigmoid}, {"n": trials}),
    pm.ZeroInflatedNegativeBinomial: (counts, {"psi": sigmoid, "mu": exp}, {"alpha": 2}),
    pm.ZeroInflatedPoisson: (counts, {"psi": sigmoid, "mu": exp}, {}),
    pm.HurdleGamma: (positive * binary, {"psi": sigmoid, "alpha": exp}, {"beta": 1}),
    pm.HurdleLogNormal: (positive * binary, {"psi": sigmoid, "mu": identity}, {"sigma": 1}),
    pm.HurdleNegativeBinomial: (counts, {"psi": sigmoid, "mu": exp}, {"alpha": 2}),
    pm.HurdlePoisson: (counts, {"psi": sigmoid, "mu": exp}, {}),
}


def _enter(family, observed, links, others):
    def body():
        regressions = {
            name: link(X @ pm.Normal(f"beta_{name}", 0, 0.3, shape=COLUMNS))
            for name, link in links.items()
        }
        family("y", **regressions, **others, observed=observed)

    body.__name__ = f"family_{family.__name__}"
    return selectable(body)


for _family, _model in FAMILIES.items():
    _enter(_family, *_model)


@selectable
def discrete_uniform():
    beta = pm.Normal("beta", shape=COLUMNS)  # reads the data beside an outcome without parameters
    pm.DiscreteUniform("k", 0, counts + 2, observed=counts)
    pm.Normal("y", X @ beta, 1, observed=y)


@selectable
def hypergeometric():
    pm.HyperGeometric("k", N=60, k=30, n=trials, observed=np.minimum(counts, trials))
    pm.Normal("y", pm.Normal("mean"), 1, observed=y)


@selectable
def interpolated():
    points = np.linspace(-8, 8, 33)
    shift = X @ pm.Normal("beta", 0, 0.1, shape=COLUMNS)
    pm.Interpolated("y", points, np.exp(-(points**2) / 8), observed=y)
    pm.Normal("z", shift, 1, observed=y)


@selectable
def point_mass():
    pm.DiracDelta("zero", 0, observed=np.zeros(len(y), dtype=int))
    pm.Gamma("y", mu=exp(X @ pm.Normal("beta", shape=COLUMNS)), sigma=1, observed=exposure)
