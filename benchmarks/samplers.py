"""Which sampler: SGLD, SGHMC, SGNHT and MALA with default settings on six known posteriors.

One line a posterior and sampler, of two chains one after the other on one core. The effective
sample size is the least of all parameters, for the mean or the standard deviation: the momentum of
SGHMC makes draws alternate, by which means gain and standard deviations do not.

ess         of how many draws
ess / s     by the seconds of the draws that count; with set-up, by all seconds: to make the step,
            to tune and to sample. Seconds are those of the processor, and all that is compiled was
            compiled before.
ess / Mrow  by a million rows read, without those of the check with half the step size
ess / 1000  by 1,000 updates
shift, sd   the worst shift of a mean in reference sds, and the worst ratio of sds
untrusted   chains that said so

Draws are fewer where an update reads much: "ess" has their number. A dash stands for what is
refused (SGNHT, where every update reads all rows) or takes too long.

Run it with ``make samplers``; ``python benchmarks/samplers.py --help`` lists what can be changed.
"""

from __future__ import annotations

import argparse
import logging
import time
import warnings
from collections.abc import Callable

import arviz as az
import known_posteriors as posteriors
import pymc as pm
from accuracy import judge

from pymc_sgld import MALA, SGHMC, SGLD, SGNHT, SettingError

SAMPLERS = (SGLD, SGHMC, SGNHT, MALA)
POSTERIORS = ("few_rows", "correlated", "student_t", "radon_centered", "a9a", "wide")
DRAWS, CHAINS = 1000, 2
FEWER = {"radon_centered": 600, "a9a": 200, "wide": 100}
FEWER |= {("a9a", "mala"): 60, ("wide", "mala"): None}
TUNE = {"wide": 50, ("a9a", "mala"): 40}
COLUMNS = (
    "posterior", "sampler", "ess", "ess / s", "with set-up", "ess / Mrow", "ess / 1000",
    "shift", "sd", "untrusted",
)  # fmt: skip


class Clock:
    """Measures the seconds of the draws that count, as a callback of ``pm.sample``."""

    def __init__(self) -> None:
        self.seconds, self._last = 0.0, 0.0

    def __call__(self, trace, draw) -> None:
        now = time.process_time()
        if not draw.tuning:
            self.seconds += now - self._last
        self._last = now


def measure(
    known: posteriors.Posterior,
    sampler: type[SGLD],
    draws: int,
    tune: int | None,
    settings: dict[str, object],
) -> dict[str, object]:
    """Return the numbers of a line."""
    clock = Clock()
    with known.model:
        sampler(**settings, progressbar=False)  # compiles
        start = time.process_time()
        step = sampler(**settings, progressbar=False)
        idata = pm.sample(
            draws, tune=tune, step=step, chains=CHAINS, cores=1, random_seed=1, callback=clock,
            progressbar=False, quiet=True, compute_convergence_checks=False,
        )  # fmt: skip
    seconds = time.process_time() - start
    stats = idata.sample_stats
    # those of the first draw are not in the difference
    updates = float((stats["updates"][:, -1] - stats["updates"][:, 0]).sum()) * draws / (draws - 1)
    values = posteriors.stack(idata.posterior, known.names)
    found = judge(values, known, ())
    spread = [az.ess(values[:, :, i], method="sd") for i in range(values.shape[2])]
    ess = float(min(found["ESS"], *spread))
    low, high = map(float, str(found["sd ratio"]).split("-"))
    return {
        "ess": f"{ess:,.0f} of {CHAINS * draws:,}",
        "ess / s": ess / clock.seconds,
        "with set-up": ess / seconds,
        "ess / Mrow": ess / updates / step.batch_size * 1e6,
        "ess / 1000": ess / updates * 1e3,
        "shift": f"{found['mean shift']:.2f}",
        "sd": f"{max(low, high, key=lambda ratio: abs(ratio - 1)):.3f}",
        "untrusted": f"{int(stats['untrusted'][:, -1].sum())} of {CHAINS}",
    }


def line(
    build: Callable[[], posteriors.Posterior],
    sampler: type[SGLD],
    most: int,
    settings: dict[str, object],
) -> dict[str, object]:
    """Return a line of the table: one without numbers where there are none."""
    key = (build.__name__, sampler.name)
    head = {"posterior": key[0], "sampler": sampler.__name__}
    draws = FEWER.get(key, FEWER.get(key[0], DRAWS))
    if draws is None:
        return head
    try:
        tune = TUNE.get(key, TUNE.get(key[0]))
        return head | measure(build(), sampler, min(draws, most), tune, settings)
    except SettingError:
        return head


def cells(numbers: dict[str, object]) -> list[str]:
    """Return the numbers of a line with three digits, and dashes for those that are missing."""
    values = [numbers.get(column, "–") for column in COLUMNS]
    return [
        value if isinstance(value, str) else f"{float(f'{value:.3g}'):,.12g}" for value in values
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=POSTERIORS, help="by default those of the page")
    parser.add_argument("--draws", type=int, default=DRAWS, help="of a chain, at most")
    parser.add_argument("--preconditioner", default="laplace")
    parser.add_argument("--friction", type=float, help="of SGHMC and SGNHT")
    parser.add_argument("--verbose", action="store_true", help="say what each line took")
    arguments = parser.parse_args()
    logging.getLogger("pymc").setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")
    builds = {build.__name__: build for build in posteriors.ALL}
    print("| " + " | ".join(COLUMNS) + " |")
    print("|" + "---|" * len(COLUMNS))
    for name in arguments.names:
        for sampler in SAMPLERS:
            start = time.process_time()
            settings = {"preconditioner": arguments.preconditioner}
            if arguments.friction and issubclass(sampler, SGHMC):
                settings["friction"] = arguments.friction
            found = line(builds[name], sampler, arguments.draws, settings)
            print("| " + " | ".join(cells(found)) + " |", flush=True)
            if arguments.verbose:
                print(f"{time.process_time() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
