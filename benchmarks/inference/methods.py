"""Methods of inference for a PyMC model, each with the settings that it has by default.

Each function takes a problem and returns a result with a group ``posterior`` in constrained space.
One core and one thread each, and no progress bar.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import NamedTuple

import pymc as pm
import xarray as xr

from pymc_sgld import SGLD

CHAINS, DRAWS = 4, 1000
STEPS, BATCH_SIZE = 50_000, 256  # of ADVI
MANY_ROWS = 100_000


class Problem(NamedTuple):
    """A model, and how to write it with ``pm.Minibatch``."""

    model: pm.Model
    rows: int
    with_batches: Callable[[int], pm.Model] | None = None  # from a batch size

    @classmethod
    def of(cls, build: Callable) -> Problem:
        """Return the problem of a function of ``known_posteriors``."""
        model = build().model
        rows = max(int(model.rvs_to_values[rv].shape[0].eval()) for rv in model.observed_RVs)
        plain = getattr(build, "__wrapped__", build)
        if "batch_size" not in plain.__code__.co_varnames:
            return cls(model, rows)

        def with_batches(size: int) -> pm.Model:
            found = plain(size)
            return found[0]  # of a posterior, and of a model with the names of its parameters

        return cls(model, rows, with_batches)


def sgld(problem: Problem, seed: int, limit: float) -> xr.DataTree:
    """Run SGLD."""
    with problem.model:
        return pm.sample(
            DRAWS,
            step=SGLD(progressbar=False),
            chains=CHAINS,
            cores=1,
            random_seed=seed,
            progressbar=False,
            compute_convergence_checks=False,
        )


def nuts(problem: Problem, seed: int, limit: float) -> xr.DataTree:
    """Run NUTS by nutpie; after ``limit`` seconds of the processor, return what there is."""
    import nutpie

    sampler = nutpie.sample(
        nutpie.compile_pymc_model(problem.model),
        draws=DRAWS,
        chains=CHAINS,
        cores=1,
        seed=seed,
        save_warmup=False,
        progress_bar=False,
        blocking=False,
    )
    start = time.process_time()
    while time.process_time() - start < limit:
        with contextlib.suppress(TimeoutError):
            return sampler.wait(timeout=0.2)
    return without_gaps(sampler.abort())


def without_gaps(stopped: xr.DataTree) -> xr.DataTree:
    """Return the draws of a run that was stopped: of chains at least half as long as the longest.

    All of them get the length of the shortest.
    """
    posterior = stopped["posterior"].to_dataset()
    first = next(iter(posterior.data_vars.values()))
    there = first.notnull().all([dim for dim in first.dims if dim not in ("chain", "draw")])
    lengths = there.sum("draw").to_numpy()
    if not lengths.size or lengths.max() < 2:
        raise RuntimeError("it was stopped before its first draws")
    long = lengths >= lengths.max() / 2
    kept = posterior.isel(chain=long, draw=slice(0, lengths[long].min()))
    return xr.DataTree.from_dict({"posterior": kept})


def advi(problem: Problem, seed: int, limit: float) -> xr.DataTree:
    """Fit a normal distribution without correlations, by batches where there are more rows."""
    model = problem.model
    if problem.with_batches and problem.rows > BATCH_SIZE:
        model = problem.with_batches(BATCH_SIZE)
    fit = pm.fit(STEPS, method="advi", model=model, random_seed=seed, progressbar=False)
    return fit.sample(CHAINS * DRAWS, random_seed=seed)


def laplace(problem: Problem, seed: int, limit: float) -> xr.DataTree:
    """Take the normal distribution around the mode."""
    from pymc_extras import fit_laplace

    return fit_laplace(
        model=problem.model, draws=CHAINS * DRAWS, random_seed=seed, progressbar=False
    )


def pathfinder(problem: Problem, seed: int, limit: float) -> xr.DataTree:
    """Take normal distributions along four paths to the mode, and draw from them by weights.

    With many rows, log densities are not evaluated at all draws at once, which takes much memory.
    """
    from pymc_extras import fit_pathfinder

    return fit_pathfinder(
        model=problem.model,
        random_seed=seed,
        progressbar=False,
        parallel=False,
        vectorize_logp=problem.rows < MANY_ROWS,
    )


METHODS: dict[str, Callable[[Problem, int, float], xr.DataTree]] = {
    "SGLD": sgld,
    "nutpie": nuts,
    "ADVI": advi,
    "Laplace": laplace,
    "Pathfinder": pathfinder,
}
