"""A run with decreasing step sizes in, one whose draws all count alike out."""

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pymc.util import RandomGenerator

from pymc_sgld.arguments import generator
from pymc_sgld.diagnostics.weights import THINNED, step_size_weights
from pymc_sgld.errors import SettingError

OTHER_DRAWS = ("prior", "warmup")
"""Groups with such names have draws of their own, which are left as they are."""


def thin_by_step_size(idata: xr.DataTree, rng: RandomGenerator = None) -> xr.DataTree:
    r"""Keep draws with probability proportional to their step sizes.

    ArviZ has no weighted draws. After this, all draws count alike and all of ArviZ applies: plots,
    ``arviz.summary``, ``arviz.loo``, posterior predictions.

    A chain of :math:`n` draws keeps :math:`K` of them by systematic sampling: with one
    :math:`u \sim U(0, 1)` for each chain, the draws in which
    :math:`K \sum_{s \le t} \varepsilon_s / \sum_s \varepsilon_s` passes
    :math:`u, u + 1, \ldots, u + K - 1`. A draw is kept with the probability
    :math:`K \varepsilon_t / \sum_s \varepsilon_s`, at most once, and those kept are spaced
    evenly in the time of the Langevin diffusion, so that autocorrelations mean what they should.
    :math:`K` is the largest number that allows this, :math:`\sum_s \varepsilon_s` over the largest
    :math:`\varepsilon_t`, of the chain where it is least. A constant step size keeps all draws.

    Parameters
    ----------
    idata : DataTree
        A result of ``pm.sample`` with an :class:`~pymc_sgld.SGLD` step.
    rng : int or numpy.random.Generator, optional
        Seed of the choice.

    Returns
    -------
    DataTree
        The same groups. Those with the draws of the posterior (``sample_stats``,
        ``log_likelihood``, ``posterior_predictive`` and the like) have the same K draws of each
        chain, numbered from 0; ``sample_stats.kept_draw`` has the numbers that they had. A chain
        that is ``untrusted`` says so on its last draw, as before. Prior and warm-up groups, data
        and attributes are unchanged, and so is `idata`.

    Raises
    ------
    SettingError
        If `idata` has no step sizes of SGLD, was thinned by them before, or has a group whose draws
        are not those of the posterior.

    References
    ----------
    Welling and Teh (2011), Bayesian learning via stochastic gradient Langevin dynamics, eq. 11.
    Madow (1949), On the theory of systematic sampling, II, Annals of Mathematical Statistics 20(3).

    Examples
    --------
    >>> import arviz as az
    >>> import numpy as np
    >>> step_size = np.tile(1 / np.arange(1, 1001), (4, 1))
    >>> idata = az.from_dict(
    ...     {
    ...         "posterior": {"mu": np.random.default_rng(1).normal(size=(4, 1000))},
    ...         "sample_stats": {"step_size": step_size, "sampling_threshold": 0 * step_size},
    ...     }
    ... )
    >>> thinned = thin_by_step_size(idata, rng=1)
    >>> dict(thinned.posterior.sizes)
    {'chain': 4, 'draw': 7}
    >>> thinned.sample_stats["kept_draw"].values[0]
    array([  0,   2,   7,  23,  69, 203, 593])
    """
    weights = step_size_weights(idata)
    own = rng if isinstance(rng, np.random.Generator) else generator(rng)
    kept = systematic_draws(weights.values, own)
    result = idata.copy()
    for name, group in result.children.items():
        if "draw" in group.dims and not name.startswith(OTHER_DRAWS):
            _require_draws_of(weights, group.to_dataset(), name)
            group.dataset = _pick(group.to_dataset(), kept)
    stats = result["sample_stats"].to_dataset()
    numbers = np.asarray(weights.coords.get("draw", np.arange(weights.sizes["draw"])))
    stats["kept_draw"] = (("chain", "draw"), numbers[kept])
    before = idata["sample_stats"].to_dataset()
    for name in ("untrusted", "reasons"):
        if name in stats:
            stats[name] = _verdict_last(before[name], stats[name])
    stats.attrs[THINNED] = 1
    result["sample_stats"].dataset = stats
    return result


def systematic_draws(
    weights: NDArray[np.floating], rng: np.random.Generator
) -> NDArray[np.integer]:
    """Return the draws to keep of each chain, in order and none twice, shape (chain, K)."""
    shares = weights / weights.sum(axis=1, keepdims=True)
    count = int(np.min(1 / shares.max(axis=1)) + 1e-9)  # a sum that rounding left below a number
    if count == shares.shape[1]:
        return np.tile(np.arange(count), (len(shares), 1))
    above = np.cumsum(shares, axis=1)
    points = (np.arange(count) + rng.random((len(shares), 1))) / count
    found = [
        np.searchsorted(row / row[-1], point, side="right")
        for row, point in zip(above, points, strict=True)
    ]
    return np.minimum(np.stack(found), shares.shape[1] - 1)


def _pick(group: xr.Dataset, kept: NDArray[np.integer]) -> xr.Dataset:
    """Return the draws of a group that are kept, numbered anew."""
    chains = xr.DataArray(np.arange(len(kept)), dims="chain")
    places = xr.DataArray(kept, dims=("chain", "draw"))
    bare = group.drop_vars("draw", errors="ignore")
    picked = [name for name in bare.variables if "draw" in bare[name].dims]
    rest = bare.drop_vars(picked)
    chosen = bare[picked].isel(chain=chains, draw=places)
    result = rest.merge(chosen).assign_coords(draw=np.arange(kept.shape[1]))
    return result.assign_attrs(group.attrs)


def _require_draws_of(weights: xr.DataArray, group: xr.Dataset, name: str) -> None:
    """Refuse a group whose draws are not those of the step sizes."""
    same = all(
        group.sizes.get(axis) == weights.sizes[axis]
        and (
            axis not in group.coords
            or axis not in weights.coords
            or np.array_equal(group.coords[axis], weights.coords[axis])
        )
        for axis in ("chain", "draw")
    )
    if not same:
        raise SettingError(
            f'cannot thin the group "{name}" of idata: its chains and draws, {dict(group.sizes)}, '
            f"are not those of the step sizes, {dict(weights.sizes)}. Remove it with "
            f'`del idata["{name}"]`, or make it from all draws of the posterior.'
        )


def _verdict_last(before: xr.DataArray, after: xr.DataArray) -> xr.DataArray:
    """Set the verdict of each chain on the last of the draws that are left."""
    verdict = before.isel(draw=-1, drop=True)
    last = xr.DataArray(np.arange(after.sizes["draw"]) == after.sizes["draw"] - 1, dims="draw")
    return xr.where(last, verdict, xr.zeros_like(after)).transpose(*after.dims)
