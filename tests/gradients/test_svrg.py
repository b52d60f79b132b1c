"""SVRG: an anchor that follows the chain, in every epoch."""

import numpy as np
import pymc as pm
import pytest

from pymc_sgld import SGLD
from pymc_sgld.gradients.control_variates import control_variate
from pymc_sgld.gradients.svrg import svrg
from pymc_sgld.minibatch.full_data import FullData
from pymc_sgld.minibatch.model import Minibatcher
from tests.graphs import QUICK

N, BATCH, SEED = 200, 20, 3
_rng = np.random.default_rng(SEED)
X = _rng.normal(size=(N, 2))
Y = _rng.binomial(1, 1 / (1 + np.exp(-X @ [1.0, -0.5])))


@pytest.fixture(scope="module")
def model():
    with pm.Model() as model:
        beta = pm.Normal("beta", shape=2)
        pm.Bernoulli("y", logit_p=X @ beta, observed=Y)
    return model


def test_a_refreshed_anchor_is_a_center(model):
    """Its arrays are those of a control variate at that point; wrong order would mix them up."""
    point = model.initial_point()
    rows = Minibatcher(model, model.value_vars, point)
    density, data = rows.density(BATCH), FullData(rows.density(50))
    first, second = np.zeros(2), np.array([0.8, -0.4])
    estimate = svrg(density, data.center(first, []), data)
    expected = control_variate(density, data.center(second, [])).arrays.values()
    for found, array in zip(estimate.memory.refresh(second, []), expected, strict=True):
        np.testing.assert_allclose(found, array, rtol=1e-12)
    assert estimate.memory.every == N // BATCH


def test_the_anchor_of_a_chain_is_renewed_in_every_epoch(model):
    step = SGLD(
        model=model, batch_size=BATCH, step_size=0.02, steps_per_draw=5,
        **(QUICK | {"gradient": "svrg", "preconditioner": "identity"}),
    )  # fmt: skip
    step.setup_chain(np.random.default_rng(1), 0, 8)
    point, anchors, positions, rows = model.initial_point(), [], [], []
    for _ in range(8):
        positions.append(point["beta"])
        point, [stats] = step.step(point)
        anchors.append(step.chain.memory[0] if step.chain.memory else None)
        rows.append(stats["rows_seen"])
    assert anchors[0] is None and anchors[1] is None  # the center, which was known
    for draw in (2, 4, 6):  # after 10, 20 and 30 updates of 10 batches an epoch
        np.testing.assert_array_equal(anchors[draw], positions[draw])
        np.testing.assert_array_equal(anchors[draw + 1], anchors[draw])
    assert rows[1] == 10 * BATCH and rows[2] == 15 * BATCH + N  # the pass is counted
    state = step.sampling_state
    one, _ = step.step(point)
    step.sampling_state = state
    again, _ = step.step(point)
    np.testing.assert_array_equal(one["beta"], again["beta"])
