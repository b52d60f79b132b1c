"""Another call is told from the one that made a folder, by the name of what differs."""

import os
import subprocess
import sys

import numpy as np
import pymc as pm
import pytest
import scipy

from pymc_sgld import SGHMC, SGLD, SettingError, schedules
from pymc_sgld.checkpoint import fingerprint as module
from pymc_sgld.checkpoint.fingerprint import differences, fingerprint, of_array
from pymc_sgld.sources.bind import bind
from tests.checkpoint.stopped import ROWS, model
from tests.graphs import QUICK
from tests.zoo import SELECTABLE

SETTINGS = QUICK | {"step_size": 1e-3, "batch_size": 7}


def of(model, sources=None, **arguments):
    return fingerprint({}, arguments, model, bind(sources))


def linear(x=ROWS, slope=1.0, power=2, more=(), **settings):
    with pm.Model() as model:
        b = pm.Normal("b", 0, slope, **settings)
        scale = pm.Deterministic("scale", abs(b) ** power)
        pm.Normal("y", pm.Data("x", x) * b, 1 + scale, observed=ROWS)
        for name in more:
            pm.Normal(name)
    return model


def test_the_same_model_again():
    assert of(linear()) == of(linear())


@pytest.mark.long
def test_the_same_in_another_process():
    """Of names and addresses that depend on the process nothing is in it."""
    code = (
        "from tests.checkpoint.stopped import model\n"
        "from pymc_sgld.checkpoint.fingerprint import fingerprint\n"
        "print(sorted(fingerprint({}, {'f': {'b', 'a'}}, model(), {}).items()))"
    )
    found = sorted(fingerprint({}, {"f": {"b", "a"}}, model(), {}).items())
    run = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONHASHSEED": "5", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == str(found)


@pytest.mark.long
@pytest.mark.parametrize("build", SELECTABLE, ids=lambda build: build.__name__)
def test_models_of_every_kind(build):
    assert of(build()) == of(build())


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        (dict(x=ROWS + 1e-12), ['the data "x"']),
        (dict(x=ROWS.astype("float32")), ['the data "x"']),
        (dict(slope=2.0), ['the definition of "b"']),
        (dict(power=3), ['the definition of "scale"', 'the definition of "y"']),
        (dict(transform=pm.distributions.transforms.log), None),
        (dict(more=["new"]), ['the definition of "new"']),
    ],
)
def test_what_differs_in_a_model(changed, what):
    found = differences(of(linear()), of(linear(**changed)))
    assert found if what is None else found == what


def test_outcomes_are_data():
    one, other = of(model()), of(model(rows=ROWS + 1))
    assert differences(one, other) == ['the data of "y"']


@pytest.mark.parametrize(
    ("then", "now", "what"),
    [
        ({"batch_size": 64}, {"batch_size": 128}, "batch_size (64 then, 128 now)"),
        ({"step_size": None}, {"step_size": 0.1}, "step_size (None then, 0.1 now)"),
        ({"full": ("a", "b")}, {"full": {"b", "a"}}, None),
        ({"center": {"a": np.ones(2)}}, {"center": {"a": np.ones(2)}}, None),
        ({"center": {"a": np.ones(2)}}, {"center": {"a": np.zeros(2)}}, "center"),
        ({"preconditioner": [1, 2]}, {"preconditioner": [1, 3]}, "preconditioner"),
        ({"step_size": lambda n: 1 / (n + 1)}, {"step_size": lambda n: 2 / (n + 1)}, "step_size"),
        ({"compile_kwargs": {"mode": "NUMBA"}}, {"compile_kwargs": None}, "compile_kwargs"),
    ],
)
def test_what_differs_in_settings(then, now, what):
    one, other = (of(model(), **each) for each in (then, now))
    found = differences(one, other)
    assert not found if what is None else found[0].startswith(what) and len(found) == 1


def test_schedules():
    def described(**settings):
        return of(model(), step_size=schedules.polynomial(**settings))

    one = described(a=1e-3, b=10.0, gamma=0.6)
    assert one == described(a=1e-3, b=10.0, gamma=0.6)
    assert differences(one, described(a=1e-3, b=10.0, gamma=0.7))


def test_versions(monkeypatch):
    before = of(model())
    monkeypatch.setattr(module, "version", lambda package: "9.9")
    [numba] = [each for each in differences(before, of(model())) if each.startswith("numba (")]
    assert numba.endswith("then, 9.9 now)")


def test_sources():
    rows = np.random.default_rng(1).normal(size=(100_000, 2))
    before = of(model(), {"y": rows})
    assert before == of(model(), {"y": rows.copy()})
    other = rows.copy()
    other[-1, 0] += 1e-9
    assert differences(before, of(model(), {"y": other})) == ['the source "y"']
    assert differences(before, of(model(), {"y": rows[:-1]})) == ['the source "y"']


def test_arrays():
    a = np.arange(6.0)
    others = [a[::-1], a.reshape(2, 3), a.astype("float32"), a[:5], np.array(["a", None], object)]
    assert len({of_array(each) for each in [a, *others]}) == 6
    assert of_array(a.reshape(2, 3)) == of_array(np.asfortranarray(a.reshape(2, 3)))
    sparse = scipy.sparse.csr_matrix(np.eye(3))
    assert of_array(sparse) == of_array(sparse.tocsc()) != of_array(2 * sparse)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Make a folder, the one of all calls in this file."""
    SETTINGS["checkpoint"] = folder = tmp_path_factory.mktemp("folders") / "run"
    SGLD(model=model(), **SETTINGS)
    return folder


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (lambda: SGLD(model=model(ROWS[:-1]), **SETTINGS), 'data of "y"'),
        (lambda: SGLD(model=model(prior=3.0), **SETTINGS), '"mean"'),
        (lambda: SGLD(model=model(), **SETTINGS | {"batch_size": 8}), r"batch_size \(7 then, 8"),
        (lambda: SGHMC(model=model(), **SETTINGS), "the sampler"),
    ],
    ids=["data", "model", "setting", "sampler"],
)
def test_a_folder_of_another_call_is_refused(made, other, what):
    before = (made / "settings.npz").read_bytes()
    with pytest.raises(SettingError, match=rf"run of another call. What differs: .*{what}"):
        other()
    assert (made / "settings.npz").read_bytes() == before
