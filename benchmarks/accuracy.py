"""How accurate SGLD is: posteriors with a known answer, from default settings.

One line a posterior: the worst shift of a mean in reference standard deviations, the least and the
greatest ratio of standard deviations, the least effective sample size, the greatest R-hat, seconds
to make the step and to sample, how often a chain read the data, and a verdict.

agrees          every mean within 0.1 sd, every sd within 10 %, up to Monte Carlo error
warned          it does not, and the run said so: by the stat `untrusted`, or in the log of PyMC
SILENTLY WRONG  it does not, and nothing was said

Run it with ``make accuracy``; ``python benchmarks/accuracy.py --help`` lists what can be changed.
"""

from __future__ import annotations

import argparse
import logging
import time
import warnings
from collections.abc import Callable

import arviz as az
import numpy as np
import pandas as pd
import posteriors
import pymc as pm

from pymc_sgld import SGLD, SGLDWarning

SHIFT, RATIO = 0.1, 0.1  # tolerated, in reference sds and relative


class _Log(logging.Handler):
    """Collects what the log of PyMC warns of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())

    def __enter__(self) -> None:
        logger = logging.getLogger("pymc")
        self._before = logger.level, logger.propagate
        logger.addHandler(self)
        logger.setLevel(logging.WARNING)
        logger.propagate = False

    def __exit__(self, *exception: object) -> None:
        logger = logging.getLogger("pymc")
        logger.removeHandler(self)
        logger.level, logger.propagate = self._before


def run(build: Callable[[], posteriors.Posterior], seed: int, **settings) -> dict[str, object]:
    """Return one line of the table."""
    model, names, mean, sd = build()
    log = _Log()
    with warnings.catch_warnings(record=True) as caught, log, model:
        warnings.simplefilter("always")
        start = time.perf_counter()
        step = SGLD(**settings)
        made = time.perf_counter()
        idata = pm.sample(step=step, chains=4, random_seed=seed, progressbar=False)
        sampled = time.perf_counter()
    said = [str(w.message) for w in caught if issubclass(w.category, SGLDWarning)]
    said += log.messages
    draws = posteriors.stack(idata.posterior, names)
    ess = np.array([az.ess(draws[:, :, i]) for i in range(draws.shape[2])])
    r_hat = max(float(az.rhat(draws[:, :, i])) for i in range(draws.shape[2]))
    shift = np.abs(draws.mean(axis=(0, 1)) - mean) / sd
    ratio = draws.std(axis=(0, 1)) / sd
    # two standard errors of a mean and of a standard deviation
    agrees = bool(
        (shift <= SHIFT + 2 / np.sqrt(ess)).all()
        and (np.abs(ratio - 1) <= RATIO + 2 / np.sqrt(2 * ess)).all()
    )
    return {
        "posterior": build.__name__,
        "mean shift": shift.max(),
        "sd ratio": f"{ratio.min():.3f}-{ratio.max():.3f}",
        "ESS": int(ess.min()),
        "R-hat": r_hat,
        "step size": float(step.schedule(np.zeros(1, dtype=int))[0]),
        "updates a draw": step.steps_per_draw,
        "s to make": made - start,
        "s to sample": sampled - made,
        "epochs": int(idata.sample_stats["rows_seen"].max()) // step.total_size,
        "warned": "; ".join(sorted({message[:60] for message in said})),
        "verdict": "agrees" if agrees else "warned" if said else "SILENTLY WRONG",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [build.__name__ for build in posteriors.ALL]
    parser.add_argument("names", nargs="*", help=f"of {', '.join(names)}; all by default")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--gradient", default="control_variate")
    arguments = parser.parse_args()
    lines = []
    for build in posteriors.ALL:
        if not arguments.names or build.__name__ in arguments.names:
            lines.append(run(build, arguments.seed, gradient=arguments.gradient))
            print(pd.Series(lines[-1]).to_frame().T.to_string(header=False), flush=True)
    print(pd.DataFrame(lines).set_index("posterior").round(3).to_string())


if __name__ == "__main__":
    main()
