"""What ``settings=`` saves: a logistic regression whose data have become more, or others.

A first fit of all rows but the new ones saves what it found before sampling. Then the rows are
fitted with the new ones, by a fresh ``SGLD()`` and by ``SGLD(settings=...)``, each in a new process
by ``pm.sample`` with its defaults: four chains of 1,000 draws on two cores. The clock starts when
libraries are imported and the data are there. Seconds are those of the processor, of all processes
together, and those of the clock. Caches of compiled code are warm, or empty for the cold lines.

``mean`` is how far means are from the posterior in the worst coefficient, in posterior standard
deviations, ``sd`` the ratio of the standard deviations in the worst one: the posterior itself comes
from Newton's method with NumPy. ``apart`` are the means of both fits, compared with each other.
``searched`` says whether the step found that the settings do not fit, warned, and searched.

Run it with ``python benchmarks/reuse.py``; ``--help`` lists what can be changed.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from overhead import environment, progress
from speed.processes import result_of, with_caches

SHARE = "set-up, % of the fresh fit"
COLD = "more rows, empty caches"
CASES: dict[str, dict[str, Any]] = {
    "more rows": {},
    "the same data": {"new": 0},
    "other data": {"other": True},
    "new rows 3 sd off": {"moved": 3},
    "new rows 100 sd off": {"moved": 100},
    "new rows 2000 sd off": {"moved": 2000},
    COLD: {},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=10)
    parser.add_argument("--share", type=float, default=0.01, help="of new rows")
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--on-disk", action="store_true", help="rows are read from memory maps")
    parser.add_argument("--cases", nargs="+", default=[*CASES], choices=CASES)
    arguments = parser.parse_args()
    print(environment(), flush=True)
    rows, columns = arguments.rows, arguments.columns
    new = int(arguments.share * rows)
    with tempfile.TemporaryDirectory() as folder:
        saved = str(Path(folder) / "settings.npz")

        def run(label: str, cache: str, **asked: Any) -> dict[str, Any]:
            progress(label)
            of = {"rows": rows, "columns": columns, "new": new, "moved": 0.0, "other": False}
            of |= {"draws": arguments.draws, "given": "", "keep": ""} | asked
            of["disk"] = folder if arguments.on_disk else ""
            of["moved"] *= 2.2 / np.sqrt(rows)  # the standard deviation of a coefficient, about
            environment = with_caches(str(Path(folder) / cache))
            return result_of("speed.reused", json.dumps(of), **environment)

        run("the first fit", "warm", new=0, draws=0, keep=saved)
        run("caches", "warm", draws=10)
        table = {}
        for case in arguments.cases:
            asked, caches = CASES[case], ("cold 1", "cold 2") if case == COLD else ("warm", "warm")
            fresh = run(f"{case}, fresh", caches[0], **asked)
            again = run(f"{case}, settings=", caches[1], given=saved, **asked)
            table[case, "fresh"], table[case, "settings="] = fresh, again
            compare(fresh, again)
    found = pd.DataFrame(table).T.drop(columns=["means", "said"])
    print(f"\n{rows:,} rows, {columns} coefficients, {new:,} new rows\n")
    print(found.to_string(float_format="{:.3g}".format, na_rep=""))


def compare(fresh: dict[str, Any], again: dict[str, Any]) -> None:
    """Put into both what one is beside the other."""
    for each in (fresh, again):
        each[SHARE] = 100 * each["set-up"] / fresh["whole"]
    again["apart"] = float(np.abs(np.subtract(fresh["means"], again["means"])).max())


if __name__ == "__main__":
    main()
