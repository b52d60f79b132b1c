"""How accurate SGLD is: posteriors with a known answer, from default settings.

One line a posterior: the worst shift of a mean in reference standard deviations, the least and the
greatest ratio of standard deviations, the least effective sample size, the greatest R-hat, how many
different warnings there were, the number that is farthest from its tolerance (with its shift and
ratio), the settings that were chosen, seconds to make the step and to sample, how often a chain
read the data, and a verdict.

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
from collections.abc import Callable, Collection, Iterator, Sequence

import arviz as az
import known_posteriors as posteriors
import numpy as np
import pandas as pd
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


def run(
    build: Callable[[], posteriors.Posterior], seeds: Sequence[int], **settings
) -> Iterator[dict[str, object]]:
    """Give a line of the table for each seed, from one step."""
    known = build()
    model = known.model
    with warnings.catch_warnings(record=True) as caught, model:
        warnings.simplefilter("always")
        start = time.perf_counter()
        step = SGLD(**settings)
        made = time.perf_counter() - start
    warned = [str(w.message) for w in caught if issubclass(w.category, SGLDWarning)]
    for seed in seeds:
        log = _Log()
        with log, model:
            start = time.perf_counter()
            settings = {"chains": 4, "random_seed": seed, "progressbar": False}
            idata = pm.sample(step=step, var_names=known.names, **settings)
            sampled = time.perf_counter() - start
        draws = posteriors.stack(idata.posterior, known.names)
        yield {
            "posterior": build.__name__,
            "seed": seed,
            **judge(draws, known, {message[:60] for message in warned + log.messages}),
            "step size": float(idata.sample_stats["step_size"][:, -1].mean()),
            "batch": step.batch_size,
            "updates a draw": int(idata.sample_stats["steps_per_draw"][:, -1].mean()),
            "s to make": made,
            "s to sample": sampled,
            "rows/N": int(idata.sample_stats["updates"].max()) * step.batch_size // step.total_size,
        }


def judge(
    draws: np.ndarray, known: posteriors.Posterior, said: Collection[str]
) -> dict[str, object]:
    """Compare draws, shape (chain, draw, parameters), with a reference."""
    ess = np.array([az.ess(draws[:, :, i]) for i in range(draws.shape[2])])
    r_hat = max(float(az.rhat(draws[:, :, i])) for i in range(draws.shape[2]))
    shift = np.abs(draws.mean(axis=(0, 1)) - known.mean) / known.sd
    ratio = draws.std(axis=(0, 1)) / known.sd
    error = np.hypot(1 / np.sqrt(ess), known.mcse / known.sd)
    # two standard errors of a mean and of a standard deviation
    excess = np.maximum(shift - SHIFT - 2 * error, np.abs(ratio - 1) - RATIO - np.sqrt(2) * error)
    agrees, worst = bool((excess <= 0).all()), excess.argmax()
    return {
        "verdict": "agrees" if agrees else "warned" if said else "SILENTLY WRONG",
        "mean shift": shift.max(),
        "sd ratio": f"{ratio.min():.3f}-{ratio.max():.3f}",
        "ESS": int(ess.min()),
        "R-hat": r_hat,
        "warned": len(said),
        "warnings": said,
        "worst": f"{known.labels[worst]} ({shift[worst]:.2f}, {ratio[worst]:.3f})",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [build.__name__ for build in posteriors.ALL]
    parser.add_argument("names", nargs="*", help=f"of {', '.join(names)}; all by default")
    parser.add_argument("--seeds", type=int, default=1, help="runs with the seeds 1, 2, ...")
    parser.add_argument("--gradient", default="control_variate")
    arguments = parser.parse_args()
    lines = []
    for build in posteriors.ALL:
        if not arguments.names or build.__name__ in arguments.names:
            seeds = range(1, arguments.seeds + 1)
            for line in run(build, seeds, gradient=arguments.gradient):
                print(f"{line['posterior']}, seed {line['seed']}: {line['verdict']}", flush=True)
                for message in sorted(line.pop("warnings")):
                    print(f"    {message}", flush=True)
                lines.append(line)
    table = pd.DataFrame(lines).set_index("posterior")
    print(table.round(3).to_string())
    print(table["verdict"].value_counts().to_string(header=False))


if __name__ == "__main__":
    main()
