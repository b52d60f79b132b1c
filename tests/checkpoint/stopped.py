"""Runs that end before their time, and what is the same in two runs."""

import numpy as np
import pymc as pm

from tests.runs import RUN

ROWS = np.random.default_rng(1).normal(3, 2, size=60)


class Stopped(Exception):
    """As good as a kill: it comes from outside of a draw, and nothing is told of it."""


def model(rows=ROWS, prior=10.0):
    """A mean and a scale, without a transform that PyMC would compile for each run."""
    with pm.Model() as model:
        mean = pm.Normal("mean", 0, prior)
        pm.Normal("y", mean, pm.math.exp(pm.Normal("log_scale")), observed=rows)
    return model


def sample(of, step, stop=None, **settings):
    """Sample; end at the draw ``stop`` of a chain, a pair of numbers."""

    def callback(trace, draw):
        if (draw.chain, draw.draw_idx) == stop:
            raise Stopped

    with of:
        return pm.sample(step=step, callback=callback, **RUN | settings)


def different(one, other, but=("setup_seconds",)):
    """Return the names of what is not the same in two results, to the bit."""
    found = []
    for group in ("posterior", "sample_stats"):
        names = {*one[group].data_vars, *other[group].data_vars} - {*but}
        found += [name for name in names if not one[group][name].equals(other[group][name])]
    return sorted(found)
