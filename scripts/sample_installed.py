"""Samples a model with the package as it is installed, and compares the run with NUTS."""

from pathlib import Path

import numpy as np
import pymc as pm

import pymc_sgld


def main() -> None:
    """Sample, certify and compare."""
    folder = Path(pymc_sgld.__file__).parent
    assert "site-packages" in folder.parts, f"{folder} is not installed"
    assert (folder / "py.typed").exists()
    rng = np.random.default_rng(1)
    x = rng.normal(size=2000)
    with pm.Model() as model:
        slope = pm.Normal("slope")
        noise = pm.HalfNormal("noise")
        pm.Normal("y", slope * x, noise, observed=0.5 * x + rng.normal(size=2000))
        idata = pm.sample(step=pymc_sgld.SGLD(), random_seed=1, progressbar=False, cores=1)
        reference = pm.sample(random_seed=2, progressbar=False, cores=1)
    comparison = pymc_sgld.compare(idata, reference)
    print(comparison)
    print(pymc_sgld.diagnose(idata, model))
    assert comparison["agrees"].all()


if __name__ == "__main__":
    main()
