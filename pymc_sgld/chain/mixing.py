r"""How much the draws of a chain are worth, and whether they are as wide as was expected.

The draws are cut into :math:`K` groups that follow each other. With the variance :math:`s^2` of all
draws and :math:`s_K^2` of the means of the groups, the effective sample size is

.. math::

    \mathrm{ESS} = K s^2 / s_K^2,

the number of independent draws whose mean would vary as much. A chain that drifts, or is caught
somewhere for a while, has means that are far apart, and few effective draws: no more than about
:math:`K`, however long it is.

Step size and preconditioner are chosen for the Gaussian that is closest to the posterior. Where the
draws are far wider than this Gaussian, in a funnel for instance, it says nothing of most of them.

References
----------
Flegal and Jones (2010), Batch means and spectral variance estimators in Markov chain Monte Carlo.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import scipy

from pymc_sgld.equality import Comparable
from pymc_sgld.messages import Message, Reason
from pymc_sgld.tolerance import CHAIN_ESS_LIMIT as NEEDED  # effective draws of a chain
from pymc_sgld.tolerance import CHAIN_FALSE_ALARMS, FEWEST_JUDGED

GROUPS = 20
WIDER = 4.0  # variance of the draws over that of the Gaussian


@dataclass(eq=False)
class Mixing(Comparable):
    """Sums over the draws that count, in unconstrained coordinates.

    Parameters
    ----------
    size : int
        Coordinates.
    length : int
        Draws that there will be.
    """

    size: int
    length: int
    _origin: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._origin = np.zeros(self.size)
        self._sums = np.zeros((GROUPS, self.size))
        self._squares = np.zeros(self.size)
        self._count = 0

    def include(self, position: np.ndarray) -> None:
        """Take in a draw, shape (d,)."""
        if not self._count:
            self._origin = position
        away = position - self._origin
        self._sums[min(self._count * GROUPS // max(1, self.length), GROUPS - 1)] += away
        self._squares += away**2
        self._count += 1

    def messages(
        self, names: Sequence[str], expected: np.ndarray | None, step_is_chosen: bool
    ) -> list[Message]:
        """Return what is to be said of a chain at its end.

        Parameters
        ----------
        names : sequence of str
            Of the coordinates.
        expected : ndarray, shape (d,), or None
            Variances of the Gaussian that settings were chosen for.
        step_is_chosen : bool
            Whether the step size was chosen for it, too.
        """
        if self._count < max(FEWEST_JUDGED, self.length):
            return []
        found = []
        ess = self.effective_sizes()
        worst = int(np.argmin(ess))
        if ess[worst] < self._least():
            text = (
                f"too few draws to judge this chain: the effective sample size of {names[worst]} "
                f"is about {ess[worst]:.0f} (of {self._count} draws), and {NEEDED} are needed. "
                "Sample more draws, or reparametrise the model."
            )
            found.append(Message(Reason.SHORT, NEEDED / ess[worst], text))
        if expected is not None and step_is_chosen:
            with np.errstate(all="ignore"):
                ratio = np.nan_to_num(self.variances() / expected)
            worst = int(np.argmax(ratio))
            if ratio[worst] > WIDER:
                text = (
                    f"the draws of {names[worst]} have {np.sqrt(ratio[worst]):.2g} times the "
                    "standard deviation of the Gaussian that the step size was chosen for: the "
                    "posterior is unlike it, and means and standard deviations may be off. "
                    "Reparametrise the model (group effects centered if they are not, or the other "
                    "way round), or compare with NUTS."
                )
                found.append(Message(Reason.WIDTH, float(ratio[worst]), text))
        return found

    def variances(self) -> np.ndarray:
        """Return the variances of all draws, shape (d,)."""
        mean = self._sums.sum(axis=0) / self._count
        return np.maximum(self._squares / self._count - mean**2, 0)

    def effective_sizes(self) -> np.ndarray:
        """Return the effective sample sizes, shape (d,); that of a constant is infinite."""
        counts = np.bincount(
            np.minimum(np.arange(self._count) * GROUPS // self.length, GROUPS - 1),
            minlength=GROUPS,
        )
        of_means = (self._sums / counts[:, None]).var(axis=0, ddof=1)
        with np.errstate(all="ignore"):
            sizes = GROUPS * self.variances() / of_means
        return np.nan_to_num(sizes, nan=np.inf, posinf=np.inf)

    def _least(self) -> float:
        """Return what the estimates of ``NEEDED`` effective draws all exceed, but for chance."""
        freedom = GROUPS - 1
        return (
            NEEDED
            * freedom
            / float(scipy.special.chdtri(freedom, CHAIN_FALSE_ALARMS / max(1, self.size)))
        )
