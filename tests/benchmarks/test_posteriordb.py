"""The posteriors of posteriordb: ports, exact references, and a checkout of the database."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.mark.long
def test_exact_means_are_those_of_the_published_draws():
    """Within five standard errors of 10,000 draws; a port with a wrong column or prior is seen."""
    from posteriordb import Shipped
    from posteriordb.database import MODELS
    from posteriordb.linear import Linear

    database, compared = Shipped(), 0
    for name in database.names:
        of_data, of_model = database.parts(name)
        found = MODELS[of_model](database.data(of_data))
        if isinstance(found, Linear):
            mean, sd = found.moments()
            published = database.moments(name)[0]
            assert (np.abs(published - mean) < 5 * 0.01 * sd).all(), name
            compared += 1
    assert compared == 26
    right, wrong = (
        MODELS[name](database.data("kidiq")).moments()
        for name in ("kidscore_interaction", "kidscore_interaction_c2")
    )
    assert (np.abs(right[0] - wrong[0]) > 5 * 0.01 * right[1])[:3].all()


def test_moments_without_priors_are_those_in_closed_form():
    from known_posteriors.linear import closed_form
    from posteriordb.linear import beta

    rng = np.random.default_rng(5)
    x, z = rng.standard_normal((2, 40))
    outcome = 3 + x - 2 * z + rng.standard_normal(40)
    found = beta(outcome, x, z).moments()
    expected = closed_form(np.column_stack([np.ones(40), x, z]), outcome)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


LOG_PRIOR = {  # of alpha, beta, and sigma
    "kilpisjarvi_mod-kilpisjarvi": lambda a, b, s: (
        stats.norm(9.31290322580645, 100).logpdf(a) + stats.norm(0, 1 / 30).logpdf(b)
    ),
    "radon_all-radon_pooled": lambda a, b, s: (
        stats.norm(0, 10).logpdf([a, b]).sum() + stats.halfnorm(scale=1).logpdf(s)
    ),
    "kidiq-kidscore_momhs": lambda a, b, s: stats.halfcauchy(scale=2.5).logpdf(s),
}


@pytest.mark.parametrize("name", LOG_PRIOR)
def test_the_model_is_the_one_whose_moments_are_computed(name):
    from posteriordb import Shipped
    from posteriordb.database import MODELS

    database = Shipped()
    of_data, of_model = database.parts(name)
    linear = MODELS[of_model](database.data(of_data))
    model, names = linear.model()
    log_density = model.compile_logp(mode="FAST_COMPILE", jacobian=False)
    design = np.column_stack(list(linear.columns.values()))

    def both(a, b, sigma):
        point = model.initial_point()
        if "beta" in names and np.ndim(point["beta"]):
            point["beta"] = np.array([a, b])
        else:
            point["alpha"], point["beta"] = np.array(float(a)), np.array(float(b))
        point[f"{names[-1]}_log__"] = np.array(np.log(sigma))
        likelihood = stats.norm(design @ [a, b], sigma).logpdf(linear.outcome).sum()
        return log_density(point), likelihood + LOG_PRIOR[name](a, b, sigma)

    found, expected = np.diff([both(1.0, 0.1, 2.0), both(-2.0, 0.2, 5.0)], axis=0)[0]
    assert found == pytest.approx(expected, rel=1e-9)


def zipped(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(path.stem, json.dumps(content))


@pytest.fixture
def checkout(tmp_path):
    """Return a folder with the layout of posteriordb, and four posteriors."""
    root = tmp_path / "posterior_database"
    (root / "posteriors").mkdir(parents=True)
    for name, model, reference in (
        ("mesquite", "logmesquite_logvolume", "mesquite-volume"),
        ("dogs", "dogs", "dogs-dogs"),
        ("arma", "arma11", "arma-arma11"),
        ("mnist", "nn_rbm1bJ100", None),
    ):
        info = {"data_name": name, "model_name": model, "reference_posterior_name": reference}
        (root / "posteriors" / f"{name}-{model}.json").write_text(json.dumps(info))
    from posteriordb import Shipped

    data = {key: value.tolist() for key, value in Shipped().data("mesquite").items()}
    zipped(root / "data" / "data" / "mesquite.json.zip", data)
    zipped(root / "data" / "data" / "dogs.json.zip", {"y": [[1, 0, 1], [1, 1, 0]]})
    chains = [{"beta[1]": [1.0, 3.0], "beta[2]": [0.0, 2.0], "sigma": [1.0, 1.0]}] * 2
    folder = root / "reference_posteriors" / "draws" / "draws"
    zipped(folder / "mesquite-volume.json.zip", chains)
    chains = [{**{f"beta[{k}]": [k - 1.0, k + 1.0] for k in (1, 2, 3)}, "p[1,1]": [0.5, 0.6]}]
    zipped(folder / "dogs-dogs.json.zip", chains)
    return tmp_path


def test_a_checkout_has_data_and_references(checkout, tmp_path):
    from posteriordb import Checkout, Problem

    database = Checkout(checkout)
    names = database.names  # of those with a reference
    assert names == ["arma-arma11", "dogs-dogs", "mesquite-logmesquite_logvolume"]
    reason, dogs, mesquite = map(database.problem, names)
    assert "does not factorise" in reason
    assert isinstance(dogs, Problem) and isinstance(mesquite, Problem)
    np.testing.assert_allclose(dogs.known.mean, [1, 2, 3])
    np.testing.assert_allclose(dogs.known.sd, 1)
    assert dogs.known.names == ["beta"] and dogs.kind == "draws"
    assert mesquite.kind == "quadrature" and mesquite.published > 1  # the draws are made up
    with pytest.raises(SystemExit, match="checkout of posteriordb"):
        Checkout(tmp_path / "nowhere")


def test_dogs_are_told_by_what_happened_before():
    from posteriordb.others import _avoided_and_shocked

    avoided, shocked, outcome = _avoided_and_shocked({"y": np.array([[1, 0, 0, 1], [1, 1, 1, 0]])})
    assert shocked.tolist() == [0, 1, 1, 1, 0, 1, 2, 3]
    assert avoided.tolist() == [0, 0, 1, 2, 0, 0, 0, 0]
    assert outcome.tolist() == [1, 0, 0, 1, 1, 1, 1, 0]


def test_a_likelihood_that_does_not_factorise_is_refused():
    from conformance import line
    from posteriordb import Shipped

    found = line(Shipped(), "gp_pois_regr-gp_regr", seed=1)
    assert found["verdict"].startswith("refused: ") and '"y"' in found["verdict"]
    assert found["rows"] == 11
