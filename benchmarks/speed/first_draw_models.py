"""Models that take long to their first draw, or once did: the ones of ``first_draw.py``.

What takes long differs: many rows, many coordinates, a density that is dear to differentiate, a
posterior without a Gaussian to start from. Data are simulated, but for radon and a9a.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pandas as pd
import pymc as pm
import pytensor.tensor as pt
from known_posteriors import hierarchical, published


def centered_groups() -> pm.Model:
    """Varying intercepts of 396 groups, centered: 8,000 rows."""
    rng = np.random.default_rng(1)
    group, x = rng.integers(396, size=8_000), rng.standard_normal(8_000)
    y = rng.standard_normal(396)[group] + 0.5 * x + rng.standard_normal(8_000)
    with pm.Model() as model:
        mean, spread = pm.Normal("mean"), pm.HalfNormal("spread", 1)
        intercept = pm.Normal("intercept", mean, spread, shape=396)
        slope, noise = pm.Normal("slope"), pm.HalfNormal("noise", 1)
        pm.Normal("y", intercept[group] + slope * x, noise, observed=y)
    return model


def weak_funnel() -> pm.Model:
    """Nine groups that say little about the log variance of their effects: 900 rows."""
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(9), 100)
    with pm.Model() as model:
        log_variance = pm.Normal("log_variance", 0, 3)
        effect = pm.Normal("effect", 0, pt.exp(log_variance / 2), shape=9)
        pm.Normal("y", effect[group], 30, observed=rng.normal(0, 30, 900))
    return model


def dirichlet_multinomial() -> pm.Model:
    """Overdispersed counts in five classes: 20,000 rows."""
    rng = np.random.default_rng(1)
    total = rng.integers(20, 100, 20_000)
    shares = rng.dirichlet(15 * np.array([0.4, 0.3, 0.2, 0.05, 0.05]), 20_000)
    with pm.Model() as model:
        fraction = pm.Dirichlet("fraction", np.ones(5))
        concentration = pm.LogNormal("concentration", 2, 1)
        counts = rng.multinomial(total, shares)
        pm.DirichletMultinomial("y", n=total, a=fraction * concentration, observed=counts)
    return model


def negative_binomial() -> pm.Model:
    """Overdispersed counts with a free dispersion: 30,000 rows, 8 columns."""
    rng = np.random.default_rng(1)
    X = rng.standard_normal((30_000, 8))
    expected = np.exp(1 + X @ np.linspace(-0.4, 0.4, 8))
    with pm.Model() as model:
        intercept, beta = pm.Normal("intercept", 0, 2), pm.Normal("beta", 0, 1, shape=8)
        dispersion = pm.HalfNormal("dispersion", 5)
        mu = pt.exp(intercept + pm.Data("X", X) @ beta)
        counts = rng.negative_binomial(2, 2 / (2 + expected))
        pm.NegativeBinomial("y", mu=mu, alpha=dispersion, observed=counts)
    return model


def ordinal_countries() -> pm.Model:
    """Ordered answers with ten levels in 97 countries: 330,000 rows."""
    rng = np.random.default_rng(1)
    country, x = rng.integers(97, size=330_000), rng.standard_normal(330_000)
    score = 0.3 * x + rng.normal(0, 0.7, 97)[country] + rng.logistic(size=330_000)
    cut = np.array([1.0, 1.4, 1.7, 2.0, 2.3, 2.6, 2.9, 3.2, 3.6])
    ordered = pm.distributions.transforms.ordered
    with pm.Model() as model:
        cutpoints = pm.Normal("cutpoints", cut, 1, transform=ordered, shape=9)
        slope, spread = pm.Normal("slope"), pm.HalfNormal("spread", 1)
        eta = slope * x + spread * pm.Normal("offset", shape=97)[country]
        level = np.searchsorted(cut, score)
        pm.OrderedLogistic("y", eta=eta, cutpoints=cutpoints, observed=level, compute_p=False)
    return model


def crossed_t() -> pm.Model:
    """Delays with outliers, a spline and two crossed factors, non-centered: 330,000 rows."""
    rng = np.random.default_rng(1)
    day, carrier = rng.integers(105, size=330_000), rng.integers(16, size=330_000)
    basis, x = rng.dirichlet(np.ones(5), 330_000), rng.standard_normal(330_000)
    effects = rng.normal(0, 3, 105)[day] + rng.standard_normal(16)[carrier]
    delay = basis @ [0, 4, 8, 3, 1] + 2 * x + effects + 12 * rng.standard_t(3, 330_000)
    with pm.Model() as model:
        spline, slope = pm.Normal("spline", 0, 20, shape=5), pm.Normal("slope", 0, 20)
        noise, nu = pm.HalfStudentT("noise", nu=4.0, sigma=10.0), pm.Gamma("nu", 2.0, 0.1)
        days = pm.HalfNormal("day_spread", 10) * pm.Normal("day", shape=105)
        carriers = pm.HalfNormal("carrier_spread", 10) * pm.Normal("carrier", shape=16)
        mu = pm.Data("basis", basis) @ spline + slope * x + days[day] + carriers[carrier]
        pm.StudentT("delay", nu=nu, mu=mu, sigma=noise, observed=delay)
    return model


def small_network() -> pm.Model:
    """A network 5-16-16-16-16-2 for a mean and a noise, 1,234 weights: 1,202 rows."""
    rng = np.random.default_rng(1)
    X, sizes = rng.standard_normal((1_202, 5)), [5, 16, 16, 16, 16, 2]
    y = np.sin(X[:, 0]) + X[:, 1] * X[:, 2] + rng.normal(0, 0.1, 1_202)
    with pm.Model() as model:
        layer = pm.Data("X", X)
        for index, (inputs, outputs) in enumerate(pairwise(sizes)):
            shape, scale = (inputs, outputs), inputs**-0.5
            start = rng.normal(0, scale, shape)
            weights = pm.Normal(f"weights_{index}", 0, 1.5 * scale, shape=shape, initval=start)
            layer = layer @ weights + pm.Normal(f"bias_{index}", 0, 1, shape=outputs)
            layer = pt.maximum(layer, 0) if outputs != sizes[-1] else layer
        pm.Normal("y", layer[:, 0], pt.softplus(layer[:, 1]) + 1e-3, observed=y)
    return model


def integer_prior() -> pm.Model:
    """Five groups; a prior with integers as its arguments: 1,000 rows."""
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(5), 200)
    y = np.array([-15, -6, 0, 7, 16])[group] + rng.standard_normal(1_000)
    with pm.Model() as model:
        spread = pm.HalfStudentT("spread", nu=3, sigma=10)
        pm.Normal("y", pm.Normal("effect", 0, spread, shape=5)[group], 1, observed=y)
    return model


def radon_centered() -> pm.Model:
    return hierarchical.radon_centered.__wrapped__()[0]  # reading the reference would compile


def radon_noncentered() -> pm.Model:
    return hierarchical.radon_noncentered.__wrapped__()[0]


def a9a() -> pm.Model:
    return published.a9a().model


def bambi_mixed() -> pm.Model:
    """Varying intercepts of 500 groups, as Bambi writes them from a formula: 50,000 rows."""
    import bambi as bmb  # takes seconds

    rng = np.random.default_rng(1)
    group, x = rng.integers(500, size=50_000), rng.standard_normal((50_000, 2))
    y = 1 + x @ [0.5, -0.3] + rng.normal(0, 0.7, 500)[group] + rng.standard_normal(50_000)
    table = pd.DataFrame({"y": y, "x": x[:, 0], "z": x[:, 1], "group": group.astype(str)})
    model = bmb.Model("y ~ x + z + (1 | group)", table)
    model.build()
    return model.backend.model


MODELS: dict[str, Callable[[], pm.Model]] = {
    build.__name__: build
    for build in (
        integer_prior,
        weak_funnel,
        small_network,
        centered_groups,
        radon_centered,
        radon_noncentered,
        dirichlet_multinomial,
        negative_binomial,
        a9a,
        bambi_mixed,
        ordinal_countries,
        crossed_t,
    )
}
