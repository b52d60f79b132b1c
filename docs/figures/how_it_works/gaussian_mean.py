"""The example of these pages: the mean of a Gaussian, where every answer is known in closed form.

The model is x_i ~ N(theta, 1) for 1,000 rows, with the prior theta ~ N(0, 25). Its posterior is the
Gaussian N(MEAN, SD^2), and the gradient of the log posterior is PRECISION * (MEAN - theta).
"""

import numpy as np
import pymc as pm
import xarray as xr

ROWS, PRIOR_SD = 1000, 5.0
DATA = np.random.default_rng(1).normal(size=ROWS)
DATA = 1 + (DATA - DATA.mean()) / DATA.std()  # a mean and a variance of exactly one
PRECISION = ROWS + 1 / PRIOR_SD**2  # A
MEAN, SD = DATA.sum() / PRECISION, PRECISION**-0.5

# the update of the original paper, and batches that are independent of each other
TEXTBOOK = {"gradient": "minibatch", "preconditioner": "identity", "batching": "with_replacement"}


def build() -> pm.Model:
    """Return the model, as anyone would write it."""
    with pm.Model() as model:
        theta = pm.Normal("theta", 0, PRIOR_SD)
        pm.Normal("x", theta, 1, observed=DATA)
    return model


def gradient_noise(batch_size: int) -> float:
    """Return V, the variance of the gradient of a batch; here it is the same at every theta."""
    return ROWS**2 / batch_size * DATA.var()


def sample(step: object, draws: int, start: float = 0.0, chains: int = 1) -> xr.DataTree:
    """Run a step method from ``start``, in posterior standard deviations from the mean."""
    return pm.sample(
        step=step,
        draws=draws,
        tune=0,
        chains=chains,
        cores=1,
        initvals={"theta": MEAN + start * SD},
        random_seed=1,
        quiet=True,
        compute_convergence_checks=False,
    )


def distance(idata: xr.DataTree) -> np.ndarray:
    """Return theta less its posterior mean, in posterior standard deviations: (chain, draw)."""
    return (idata.posterior["theta"].values - MEAN) / SD
