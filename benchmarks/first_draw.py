"""How long the first draw takes: SGLD from default settings, beside PyMC's NUTS and nutpie.

Twelve models, each sampler in a new process with one chain and one thread. The clock starts when
libraries are imported and the model is there. It is read at the first draw of any kind, and at the
first that is kept: after 1,000 draws of tuning for NUTS and nutpie, and after its default number
of them for SGLD. Everything before counts: compiling, checks, and what SGLD chooses.

Caches of compiled code are empty, or warm: those that a first run in the same folders has left.
A run ends when it has used ``--limit`` seconds of the processor from the model on, and "> 300" is a
result. What it compiled until then is in the caches of the second run.

Ratios are those of SGLD to PyMC's NUTS, below 1 where SGLD is faster. Where one of the two was cut
the ratio is a bound, and the median is the range of what it can be. Where both were, there is none.
A run that ends with an error, or takes four times the limit by the wall clock, is "failed".

Run it with ``make first-draw``; ``python benchmarks/first_draw.py --help`` lists what can be
changed.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Sequence

import pandas as pd
from overhead import environment, progress
from speed.first_draw_models import MODELS
from speed.first_draw_tables import COLUMNS, RATIO, SAMPLERS, line, of_all, of_model
from speed.processes import empty_then_warm
from speed.timing import printed

CACHES = "empty", "warm"
PACKAGES = "pymc pytensor numba nutpie bambi numpy".split()
THREADS = "OMP_NUM_THREADS OPENBLAS_NUM_THREADS MKL_NUM_THREADS VECLIB_MAXIMUM_THREADS".split()


def measure(name: str, sampler: str, limit: float, caches: Sequence[str]) -> dict[str, pd.Series]:
    """Return the seconds of a sampler for each state of the caches: inf is beyond the limit."""
    runs = empty_then_warm("speed.arrivals", name, sampler, limit)
    found = dict.fromkeys(CACHES, pd.Series(math.nan, COLUMNS))
    try:
        for state, arrived in zip(CACHES[: 1 + ("warm" in caches)], runs, strict=False):
            found[state] = line(arrived)
    except RuntimeError as error:  # one model that is refused must not end the others
        progress(f"{name}, {sampler}: {error}")
    return {state: found[state] for state in caches}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=[*MODELS], choices=MODELS)
    parser.add_argument("--limit", type=float, default=300, help="processor seconds of a run")
    parser.add_argument("--only", nargs="+", default=[*SAMPLERS], choices=SAMPLERS)
    parser.add_argument("--caches", default="both", choices=[*CACHES, "both"])
    parser.add_argument("--markdown", action="store_true", help="tables for the documentation")
    arguments = parser.parse_args()
    limit = arguments.limit
    caches = CACHES if arguments.caches == "both" else (arguments.caches,)
    os.environ |= dict.fromkeys(THREADS, "1")
    print(environment(PACKAGES), flush=True)
    found: dict[str, dict[str, pd.DataFrame]] = {}
    for name in arguments.models:
        measured = {}
        for sampler in arguments.only:
            progress(f"{name}, {SAMPLERS[sampler]}")
            measured[SAMPLERS[sampler]] = measure(name, sampler, limit, caches)
        found[name] = {
            state: pd.DataFrame({label: each[state] for label, each in measured.items()}).T
            for state in caches
        }
        table = printed(of_model(found[name], limit), arguments.markdown)
        print(f"\n{name}\n\n{table}", flush=True)
    if {"sgld", "nuts"} <= {*arguments.only}:
        table = printed(of_all(found, limit), arguments.markdown)
        print(f"\n{RATIO}, seconds of the processor\n\n{table}", flush=True)


if __name__ == "__main__":
    main()
