"""Two posteriors in, pairs of draws of the same scalar parameter out, matched by name and label."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from arviz_base.labels import BaseLabeller
from arviz_base.sel_utils import xarray_sel_iter
from numpy.typing import NDArray

from pymc_sgld.arguments import names as argument_names
from pymc_sgld.errors import SettingError

SAMPLE_DIMENSIONS = ("chain", "draw")
LISTED = 5  # names of a sentence
WITHOUT, FROM_PYMC = "pass var_names=... without it", "pass what pm.sample returned"


class Parameter(NamedTuple):
    """The draws of one scalar parameter in both runs, arrays of shape (chain, draw)."""

    label: str
    draws: NDArray
    reference: NDArray


class Match(NamedTuple):
    """The parameters that two posteriors share, and the variables that only one of them has."""

    parameters: list[Parameter]
    only_in_idata: list[str]
    only_in_reference: list[str]


def match_posteriors(
    idata: xr.DataTree | xr.Dataset,
    reference: xr.DataTree | xr.Dataset,
    var_names: str | Sequence[str] | None = None,
) -> Match:
    """Pair the scalar parameters of two posteriors by variable name and coordinate label."""
    posterior, other = find_posterior(idata, "idata"), find_posterior(reference, "reference")
    names = select_names(posterior, other, var_names)
    parameters = [
        parameter
        for name in names
        for parameter in match_variable(name, posterior[name], other[name])
    ]
    if not parameters:
        raise SettingError(
            f"cannot compare {names}: these variables have no entries. Pass var_names=... of "
            "variables that have some."
        )
    return Match(
        parameters,
        [str(name) for name in posterior.data_vars if name not in other.data_vars],
        [str(name) for name in other.data_vars if name not in posterior.data_vars],
    )


def find_posterior(data: xr.DataTree | xr.Dataset, role: str) -> xr.Dataset:
    """Give the posterior as a Dataset, from a result or from the group itself."""
    posterior = _posterior_of(data, role)
    if 0 in [posterior.sizes.get(of) for of in SAMPLE_DIMENSIONS]:
        raise SettingError(f"cannot read {role}: it has no draws. Pass a run that has some.")
    return posterior


def _posterior_of(data: xr.DataTree | xr.Dataset, role: str) -> xr.Dataset:
    """Give the posterior of a result.

    A group ``unconstrained_posterior``, which nutpie makes where PyMC adds transformed variables to
    the posterior, belongs to it if it has the same draws: that of a Laplace approximation by
    pymc-extras has the mode only.
    """
    if isinstance(data, xr.Dataset):
        return data
    if isinstance(data, xr.DataTree):
        if "posterior" in data.children:
            posterior = data["posterior"].to_dataset()
            if "unconstrained_posterior" not in data.children:
                return posterior
            transformed = data["unconstrained_posterior"].to_dataset()
            if any(transformed.sizes.get(of) != posterior.sizes[of] for of in ("chain", "draw")):
                return posterior
            return posterior.merge(
                transformed.drop_vars(posterior.data_vars, errors="ignore"), join="exact"
            )
        if data.data_vars:
            return data.to_dataset()
        found = f"a DataTree with the groups {sorted(data.children)}"
    else:
        found = f"{type(data).__module__}.{type(data).__name__}"
    raise SettingError(
        f"cannot read {role}: it is {found}. It must be an xarray DataTree with the group "
        "`posterior`, as pm.sample() returns, or a Dataset with the dimensions chain and draw; "
        "arviz.from_dict and its siblings make one from other draws."
    )


def select_names(
    posterior: xr.Dataset, other: xr.Dataset, var_names: str | Sequence[str] | None
) -> list[str]:
    """Give the names of the variables to compare, in order and each once."""
    common = [str(name) for name in posterior.data_vars if name in other.data_vars]
    if not common:
        raise SettingError(
            "cannot compare idata with the reference: they share no variable; idata has "
            f"{list(posterior.data_vars)}, the reference {list(other.data_vars)}. Pass two runs of "
            "one model, or rename variables with `.rename`."
        )
    if var_names is None:
        return common
    wanted = list(dict.fromkeys(argument_names("var_names", var_names)))
    if not wanted:
        raise SettingError(
            f"cannot compare var_names={var_names!r}: it names no variable. Both runs have "
            f"{common}; name some of them, or leave var_names out to compare all."
        )
    for name in wanted:
        if name not in common:
            roles = {"idata": posterior, "the reference": other}
            missing = " and ".join(role for role, data in roles.items() if name not in data)
            raise SettingError(
                f"cannot compare {name!r}: it is no variable of {missing or 'the posteriors'}. "
                f"Both runs have {common}; name some of them in var_names."
            )
    return wanted


def match_variable(name: str, draws: xr.DataArray, reference: xr.DataArray) -> Iterator[Parameter]:
    """Split one variable into its scalar parameters, the reference's entries in our order."""
    require_numbers(name, draws, "idata")
    require_numbers(name, reference, "the reference")
    dimensions = [str(dimension) for dimension in draws.dims if dimension not in SAMPLE_DIMENSIONS]
    others = [str(dimension) for dimension in reference.dims if dimension not in SAMPLE_DIMENSIONS]
    if sorted(dimensions) != sorted(others):
        raise SettingError(
            f"cannot compare {name!r}: its dimensions are {dimensions} in idata and {others} in "
            "the reference. They must be the same; rename them with `.rename`, or pass "
            "var_names=... without it."
        )
    labels = []
    for dimension in dimensions:
        positions, names = match_labels(name, dimension, draws, reference)
        reference = reference.isel({dimension: positions})
        labels.append(names)
    order = (*dimensions, *SAMPLE_DIMENSIONS)
    ours, theirs = (np.asarray(array.transpose(*order)) for array in (draws, reference))
    for entry in np.ndindex(*ours.shape[:-2]):
        selection = {
            dimension: names[index]
            for dimension, names, index in zip(dimensions, labels, entry, strict=True)
        }
        indices = dict(zip(dimensions, entry, strict=True))
        label = BaseLabeller().make_label_flat(name, selection, indices)
        yield Parameter(label, ours[entry], theirs[entry])


def require_numbers(name: str, draws: xr.DataArray, role: str, remedy: str = WITHOUT) -> None:
    """Refuse draws that are no numbers or that lack a chain or draw dimension."""
    if draws.dtype.kind not in "biuf":
        raise SettingError(
            f"cannot read {name!r}: its draws in {role} have dtype {draws.dtype}. They must be "
            f"numbers or booleans; {remedy}."
        )
    if not set(SAMPLE_DIMENSIONS) <= set(draws.dims):
        raise SettingError(
            f"cannot read {name!r}: its dimensions in {role} are {list(draws.dims)}. They must "
            "include chain and draw; keep a single chain with `.sel(chain=[0])`, or add the "
            "dimension with `.expand_dims`."
        )


def match_labels(
    name: str, dimension: str, draws: xr.DataArray, reference: xr.DataArray
) -> tuple[NDArray[np.intp], Sequence]:
    """Give the positions of our entries in the reference, and the labels of our entries.

    Labels decide wherever both runs have them; positions where one has none, or where labels repeat
    but stand in the same order.
    """
    index, other = (array.indexes.get(dimension) for array in (draws, reference))
    size, other_size = draws.sizes[dimension], reference.sizes[dimension]
    found = f"{size} entries in idata and {other_size} in the reference"
    if size == other_size:
        positions: NDArray[np.intp] = np.arange(size)
        if index is None or other is None or index.equals(other):
            labels = index if index is not None else other
            usable = labels is not None and labels.is_unique
            return positions, list(labels if usable and labels is not None else positions)
        if index.is_unique and other.is_unique:
            positions = np.asarray(other.get_indexer(pd.Index(index)))
            if (positions >= 0).all():
                return positions, list(index)
        found = f"the labels {shorten(index)} in idata and {shorten(other)} in the reference"
    raise SettingError(
        f"cannot compare {name!r}: its dimension {dimension!r} has {found}. They must be the same, "
        "in any order, each once; compare runs of one model, or pass var_names=... without it."
    )


def labels_of(posterior: xr.Dataset, name: str) -> list[str]:
    """Return the labels of the entries of a variable, as in ArviZ."""
    entries = xarray_sel_iter(posterior, var_names=[name], skip_dims=set(SAMPLE_DIMENSIONS))
    return [BaseLabeller().make_label_flat(*entry) for entry in entries]


def evenly_spaced(total: int, count: int) -> list[int]:
    """Return so many whole numbers below a total, or all of them, evenly spaced."""
    count = min(count, total)
    return [(2 * k + 1) * total // (2 * count) for k in range(count)]


def shorten(names: Sequence) -> str:
    """List the first few names, and say how many more there are."""
    listed = ", ".join(str(name) for name in names[:LISTED])
    return listed if len(names) <= LISTED else f"{listed} and {len(names) - LISTED} more"
