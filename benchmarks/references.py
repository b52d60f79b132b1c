"""Reference means and standard deviations by NUTS, for the posteriors without a known answer.

Each posterior is sampled by PyMC's NUTS, or by nutpie's where it is installed, four chains, and its
means and standard deviations are written to ``data/NAME.json``. They are not if a parameter has an
effective sample size below 2,000, for its mean or for its square, or an R-hat above 1.005 after
two longer runs: then the exit status is 1. ``students`` and ``million`` are too large for NUTS, and
are done by ``marginal_reference.py`` and ``logistic_reference.py``.

Run it with ``python benchmarks/references.py [NAMES]``.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator

import arviz as az
import known_posteriors as posteriors
import numpy as np
import pymc as pm
from known_posteriors.groups import election_cells
from known_posteriors.hierarchical import noncentered_eight_schools
from known_posteriors.posterior import DATA
from logistic_reference import million_reference
from marginal_reference import students_reference

ENOUGH, MIXED = 2_000, 1.005
LONGER = 4  # times as many draws in the next run
# the same posteriors, for NUTS
EASIER = {"eight_schools": noncentered_eight_schools, "election": election_cells}
SETTINGS = {"election": {"target_accept": 0.95, "adaptation": "low_rank"}}  # of nutpie
OTHERWISE = {"students": students_reference, "million": million_reference}  # without NUTS


def sample(
    model: pm.Model, names: list[str], draws: int, tune: int, target_accept: float = 0.9, **settings
) -> dict[str, object]:
    """Return means and sds of the parameters, and how good they are."""
    start = time.perf_counter()
    with model:
        run = pm.sample(
            draws,
            tune=tune,
            chains=4,
            cores=2,
            random_seed=2011,
            var_names=names,
            nuts={"target_accept": target_accept, **settings},
            progressbar=False,
            compute_convergence_checks=False,
        )
    seconds = time.perf_counter() - start
    values = posteriors.stack(run.posterior, names)
    mean, sd = values.mean(axis=(0, 1)), values.std(axis=(0, 1))
    each, squares = np.moveaxis(values, -1, 0), np.moveaxis((values - mean) ** 2, -1, 0)
    ess = np.array([az.ess(value) for value in each])
    return {
        "names": names,
        "sum_of_outcomes": posteriors.sum_of_outcomes(model),
        "ess": int(ess.min()),
        "ess_of_squares": int(min(az.ess(value) for value in squares)),
        "r_hat": float(max(az.rhat(value) for value in each)),
        "divergences": int(run.sample_stats["diverging"].sum()),
        "draws": values.shape[0] * values.shape[1],
        "seconds": round(seconds, 1),
        "mean": mean.tolist(),
        "sd": sd.tolist(),
        "mcse": (sd / np.sqrt(ess)).tolist(),
    }


def is_good(reference: dict[str, object]) -> bool:
    """Say whether the reference is one."""
    enough = min(reference["ess"], reference["ess_of_squares"]) >= ENOUGH
    return enough and reference.get("r_hat", 1) <= MIXED


def rounded(value: object, digits: int = 8) -> object:
    """Return the value with so many significant digits; lists are rounded entry by entry."""
    if isinstance(value, list):
        return [rounded(entry, digits) for entry in value]
    return float(f"{value:.{digits}g}") if isinstance(value, float) else value


def attempts(name: str, draws: int, tune: int) -> Iterator[dict[str, object]]:
    """Give references of a posterior, each from a longer run than the one before."""
    if name in OTHERWISE:
        yield OTHERWISE[name]()
        return
    build = EASIER.get(name) or getattr(posteriors, name).__wrapped__
    model, names = build()
    for length in (draws, draws * LONGER, draws * LONGER**2):
        yield sample(model, names, length, tune, **SETTINGS.get(name, {}))


def write(name: str, draws: int, tune: int) -> bool:
    """Write the first reference of a posterior that is good; say whether there is one."""
    for reference in attempts(name, draws, tune):
        said = {key: reference[key] for key in list(reference)[2:-3]}
        print(f"{name}: {'good' if is_good(reference) else 'TOO POOR'}, {said}", flush=True)
        if is_good(reference):
            text = json.dumps({key: rounded(value) for key, value in reference.items()})
            (DATA / f"{name}.json").write_text(text + "\n")
            return True
    return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [build.__name__ for build in (*posteriors.SAMPLED, *posteriors.LARGE)]
    parser.add_argument("names", nargs="*", help=f"of {', '.join(names)}; all by default")
    parser.add_argument("--draws", type=int, default=5_000, help="of a chain, in the first run")
    parser.add_argument("--tune", type=int, default=1_000, help="of a chain")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(names)
    if unknown:
        parser.error(f"no such posterior: {', '.join(sorted(unknown))}")
    good = [write(name, arguments.draws, arguments.tune) for name in arguments.names or names]
    sys.exit(not all(good))


if __name__ == "__main__":
    main()
