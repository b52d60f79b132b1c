"""Evaluate the graphs of a log density in tests, without machine code."""

import numpy as np
import pytensor


def random_point(model, seed=3):
    """Return a point near the model's initial point."""
    rng = np.random.default_rng(seed)
    return {
        name: np.asarray(value + 0.1 * rng.normal(size=np.shape(value)), dtype=value.dtype)
        for name, value in model.initial_point().items()
    }


def position_of(density, point):
    """Return the position of a point."""
    return np.concatenate([np.ravel(point[c.value_name]) for c in density.coordinates])


def evaluator(density, outputs):
    """Return a function of the position, the other variables and the data."""
    inputs = [density.position, *density.others.values(), *[d.variable for d in density.data]]
    return pytensor.function(inputs, outputs, mode="FAST_COMPILE", on_unused_input="ignore")


def batch(density, rows):
    """Return the data of some rows."""
    return [d.array[rows] if d.by_row else d.array for d in density.data]
