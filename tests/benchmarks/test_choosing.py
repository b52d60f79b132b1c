"""The rules of thumb of docs/choosing.md, beside the steps that are chosen."""

import importlib.util
from pathlib import Path

import numpy as np
import pymc as pm
import pytest

from pymc_sgld import SGLD

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "choosing.py"
ROWS, TARGET = 1000, 0.05


@pytest.fixture(scope="module")
def rules():
    """Import the benchmark as a module."""
    spec = importlib.util.spec_from_file_location("choosing", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def chosen(batch_size, **settings):
    """Return the step size for the mean of a Gaussian, whose gradient noise is known."""
    data = np.random.default_rng(1).normal(size=ROWS)
    with pm.Model():
        mean = pm.Normal("mean", 0, 5)
        pm.Normal("x", mean, 1, observed=data / data.std())
        step = SGLD(
            batch_size=batch_size, compile_kwargs={"mode": "FAST_COMPILE"}, audit=False, **settings
        )
    return float(step.schedule(np.zeros(1))[0])


def test_the_step_of_plain_minibatches_is_that_of_the_rule(rules):
    """To first order, and as exactly as the noise is measured.

    The standard error of a variance is a share ``sqrt(2 / 1024)`` of it, for each of two halves,
    and beyond first order and the noise that Euler–Maruyama adds there is the target itself. A
    factor N/n that is missing once, or the noise of another convention (twice the step), is seen.
    """
    step = chosen(10, gradient="minibatch", batching="with_replacement")
    rule = rules.step_size(rules.noise("minibatch", ROWS, 10), TARGET)
    tolerance = 5 * np.sqrt(2 / 1024) + 2 * TARGET
    assert abs(step / rule - 1) < tolerance
    assert abs(2 * step / rule - 1) > tolerance


def test_without_noise_the_step_is_the_largest(rules):
    """The control variate of a Gaussian mean has none."""
    assert chosen(10) == rules.LARGEST == rules.step_size(1e-9)


def test_the_noise_of_a_control_variate_is_that_of_normal_columns(rules):
    """The mean of ``(x x' - I)^2`` is ``(d + 1) I``; with d columns instead of d + 1 it is seen."""
    columns, rows = 3, 200_000
    x = np.random.default_rng(2).standard_normal((rows, columns))
    squared = (x**2).sum(axis=1)
    diagonal = (squared**2 - 2 * squared + columns) / columns  # the trace over d
    error = diagonal.std(ddof=1) / np.sqrt(rows)
    expected = 10 * rules.noise("control_variate", rows, 10, columns)
    assert abs(diagonal.mean() - expected) < 5 * error
    assert abs(diagonal.mean() - (expected - 1)) > 5 * error


def test_rows_of_an_effective_draw_do_not_depend_on_the_batch_size(rules):
    """While noise limits the step: N / target for plain minibatches."""
    for batch_size in (10, 100):
        step = rules.step_size(rules.noise("minibatch", 10**6, batch_size), TARGET)
        np.testing.assert_allclose(rules.rows_of_a_draw(batch_size, step), 10**6 / TARGET)
