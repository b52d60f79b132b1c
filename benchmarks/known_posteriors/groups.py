"""Models with groups of other shapes than those of ``hierarchical.py``, on simulated rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from .posterior import sampled


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
