"""The effects of groups that a step integrates out, drawn anew for every draw that records them."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

import numpy as np
from pymc.blocking import PointType
from pymc.model import Model
from pytensor.graph.traversal import ancestors

from pymc_sgld.chain.state import Chain
from pymc_sgld.errors import SettingError
from pymc_sgld.minibatch.groups.conditional import Conditional
from pymc_sgld.recorded import ALL, recorded_names

MOST_EFFECTS = 50_000  # of all groups that a result may hold: 400 MB for 1000 draws
MOST_SECONDS = 1.0  # that a draw of them may take
_SEED, _SEED_OF_DRAWS = 20190714, 20190715


class IntegratedOut:
    """Draws the effects of all groups given the other variables.

    Parameters
    ----------
    conditional : Conditional
        Their distribution.
    model : Model
    has_others : bool
        Whether the density depends on variables that other steps move.
    place : tuple of (ndarray, list of ndarray)
        A position and the values of other variables, to try a draw at.
    """

    def __init__(
        self,
        conditional: Conditional,
        model: Model,
        has_others: bool,
        place: tuple[np.ndarray, list[np.ndarray]],
    ) -> None:
        self.names = names = conditional.names
        self._conditional: Conditional | None = conditional
        self._values = {name: model.rvs_to_values[model[name]].name for name in names}
        effects = [model[name] for name in names]
        kept = [*model.free_RVs, *model.deterministics]
        self._of_effects = {v.name for v in kept if not set(effects).isdisjoint(ancestors([v]))}
        self._others_of_run = [v.name for v in kept if v.name not in self._of_effects]
        self._has_others = has_others
        self._size, self._seconds = conditional.size, 0.0
        if self._size <= MOST_EFFECTS:
            conditional.draw(np.random.default_rng(_SEED), *place)  # compiles
            began = time.perf_counter()
            conditional.draw(np.random.default_rng(_SEED), *place)
            self._seconds = time.perf_counter() - began
        self._recorded: Collection[str] | None = ALL
        self._elsewhere: Collection[str] | None = ALL  # in the process that a copy is for
        if has_others:
            self._check("other steps need them")

    def begin(self) -> None:
        """Refuse a run that would record what is too much to draw.

        Raises
        ------
        SettingError
            With the call that does not record it.
        """
        self._recorded = recorded_names(self._elsewhere)
        if self._are_drawn:
            self._check("the run would record them")

    @property
    def _are_drawn(self) -> bool:
        """Whether anything depends on a draw."""
        recorded = self._recorded
        return self._has_others or recorded is None or not self._of_effects.isdisjoint(recorded)

    @property
    def drawn_values(self) -> list[str]:
        """Names of the values that draws have, if anything depends on them."""
        return list(self._values.values()) if self._are_drawn else []

    def drawn(
        self,
        chain: Chain,
        position: np.ndarray,
        others: list[np.ndarray],
        point: PointType,
    ) -> PointType:
        """Return a point with a draw of the effects, or as it is where nothing depends on them."""
        if not self._are_drawn:
            return point
        assert self._conditional is not None
        # numbers of their own: the others are the same whether effects are recorded or not
        rng = np.random.default_rng((_SEED_OF_DRAWS, chain.row_seed, chain.draw))
        found = self._conditional.draw(rng, position, others)
        return point | {self._values[name]: value for name, value in found.items()}

    def _check(self, why: str) -> None:
        reason = None
        if self._size > MOST_EFFECTS:
            reason = f"{self._size:,} numbers a draw (at most {MOST_EFFECTS:,} are put into a run)"
        elif self._seconds > MOST_SECONDS:
            reason = f"{self._seconds:.1f} seconds a draw"
        if reason is None:
            return
        labels = " and ".join(f'"{name}"' for name in self.names)
        way_out = "pass marginalize=False to sample them as other variables"
        if not self._has_others:
            way_out = (
                f"pass var_names={self._others_of_run} to pm.sample, and have them from "
                f"pymc_sgld.group_effects afterwards; or {way_out}"
            )
        raise SettingError(
            f"{labels} are integrated out, and {why}, which takes {reason}: {way_out}."
        )

    def __getstate__(self) -> dict[str, Any]:
        # a pickle is made where the run begins, and leaves it behind
        state = self.__dict__ | {"_elsewhere": recorded_names(self._elsewhere)}
        # a copy that would never draw has no arrays with an entry for each of very many groups
        return state | ({"_conditional": None} if self._size > MOST_EFFECTS else {})
