"""Runs that a certificate should tell from exact ones: their truth, and what is told of them.

A linear regression with a known posterior. Draws are exact, or those of its first coefficient are
off by a known amount, or they are those of SGLD with plain minibatches and too large a step, whose
truth is that of all runs together.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import pymc as pm
import xarray as xr
from scipy.signal import lfilter

from pymc_sgld import SGLD, certify

ROWS, SIZE, CHAINS, DRAWS = 500, 5, 4, 5000
MINIBATCHES = {"gradient": "minibatch", "batch_size": 32, "step_size": 0.3, "steps_per_draw": 20}

EXACT, FEW = "exact", "exact, ESS 1,000"
WIDER, SHIFTED, WIDE = "sd + 5 %", "mean + 0.05 sd", "sd + 25 %"
MINIBATCH = "plain minibatches"
KINDS = (EXACT, FEW, WIDER, SHIFTED, WIDE, MINIBATCH)

COLUMNS = ["runs", "differ", "mean_shift", "mean_shift told", "sd_ratio", "sd_ratio told"]
COLUMNS += ["within 2 errors"]

Draw = Callable[[int], np.ndarray]
"""From a seed, draws of shape (CHAINS, DRAWS, SIZE)."""


class Linear(NamedTuple):
    """A linear regression with noise of sd 1, and its posterior."""

    model: pm.Model
    mean: np.ndarray
    factor: np.ndarray  # of its covariance, lower triangular

    @classmethod
    def simulated(cls) -> Linear:
        """Simulate rows, with the posterior in closed form."""
        rng = np.random.default_rng(2)
        x = rng.normal(size=(ROWS, SIZE))
        y = x @ rng.normal(size=SIZE) + rng.normal(size=ROWS)
        with pm.Model() as model:
            b = pm.Normal("b", 0, 10, shape=SIZE)
            pm.Normal("y", pm.Data("x", x) @ b, 1, observed=y)
        covariance = np.linalg.inv(x.T @ x + np.eye(SIZE) / 100)
        return cls(model, covariance @ x.T @ y, np.linalg.cholesky(covariance))

    @property
    def sd(self) -> np.ndarray:
        """Of the coefficients."""
        return np.sqrt((self.factor**2).sum(axis=1))

    def off(self, shift: float = 0.0, width: float = 1.0, correlation: float = 0.0) -> Draw:
        """Return exact draws, of which the first coefficient is shifted, in sds, or too wide."""

        def draw(seed: int) -> np.ndarray:
            rng = np.random.default_rng(seed)
            start = correlation * rng.normal(size=(CHAINS, 1, SIZE))
            scale, fresh = np.sqrt(1 - correlation**2), rng.normal(size=(CHAINS, DRAWS, SIZE))
            z = lfilter([scale], [1, -correlation], fresh, axis=1, zi=start)[0]
            away = z @ self.factor.T
            away[..., 0] = shift * self.sd[0] + width * away[..., 0]
            return self.mean + away

        return draw

    def by_minibatches(self) -> Draw:
        """Return draws of SGLD with plain minibatches."""
        with self.model:
            step = SGLD(**MINIBATCHES)
        some = {"chains": CHAINS, "draws": DRAWS, "tune": 100, "cores": 1, "progressbar": False}

        def draw(seed: int) -> np.ndarray:
            with self.model:
                run = pm.sample(
                    step=step, random_seed=seed, compute_convergence_checks=False, **some
                )
            return run.posterior["b"].transpose("chain", "draw", ...).to_numpy()

        return draw

    def moments_of(self, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return means and mean squares of draws, in exact sds from the exact mean."""
        away = (draws - self.mean) / self.sd
        return away.mean(axis=(0, 1)), (away**2).mean(axis=(0, 1))


def lines(runs: int, kinds: Collection[str] = (), **settings) -> Iterator[dict[str, object]]:
    """Give a line for so many runs of some exact draws, and a fifth as many of each other kind.

    ``kinds``: those that lines are given for, each the same as among all; by default all of them.
    """
    linear, fewer, first_seed = Linear.simulated(), -(-runs // 5), 0
    for name, count, make, known in (
        (EXACT, fewer, linear.off, (0.0, 1.0)),
        (FEW, runs, partial(linear.off, correlation=0.905), (0.0, 1.0)),
        (WIDER, fewer, partial(linear.off, width=1.05), (0.0, 1.05)),
        (SHIFTED, fewer, partial(linear.off, shift=0.05), (0.05, 1.0)),
        (WIDE, fewer, partial(linear.off, width=1.25), (0.0, 1.25)),
        (MINIBATCH, fewer, linear.by_minibatches, None),
    ):
        seeds = range(first_seed, first_seed + count)
        first_seed += count
        if kinds and name not in kinds:
            continue
        draw, tables, agree, moments = make(), [], [], []
        for seed in seeds:
            draws = draw(seed)
            posterior = xr.Dataset({"b": (("chain", "draw", "i"), draws)})
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                idata = xr.DataTree.from_dict({"posterior": posterior})
                found = certify(idata, linear.model, **settings)
            tables.append(found.table)
            agree.append(found.agrees)
            moments.append(linear.moments_of(draws))
        if known:
            first = np.arange(SIZE) == 0
            shift, ratio = np.where(first, known[0], 0.0), np.where(first, known[1], 1.0)
        else:
            shift, square = np.mean(moments, axis=0)
            ratio = np.sqrt(square - shift**2)
        line, within = {"runs": name, "differ": f"{agree.count(False)} of {count}"}, []
        for figure, true in (("mean_shift", shift), ("sd_ratio", ratio)):
            values, errors = (
                np.array([table[column] for table in tables])
                for column in (figure, f"{figure}_error")
            )
            line[figure] = f"{true[0]:.4f}"
            line[f"{figure} told"] = f"{values[:, 0].mean():.4f} ± {errors[:, 0].mean():.4f}"
            within.append(np.abs(values - true) < 2 * errors)
        yield line | {"within 2 errors": f"{100 * np.mean(within):.1f} %"}
