"""Parameters and Deterministics at points of a posterior, matched with the draws of a run."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import xarray as xr
from pytensor.graph.traversal import ancestors

from pymc_sgld.chain.parameters import ParameterValues
from pymc_sgld.diagnostics.matching import SAMPLE_DIMENSIONS, labels_of
from pymc_sgld.diagnostics.trust.unconstrained import Draws
from pymc_sgld.minibatch.position import Coordinates, moved
from pymc_sgld.progress import progress


class Values:
    """What the user sees of a position: free variables, and Deterministics that follow from them.

    Parameters
    ----------
    draws : Draws
        Of the run: what it has no draws of is left out.
    coordinates : sequence of Coordinates
        The variables in the position.
    effects : collection of str
        Variables that are integrated out: what depends on them is left out as well.

    Attributes
    ----------
    names : list of str
        Of the variables.
    labels : list of str
        Of their entries, as in ArviZ.
    draws : ndarray, shape (p, chain, draw)
        Of the entries, in the run.
    """

    def __init__(
        self,
        draws: Draws,
        coordinates: Sequence[Coordinates],
        effects: Collection[str] = (),
    ) -> None:
        self._coordinates, self._start, self._posterior = coordinates, draws.start, draws.posterior
        model, posterior = draws.model, draws.posterior
        names = {c.value_name for c in coordinates}
        variables = [v for v in model.continuous_value_vars if v.name in names]
        self._values = ParameterValues(model, variables, draws.start)
        of_entries = np.array([label.partition("[")[0] for label in self._values.names])
        self._places: dict[str, np.ndarray] = {}
        self.labels: list[str] = []
        kept = []
        for name in dict.fromkeys(of_entries.tolist()):
            places = np.flatnonzero(of_entries == name)
            above = {v.name for v in ancestors([model[name]])}
            if name not in posterior or not above.isdisjoint(effects):
                continue
            own = posterior[name].transpose(..., *SAMPLE_DIMENSIONS).to_numpy()
            own = own.reshape(-1, *own.shape[-2:])
            if len(own) == len(places):
                self._places[name] = places
                self.labels += labels_of(posterior, name)
                kept.append(own.astype(float))
        self.names = list(self._places)
        self.draws = np.concatenate(kept)

    def at(self, positions: np.ndarray) -> np.ndarray:
        """Return all entries at positions (S, d), shape (S, p)."""
        places = np.concatenate(list(self._places.values()))
        found = np.empty((len(positions), len(places)))
        with progress("computing parameters", len(positions)) as update:
            for s, position in enumerate(positions):
                found[s] = self._values(moved(self._start, self._coordinates, position))[places]
                update()
        return found

    def dataset(self, entries: np.ndarray) -> xr.Dataset:
        """Return entries, shape (chain, draw, p), as variables with the dimensions of the run."""
        arrays, first = {}, 0
        for name, places in self._places.items():
            like = self._posterior[name].transpose(*SAMPLE_DIMENSIONS, ...)
            own = entries[:, :, first : first + len(places)]
            kept = {k: c for k, c in like.coords.items() if not {*c.dims} & {*SAMPLE_DIMENSIONS}}
            shaped = own.reshape(*own.shape[:2], *like.shape[2:])
            arrays[name] = xr.DataArray(shaped, coords=kept, dims=like.dims)
            first += len(places)
        labels = {d: np.arange(n) for d, n in zip(SAMPLE_DIMENSIONS, entries.shape, strict=False)}
        return xr.Dataset(arrays).assign_coords(labels)
