"""Where the posterior of a model is, looked for from where the draws of a run are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pymc_sgld.backends.backend import Backend
from pymc_sgld.diagnostics.stored import StoredStats
from pymc_sgld.diagnostics.trust.unconstrained import Draws, check_row_count
from pymc_sgld.errors import MinibatchError, SettingError
from pymc_sgld.minibatch.full_data import FullData
from pymc_sgld.tuning.importance.expansion import FEW
from pymc_sgld.tuning.locate import locate
from pymc_sgld.tuning.posterior.covariance import FULL_SIZE, Full
from pymc_sgld.tuning.posterior.variational import Gaussian
from pymc_sgld.tuning.quadrature import PoorIntegral
from pymc_sgld.tuning.settings import Search

PURPOSE = "certify"
BLOCK = 2048  # rows that are evaluated at once: as many as stand for all of them at a point
CALLS = 10_000  # of a function of a block, about


class LocatedPosterior(NamedTuple):
    """Where the posterior is."""

    draws: Draws
    data: FullData
    gaussian: Gaussian
    others: list[np.ndarray]
    effects: list[str]

    @classmethod
    def of(
        cls, draws: Draws, stored: StoredStats, marginalize: bool | None, backend: Backend
    ) -> LocatedPosterior:
        """Look for the posterior of a model, from where the draws of a run are."""
        draws.check_finite(draws.purpose)
        for effects in [list(draws.integrated) or marginalize, False]:
            batches = draws.minibatcher(backend, effects)
            batches.check_sources()
            block = FEW if batches.largest <= FEW else BLOCK
            try:
                density = batches.blocks(block)
            except MinibatchError:  # all rows at once needs no blocks
                block = batches.largest
                density = batches.blocks(block)
            data = FullData(density, backend, CALLS)
            check_row_count(data.rows, batches, stored.rows, draws.purpose)
            size = data.density.position.type.shape[0]
            if size > FULL_SIZE:
                raise SettingError(
                    f"cannot {draws.purpose}: the model has {size} unconstrained coordinates, more "
                    f"than {FULL_SIZE}: too many for weights of points around one Gaussian. "
                    "diagnose(idata, model) measures the bias by gradients."
                )
            others = batches.values_of_others
            search = Search(
                draws.at(data.coordinates).mean(axis=(0, 1)).astype(data.dtype), others, None, []
            )
            try:
                data, gaussian = locate(batches, data, block, search, "certify")
            except PoorIntegral:
                continue
            break
        assert isinstance(gaussian.shape, Full)
        integrated = [] if batches.groups is None else [e.name for e in batches.groups.effects]
        return cls(draws, data, gaussian, others, integrated)
