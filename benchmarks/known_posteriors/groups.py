"""Models with groups of other shapes than those of ``hierarchical.py``, on simulated rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from .posterior import sampled


@sampled
def correlated_slopes() -> tuple[pm.Model, list[str]]:
    """Reaction times of 18 subjects on 10 days, an intercept and a slope of each: 180 rows.

    Intercepts and slopes are correlated. Shape and units are those of the study of Belenky and
    others (2003) that lme4 has as ``sleepstudy``; the numbers are simulated.
    """
    rng = np.random.default_rng(42)
    subject, day = np.repeat(np.arange(18), 10), np.tile(np.arange(10.0), 18)
    first, second = rng.standard_normal((2, 18))
    intercepts, slopes = 250 + 24 * first, 10 + 6 * (0.3 * first + np.sqrt(0.91) * second)
    milliseconds = intercepts[subject] + slopes[subject] * day + rng.normal(0, 25, 180)
    with pm.Model() as model:
        mean = pm.Normal("mean", [250, 0], [100, 25])
        sd_dist = pm.HalfNormal.dist([50, 15], shape=2)
        cholesky, matrix, _ = pm.LKJCholeskyCov("covariance", eta=2, n=2, sd_dist=sd_dist)
        pm.Deterministic("correlation", matrix[0, 1])
        z = pm.Normal("z", shape=(2, 18))
        own = pm.Deterministic("own", mean[:, None] + pt.dot(cholesky, z))
        noise = pm.HalfNormal("noise", 50)
        pm.Normal("y", own[0, subject] + own[1, subject] * day, noise, observed=milliseconds)
    return model, ["mean", "covariance_stds", "correlation", "own", "noise"]


@sampled
def binomial_herds() -> tuple[pm.Model, list[str]]:
    """New cases of a disease in 15 herds and 4 periods, some of which are missing: 56 rows.

    The shape is that of lme4's ``cbpp``; the numbers are simulated.
    """
    rng = np.random.default_rng(43)
    herd, period = np.divmod(np.sort(rng.choice(60, 56, replace=False)), 4)
    later = (period[:, None] == [1, 2, 3]).astype(float)
    size = rng.integers(2, 35, 56)
    logit = rng.normal(-1.4, 0.65, 15)[herd] + later @ [-1, -1.1, -1.6]
    cases = rng.binomial(size, 1 / (1 + np.exp(-logit)))
    with pm.Model() as model:
        mean = pm.Normal("mean", 0, 1.5)
        beta = pm.Normal("beta", 0, 1.5, shape=3)
        spread = pm.HalfNormal("spread", 1)
        offset = pm.Normal("offset", shape=15)
        intercept = pm.Deterministic("intercept", mean + spread * offset)
        logit_p = intercept[herd] + pt.dot(later, beta)
        pm.Binomial("y", n=size, logit_p=logit_p, observed=cases)
    return model, ["mean", "beta", "spread", "intercept"]


@sampled
def unequal_counts() -> tuple[pm.Model, list[str]]:
    """Counts in 500 groups of 1 to 400 rows, with exposures and a covariate of the groups."""
    rng = np.random.default_rng(44)
    sizes = np.clip(rng.lognormal(2.6, 1.3, 500).astype(int), 1, 400)
    group = np.repeat(np.arange(500), sizes)
    u = rng.standard_normal(500)
    exposure = rng.gamma(2, 0.5, len(group))
    counts = rng.poisson(exposure * np.exp(rng.normal(0.2 + 0.4 * u, 0.6))[group])
    with pm.Model() as model:
        intercept = pm.Normal("intercept", 0, 2.5)
        slope = pm.Normal("slope", 0, 1)
        spread = pm.HalfNormal("spread", 1)
        effect = pm.Normal("effect", intercept + slope * u, spread, shape=500)
        pm.Poisson("y", exposure * pt.exp(effect[group]), observed=counts)
    return model, ["intercept", "slope", "spread", "effect"]


@sampled
def two_outcomes() -> tuple[pm.Model, list[str]]:
    """6,000 successes and 4,000 scores, which share an effect of each of 300 groups."""
    rng = np.random.default_rng(45)
    truth = rng.normal(0, 0.8, 300)
    tried, scored = rng.integers(300, size=6_000), rng.integers(300, size=4_000)
    x = rng.standard_normal(6_000)
    success = 0.3 + 0.5 * x + truth[tried] > rng.logistic(size=6_000)
    scores = 2 + 0.6 * truth[scored] + rng.normal(0, 1.5, 4_000)
    with pm.Model() as model:
        mean = pm.Normal("mean", [0, 0], [1.5, 5])
        slope = pm.Normal("slope", 0, 1)
        loading = pm.Normal("loading", 0, 1)
        spread = pm.HalfNormal("spread", 1)
        effect = pm.Normal("effect", 0, spread, shape=300)
        logit_p = mean[0] + slope * x + effect[tried]
        pm.Bernoulli("success", logit_p=logit_p, observed=success.astype(int))
        noise = pm.HalfNormal("noise", 2)
        pm.Normal("score", mean[1] + loading * effect[scored], noise, observed=scores)
    return model, ["mean", "slope", "loading", "spread", "effect", "noise"]


class Students(NamedTuple):
    """The rows of ``students``: who answered, three covariates, whether the answer was right."""

    student: np.ndarray
    covariates: np.ndarray
    correct: np.ndarray


def student_rows(students: int = 100_000, rows: int = 1_000_000) -> Students:
    """Simulate answers: how easy an item is, whether it is practised, and the student's age."""
    rng = np.random.default_rng(41)
    student = rng.integers(students, size=rows)
    age = rng.standard_normal(students)
    covariates = np.stack([rng.standard_normal(rows), rng.random(rows) < 0.4, age[student]], axis=1)
    effects = rng.normal(0, 0.9, students)
    logit = 0.4 + covariates @ [0.8, 0.3, -0.2] + effects[student]
    return Students(student, covariates, (logit > rng.logistic(size=rows)).astype(int))


def students_model(data: Students) -> tuple[pm.Model, list[str]]:
    """Return the model of answers, and the parameters that are not of one student."""
    with pm.Model() as model:
        intercept = pm.Normal("intercept", 0, 1.5)
        beta = pm.Normal("beta", shape=3)
        spread = pm.HalfNormal("spread", 1)
        offset = pm.Normal("offset", shape=int(data.student.max()) + 1)
        logit = intercept + pt.dot(data.covariates, beta) + spread * offset[data.student]
        pm.Bernoulli("y", logit_p=logit, observed=data.correct)
    return model, ["intercept", "beta", "spread"]


@sampled
def students() -> tuple[pm.Model, list[str]]:
    """Answers of 100,000 students, 0 to 28 of each, d = 100,005: a million rows.

    Only the five numbers that all students share are compared.
    """
    return students_model(student_rows())
