"""What the choice of rows does to means and standard deviations, in closed form."""

import numpy as np
import pytest

from pymc_sgld.tuning.importance.points import Proposal
from pymc_sgld.tuning.importance.weighted import Weighted
from pymc_sgld.tuning.posterior.covariance import Full


def test_the_error_by_rows_is_the_covariance_with_what_parts_differ_by():
    r"""Parts that tilt a normal density by :math:`a_k \theta + b_k \theta^2 / 2`.

    A mean moves by :math:`a_k`, a variance by :math:`b_k`, to first order, where both are 0 and 1.
    """
    rng = np.random.default_rng(1)
    points = Proposal(np.zeros(1), Full(np.eye(1))).points(200_000, rng)
    z = points.positions
    tilts, bends = rng.normal(size=(2, 8))
    estimates = -(z**2) / 2 + 1e-3 * (z * tilts + z**2 * bends / 2)
    weights = points.gaussian / points.gaussian.sum()
    found = Weighted(None, points, estimates, weights, 0.0)
    known = found.moments(z)
    mean, sd = found.by_rows(z, known._replace(mean=np.zeros(1), sd=np.ones(1)))
    assert mean[0] == pytest.approx(1e-3 * tilts.std(ddof=1) / np.sqrt(8), rel=0.05)
    assert sd[0] == pytest.approx(1e-3 * bends.std(ddof=1) / np.sqrt(8) / 2, rel=0.05)
