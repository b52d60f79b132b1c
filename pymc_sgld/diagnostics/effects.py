"""The effects of groups given the draws of all other parameters."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any

import arviz_base as az
import numpy as np
import xarray as xr
from pymc.backends.arviz import coords_and_dims_for_inferencedata
from pymc.blocking import PointType
from pymc.model import Model
from pytensor.graph.traversal import ancestors

from pymc_sgld.arguments import (
    compile_settings,
    flag,
    generator,
    model_of,
    names,
    whole_number,
)
from pymc_sgld.backends.backend import Backend
from pymc_sgld.backends.numpy_mode import run_by_numpy
from pymc_sgld.compiled.threads import one_thread
from pymc_sgld.diagnostics.chosen import draws_for
from pymc_sgld.diagnostics.matching import SAMPLE_DIMENSIONS, evenly_spaced
from pymc_sgld.diagnostics.statistics import STATISTICS, probability, statistics_of
from pymc_sgld.diagnostics.trust.unconstrained import Draws, check_row_count
from pymc_sgld.errors import SettingError
from pymc_sgld.minibatch.blocks import BLOCK
from pymc_sgld.minibatch.full_data import FullData
from pymc_sgld.minibatch.graph.named_dimensions import lower
from pymc_sgld.minibatch.groups.conditional import MEASURED_AT
from pymc_sgld.minibatch.groups.find import Factor
from pymc_sgld.minibatch.model import Minibatcher
from pymc_sgld.progress import progress
from pymc_sgld.sources.bind import bind
from pymc_sgld.sources.source import Source

PURPOSE = "compute the effects of groups"
_NEAR = 0.1  # standard deviations from a mode that a search for it may begin


def group_effects(
    idata: xr.DataTree | xr.Dataset,
    model: Model | None = None,
    *,
    var_names: str | Collection[str] | None = None,
    draws: int = 200,
    prob: float | None = None,
    return_draws: bool = False,
    marginalize: str | Collection[str] | None = None,
    random_seed: Any = None,
    data: Mapping[str, Any] | None = None,
    compile_kwargs: Mapping[str, Any] | None = None,
    progressbar: bool = True,
) -> xr.Dataset:
    r"""Return the posterior of group effects, from draws of the other parameters.

    Where ``SGLD`` integrates the effects :math:`b` of groups out of the posterior, it samples the
    other parameters :math:`\phi` only. The posterior of the effects is

    .. math:: p(b \mid y) = \int p(b \mid \phi, y)\, p(\phi \mid y)\, d\phi ,

    an average over the draws of :math:`\phi`. For some of these, evenly spaced in every chain, the
    effects of all groups are drawn from :math:`p(b \mid \phi, y)`, which takes a pass over the
    data. So a run need not record the effects, of which there may be very many: see
    :doc:`/groups`.

    Parameters
    ----------
    idata : DataTree or Dataset
        A result of :func:`pymc.sample` with all free variables of the model but the effects. Where
        it has draws of these, they are not used.
    model : Model, optional
        The model that was sampled, with its data as they were; by default that of the context.
    var_names : str or collection of str, optional
        Variables to return: effects, or a ``pm.Deterministic`` that depends on them. By default the
        effects and every such Deterministic with an entry for each group.
    draws : int
        Draws of the other parameters, of all chains together; all of them if there are fewer, and
        as many in each chain.
    prob : float, optional
        Probability of the equal-tailed interval; by default that of ArviZ,
        ``arviz.rcParams["stats.ci_prob"]``.
    return_draws : bool
        Whether to return the draws themselves.
    marginalize : str or collection of str, optional
        Names of the effects; by default those that idata lacks, or else those with the most groups.
    random_seed : int, Generator or None
        Seed of the draws.
    data : dict, optional
        The sources that the run had, if it had any: see :class:`~pymc_sgld.SGLD`.
    compile_kwargs : dict, optional
        Passed to PyMC's ``compile``, as to :class:`~pymc_sgld.SGLD`.
    progressbar : bool
        Whether to show how many draws are done, in a terminal or a notebook.

    Returns
    -------
    Dataset
        For each variable its dimensions and coordinates in the model, and before them the dimension
        ``statistic``: ``"mean"``, ``"sd"``, ``"lower"`` and ``"upper"``, the ends of the interval.
        With ``return_draws``, the dimensions ``chain`` and ``draw`` take its place, with the labels
        that these draws have in `idata`.

    Raises
    ------
    SettingError
        If the model has no effects that can be integrated out; if a variable is missing in `idata`,
        or has another shape; if the run had another number of rows or a temperature other than 1;
        for an argument that cannot be used.
    NonFiniteError
        If the density of the effects is not finite at a draw.

    Warns
    -----
    SGLDWarning
        If the step sizes of the run vary, so that its draws count unequally; if the intercept of
        `idata` may be another one than that of the model, as after Bambi's ``fit``.

    Notes
    -----
    With n draws that are nearly independent, the standard error of a mean is :math:`s / \sqrt n`
    for a standard deviation s, that of s itself about :math:`s / \sqrt{2 n}`: 7 % and 5 % of s for
    200 draws. The end of an interval of 89 % has an error of :math:`2\, s / \sqrt n`, about.

    All draws are held in memory: ``draws`` times the entries of the variables, 8 bytes each.

    Examples
    --------
    >>> import arviz as az
    >>> import numpy as np
    >>> import pymc as pm
    >>> group = np.arange(300) % 3
    >>> with pm.Model(coords={"group": ["a", "b", "c"]}) as model:
    ...     mean = pm.Normal("mean", 0, 5)
    ...     effect = pm.Normal("effect", mean, 10, dims="group")
    ...     y = pm.Normal("y", effect[group], 1, observed=10.0 * group)
    >>> idata = az.from_dict({"posterior": {"mean": np.ones((4, 500))}})  # without the effects
    >>> effects = group_effects(idata, model, random_seed=1)
    >>> dict(effects.sizes)
    {'statistic': 4, 'group': 3}
    >>> effects["effect"].sel(statistic="mean", group="c").round().item()
    20.0
    """
    model = model_of(model)
    wanted = None if var_names is None else names("var_names", var_names)
    asked = None if marginalize is None else names("marginalize", marginalize)
    if asked is not None:
        known = [rv.name for rv in model.free_RVs]
        unknown = [name for name in asked if name not in known]
        if unknown:
            raise SettingError(
                f"marginalize has {unknown}, but the free variables of the model are {known}."
            )
    count, rng = whole_number("draws", draws), generator(random_seed, "random_seed")
    coverage = probability(prob)
    as_draws, shown = flag("return_draws", return_draws), flag("progressbar", progressbar)
    backend, sources = Backend(compile_settings(compile_kwargs)), bind(data)
    picked, stored = draws_for(idata, model, count, PURPOSE)
    working = progress("finding the groups", shown=shown is not False, name="group_effects")
    with working as tell, one_thread(), np.errstate(all="ignore"):
        at = _integrated(picked, model, sources, stored.placing, asked)
        rows = at.minibatcher(backend)
        if stored.rows is not None:
            check_row_count(FullData(rows.blocks(BLOCK)).rows, rows, stored.rows, PURPOSE)
        chosen = _Chosen(rows, at, wanted)
        tell("compiling draws of the effects")
        given = _Given(rows, at)
        drawn = _draw(given, chosen, rng)
    return _dataset(drawn, picked, model, None if as_draws else coverage)


def _integrated(
    posterior: xr.Dataset,
    model: Model,
    sources: Mapping[str, Source],
    placing: int,
    asked: Collection[str] | None,
) -> Draws:
    """Return draws of all variables but the effects of groups, which are integrated out."""
    where = posterior, model, sources, placing
    at = Draws(*where, asked, PURPOSE) if asked else Draws.of_run(*where, PURPOSE)
    at.check_finite(PURPOSE)
    if at.integrated:
        return at
    return Draws(*where, _with_most_groups(at.factors(), len(at.moved)), PURPOSE)


def _with_most_groups(factors: Sequence[Factor], variables: int) -> list[str]:
    """Return the effects of a model that can be integrated out, of the groups that are most."""
    for factor in factors:
        if factor.refusal is None and len(factor.axes) < variables:
            return list(factor.axes)
    if not factors:
        raise SettingError(
            f"cannot {PURPOSE}: the model has none that can be integrated out, variables with an "
            "entry for each group that a fixed index of the rows picks. The posterior of idata has "
            "draws of all its variables."
        )
    alone = "without them no variable is left"
    reasons = "; ".join(f"{each.names}: {each.refusal or alone}" for each in factors)
    raise SettingError(f"cannot {PURPOSE}: none can be integrated out ({reasons}).")


class _Chosen:
    """The variables that are asked for, and a function of a point that computes them.

    ``wanted``: names of variables; None for those that have an entry for each group.
    """

    def __init__(self, rows: Minibatcher, at: Draws, wanted: Collection[str] | None) -> None:
        assert rows.groups is not None
        self._model = model = at.model
        effects, groups = list(at.integrated), rows.groups.count
        above = {model[name] for name in effects}
        made = [v.name for v in model.deterministics if not above.isdisjoint(ancestors([v]))]
        if wanted is not None:
            known = [*effects, *made]
            unknown = [name for name in wanted if name not in known]
            if unknown or not wanted:
                raise SettingError(
                    f"var_names={list(wanted)}, but the effects of groups, and what depends on "
                    f"them, are {known}: name some of these, or leave var_names out."
                )
            self._compile(wanted)
            return
        self._compile([*effects, *made])
        found = self(at.point(0, -1))
        self._compile([*effects, *(name for name in made if groups in found[name].shape)])

    def _compile(self, names: Collection[str]) -> None:
        self.names = list(dict.fromkeys(names))
        variables = [self._model[name] for name in self.names]
        outputs = lower(self._model.replace_rvs_by_values(variables))
        self._inputs = [v.name for v in self._model.value_vars]
        self._function = run_by_numpy(self._model.value_vars, outputs)

    def __call__(self, point: PointType) -> dict[str, np.ndarray]:
        """Return the variables at a point of the model, by their names."""
        found = self._function(*[point[name] for name in self._inputs])
        return dict(zip(self.names, found, strict=True))


class _Given:
    """The distribution of the effects at draws of the other variables."""

    def __init__(self, rows: Minibatcher, at: Draws) -> None:
        assert rows.groups is not None and rows.effects is not None
        self.at = at
        self._position = at.position
        self._others, effects = rows.others, rows.groups.effects
        self._values = {
            each.name: at.model.rvs_to_values[at.model[each.name]].name for each in effects
        }
        count = at.shape[0] * at.shape[1]
        self._conditional, first = rows.effects, at.point(0, 0)
        rows.groups.start_from({each.variable: first[self._values[each.name]] for each in effects})
        places = [divmod(k, at.shape[1]) for k in evenly_spaced(count, MEASURED_AT)]
        others = at.values(self._others, *places[0])
        self._conditional.settle(self._position.mean(axis=(0, 1)), others, near=_NEAR)
        positions = [self._position[place] for place in places]
        self._conditional.measure(positions, others)

    def draw(self, rng: np.random.Generator, chain: int, draw: int) -> PointType:
        """Return a point of the model with a draw of the effects given the others."""
        others = self.at.values(self._others, chain, draw)
        found = self._conditional.draw(rng, self._position[chain, draw], others)
        return self.at.point(chain, draw) | {
            self._values[name]: value for name, value in found.items()
        }


def _draw(given: _Given, chosen: _Chosen, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return draws of the variables that are asked for, each of shape (chain, draw, ...)."""
    shape = given.at.shape
    drawn: dict[str, np.ndarray] = {}
    with progress("drawing the effects", shape[0] * shape[1]) as update:
        for place in np.ndindex(*shape):
            for name, value in chosen(given.draw(rng, *place)).items():
                if name not in drawn:
                    drawn[name] = np.empty((*shape, *value.shape), value.dtype)
                drawn[name][place] = value
            update()
    return drawn


def _dataset(
    drawn: Mapping[str, np.ndarray], picked: xr.Dataset, model: Model, prob: float | None
) -> xr.Dataset:
    """Return draws with the dimensions of the model, or their statistics."""
    coords, dims = coords_and_dims_for_inferencedata(model)
    coords |= {name: picked[name].to_numpy() for name in SAMPLE_DIMENSIONS}
    sample_dims: list[str] = list(SAMPLE_DIMENSIONS)
    if prob is not None:
        drawn = {name: statistics_of(array, prob) for name, array in drawn.items()}
        coords["statistic"] = list(STATISTICS)
        sample_dims = ["statistic"]
    used: dict[Hashable, Sequence[Hashable]] = {n: dims[n] for n in drawn if n in dims}
    found = az.dict_to_dataset(drawn, coords=coords, dims=used, sample_dims=sample_dims)
    count = picked.sizes["chain"] * picked.sizes["draw"]
    found.attrs = {"draws": count} | ({} if prob is None else {"prob": prob})
    return found
