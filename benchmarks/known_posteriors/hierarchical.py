"""Hierarchical models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pymc as pm

from .posterior import batches, sampled

RADON = Path(__file__).parents[2] / "examples" / "data" / "radon.csv"
RADON_NAMES = ["mean", "spread", "floor_effect", "noise", "intercept"]


def _radon_rows(counties, batch_size: int | None = None) -> None:
    """Add the likelihood of 12,289 measurements to a model with an intercept for each county."""
    table = pd.read_csv(RADON)
    table = table[table["floor_measure"] != 9]  # the code for a missing floor
    county = pd.Categorical(table["county_idx"]).codes
    above_basement = (table["floor_measure"] > 0).to_numpy(float)
    floor_effect = pm.Normal("floor_effect", 0, 5)
    noise = pm.HalfNormal("noise", 2)
    (county, floor, observed), total = batches(
        batch_size, county.astype("int64"), above_basement, table["log_radon"].to_numpy()
    )
    expected = counties[county] + floor_effect * floor
    pm.Normal("log_radon", expected, noise, observed=observed, total_size=total)


@sampled
def radon_centered() -> tuple[pm.Model, list[str]]:
    """Radon in American homes, intercepts of 385 counties: 12,289 rows."""
    with pm.Model() as model:
        mean = pm.Normal("mean", 0, 5)
        spread = pm.HalfNormal("spread", 1)
        _radon_rows(pm.Normal("intercept", mean, spread, shape=385))
    return model, RADON_NAMES


@sampled
def radon_noncentered(batch_size: int | None = None) -> tuple[pm.Model, list[str]]:
    """The same posterior, with the intercepts as standard normal offsets from their mean."""
    with pm.Model() as model:
        mean = pm.Normal("mean", 0, 5)
        spread = pm.HalfNormal("spread", 1)
        offset = pm.Normal("offset", shape=385)
        _radon_rows(pm.Deterministic("intercept", mean + spread * offset), batch_size)
    return model, RADON_NAMES


@sampled
def crossed() -> tuple[pm.Model, list[str]]:
    """Ratings with an effect of each of 60 items and 80 raters: 10,000 rows."""
    rng = np.random.default_rng(7)
    item, rater = rng.integers(60, size=10_000), rng.integers(80, size=10_000)
    effects = rng.normal(0, 0.8, 60)[item] + rng.normal(0, 0.4, 80)[rater]
    ratings = 3 + effects + rng.standard_normal(10_000)
    with pm.Model() as model:
        mean = pm.Normal("mean", 0, 5)
        item_spread = pm.HalfNormal("item_spread", 1)
        rater_spread = pm.HalfNormal("rater_spread", 1)
        items = pm.Normal("items", 0, item_spread, shape=60)
        raters = pm.Normal("raters", 0, rater_spread, shape=80)
        noise = pm.HalfNormal("noise", 2)
        pm.Normal("y", mean + items[item] + raters[rater], noise, observed=ratings)
    return model, ["mean", "item_spread", "rater_spread", "items", "raters", "noise"]


@sampled
def many_groups() -> tuple[pm.Model, list[str]]:
    """Success in 800 groups of some 20 trials, d = 802: 16,000 rows."""
    rng = np.random.default_rng(21)
    group = rng.integers(800, size=16_000)
    effects = rng.normal(0, 0.7, 800)
    success = rng.random(16_000) < 1 / (1 + np.exp(-0.3 - effects[group]))
    with pm.Model() as model:
        mean = pm.Normal("mean", 0, 1)
        spread = pm.HalfNormal("spread", 1)
        offset = pm.Normal("offset", shape=800)
        pm.Bernoulli("y", logit_p=mean + spread * offset[group], observed=success)
    return model, ["mean", "spread", "offset"]


def _schools(effects) -> None:
    """Add the likelihood of the eight schools (Rubin, 1981)."""
    estimates = np.array([28.0, 8, -3, 7, -1, 1, 18, 12])
    errors = np.array([15.0, 10, 16, 11, 9, 11, 10, 18])
    pm.Normal("y", effects, errors, observed=estimates)


@sampled
def eight_schools() -> tuple[pm.Model, list[str]]:
    """Effects of coaching in eight schools, centered, where the posterior is a funnel: 8 rows."""
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 5)
        tau = pm.HalfCauchy("tau", 5)
        _schools(pm.Normal("theta", mu, tau, shape=8))
    return model, ["mu", "tau", "theta"]


def noncentered_eight_schools() -> tuple[pm.Model, list[str]]:
    """Return the same posterior without the funnel, which NUTS samples well."""
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 5)
        tau = pm.HalfCauchy("tau", 5)
        offset = pm.Normal("offset", shape=8)
        _schools(pm.Deterministic("theta", mu + tau * offset))
    return model, ["mu", "tau", "theta"]
