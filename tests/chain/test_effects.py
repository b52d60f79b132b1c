"""Effects that are integrated out are drawn anew for every draw that records them."""

import pickle

import cloudpickle
import numpy as np
import pymc as pm
import pytest

from pymc_sgld import SGLD, SettingError
from pymc_sgld.chain import effects as of_chain
from pymc_sgld.minibatch.groups.conditional import Conditional
from tests.graphs import QUICK
from tests.models import EVEN, PASSED
from tests.runs import RUN, draws

SETTINGS = QUICK | {
    "step_size": 1e-3,
    "batch_size": 12,
    "steps_per_draw": 2,
    "marginalize": "effect",
}
GLOBALS = ["mean", "twice"]
ALL = RUN["chains"] * RUN["draws"]


def build(*others):
    with pm.Model() as model:
        mean = pm.Normal("mean")
        pm.Deterministic("twice", 2 * mean)
        effect = pm.Normal("effect", mean, 1, shape=7)
        pm.Deterministic("largest", effect.max())
        shift = pm.Bernoulli("shift", 0.5) if others else 0
        pm.Bernoulli("y", logit_p=effect[EVEN] + shift, observed=PASSED)
    return model


@pytest.fixture(scope="module")
def model():
    return build()


@pytest.fixture(scope="module")
def step(model):
    return SGLD(model=model, **SETTINGS)


@pytest.fixture
def drawn(monkeypatch):
    """Count the draws of effects."""
    calls, draw = [], Conditional.draw

    def counted(self, *args):
        calls.append(1)
        return draw(self, *args)

    monkeypatch.setattr(Conditional, "draw", counted)
    return calls


def sample(model, step, **settings):
    with model:
        return pm.sample(step=step, **RUN | settings).posterior


def are_new(posterior):
    """Whether no two draws have an effect in common."""
    values = posterior["effect"].to_numpy().reshape(ALL, -1)
    return all(len(np.unique(column)) == ALL for column in values.T)


def test_nothing_is_drawn_that_is_not_recorded(model, step, drawn):
    posterior = sample(model, step, var_names=GLOBALS)
    assert list(posterior) == GLOBALS and not drawn


def test_every_draw_is_new(model, step, drawn):
    posterior = sample(model, step)
    assert set(posterior) == {*GLOBALS, "effect", "largest"} and are_new(posterior)
    assert len(drawn) == RUN["chains"] * (RUN["draws"] + RUN["tune"])
    np.testing.assert_array_equal(posterior["largest"], posterior["effect"].max("effect_dim_0"))


def test_globals_do_not_depend_on_what_is_recorded(model, step):
    with_effects, without = sample(model, step), sample(model, step, var_names=GLOBALS)
    for name in GLOBALS:
        np.testing.assert_array_equal(with_effects[name], without[name])


def test_every_draw_of_every_chain_has_random_numbers_of_its_own(model, step, monkeypatch):
    """Effects differ without them too, because the other variables do."""
    seen, draw = [], Conditional.draw

    def noted(self, rng, *args):
        seen.append(rng.bit_generator.state["state"]["state"])
        return draw(self, rng, *args)

    monkeypatch.setattr(Conditional, "draw", noted)
    sample(model, step)
    assert len(set(seen)) == len(seen) == RUN["chains"] * (RUN["draws"] + RUN["tune"])


def test_what_depends_on_effects_is_new(model, step, drawn):
    posterior = sample(model, step, var_names=["largest"])
    assert drawn and len(np.unique(posterior["largest"])) == ALL


def test_a_run_does_not_take_over_what_another_recorded(model, step):
    sample(model, step, var_names=GLOBALS)
    assert are_new(sample(model, step))
    sample(model, step, var_names=GLOBALS)
    points = [point["effect"] for point, _ in draws(step, model.initial_point(), 4)]
    assert len(np.unique(points)) == 4 * 7


def test_a_step_by_itself_draws(model, step, drawn):
    draws(step, model.initial_point(), 3)
    assert len(drawn) == 3


@pytest.mark.parametrize(
    ("limit", "value"),
    [("MOST_EFFECTS", 3), pytest.param("MOST_SECONDS", 0.0, marks=pytest.mark.long)],
)
def test_too_much_to_draw(model, monkeypatch, limit, value):
    """The run is refused before it begins, with the call that does without."""
    monkeypatch.setattr(of_chain, limit, value)
    step = SGLD(model=model, **SETTINGS)
    message = r"\"effect\" are integrated out.*var_names=\['mean', 'twice'\].*group_effects"
    with pytest.raises(SettingError, match=message):
        sample(model, step)
    assert list(sample(model, step, var_names=GLOBALS)) == GLOBALS


@pytest.mark.long
def test_beside_other_steps(drawn, monkeypatch):
    """They need the effects whether these are recorded or not; too many are refused at once."""
    model = build("another")
    step = SGLD(model=model, **SETTINGS)
    drawn.clear()
    posterior = sample(model, step, var_names=["mean", "shift"])
    assert set(posterior) == {"mean", "shift"}
    assert len(drawn) == RUN["chains"] * (RUN["draws"] + RUN["tune"])
    assert are_new(sample(model, step))
    monkeypatch.setattr(of_chain, "MOST_EFFECTS", 3)
    with pytest.raises(SettingError, match=r"other steps need them.*pass marginalize=False"):
        SGLD(model=model, **SETTINGS)


def test_a_copy_for_another_process_knows_what_is_recorded(model, step, drawn):
    """It is made in the run, and used where the call of pm.sample is not to be seen."""
    copies = []

    def callback(trace, draw):
        if not copies:
            copies.append(cloudpickle.dumps(step))

    sample(model, step, var_names=GLOBALS, callback=callback)
    [copy] = copies
    draws(pickle.loads(copy), model.initial_point(), 3)
    draws(pickle.loads(cloudpickle.dumps(pickle.loads(copy))), model.initial_point(), 3)
    assert not drawn
    draws(pickle.loads(cloudpickle.dumps(step)), model.initial_point(), 3)
    assert len(drawn) == 3


@pytest.mark.parametrize(
    "context",
    ["fork", *(pytest.param(name, marks=pytest.mark.long) for name in ("spawn", "forkserver"))],
)
def test_processes(model, step, context):
    there = {"cores": 2, "mp_ctx": context}
    posterior = sample(model, step, **there)
    assert are_new(posterior)
    here = sample(model, step)
    for name in here:
        np.testing.assert_array_equal(here[name], posterior[name])
    assert list(sample(model, step, var_names=GLOBALS, **there)) == GLOBALS
