"""Posteriors of posteriordb, sampled with default settings and compared with their references.

One line a posterior, printed as soon as it is there: the worst shift of a mean in reference
standard deviations, the least and the greatest ratio of standard deviations, the number that is
farthest from its tolerance, how many warnings there were, how far the mean of posteriordb's
reference draws is from the reference, where that is exact, and a verdict.

agrees          every mean within 0.1 sd, every sd within 10 %, up to Monte Carlo error
warned          it does not, and the run said so
refused         there are no draws, and the error says why
not ported      posteriordb has it, and it is not written for PyMC: why
SILENTLY WRONG  it does not agree, and nothing was said

References of linear regressions are exact, by quadrature over one parameter; others are moments of
posteriordb's reference draws. Run it with ``make conformance``. Of most posteriors the data are not
in this repository: ``--database FOLDER`` takes all from a checkout of posteriordb.
"""

from __future__ import annotations

import argparse
import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from accuracy import run
from posteriordb import Checkout, Database, Shipped

from pymc_sgld import MinibatchError, SettingError

COLUMNS = ["posterior", "rows", "verdict", "mean shift", "sd ratio", "worst", "warned", "published"]

Line = dict[str, object]


def line(database: Database, name: str, seed: int) -> Line:
    """Sample a posterior, and return its line of the table."""
    found = database.problem(name)
    if isinstance(found, str):
        return {"posterior": name, "verdict": f"not ported: {found}"}
    model = found.known.model
    rows = sum(int(np.prod(model.rvs_to_values[rv].shape.eval())) for rv in model.observed_RVs)
    head = {"posterior": name, "rows": rows}
    if not np.isnan(found.published):
        head["published"] = f"{found.published:.3f}"

    def build():
        return found.known

    try:
        (sampled,) = run(build, [seed])
    except (MinibatchError, SettingError) as error:
        return head | {"verdict": f"refused: {str(error).partition('. ')[0]}"}
    return sampled | head | {"mean shift": f"{sampled['mean shift']:.2f}"}


def lines(database: Database, names: list[str], seed: int) -> Iterator[Line]:
    """Give a line for each posterior."""
    for name in names:
        yield line(database, name, seed)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="of posteriors; all by default")
    parser.add_argument("--database", type=Path, help="the folder of a checkout of posteriordb")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    logging.getLogger("pymc").setLevel(logging.WARNING)
    database = Checkout(arguments.database) if arguments.database else Shipped()
    unknown = set(arguments.names) - set(database.names)
    if unknown:
        parser.error(f"no such posterior: {', '.join(sorted(unknown))}")
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}", flush=True)
    verdicts: Counter[str] = Counter()
    for found in lines(database, arguments.names or database.names, arguments.seed):
        print(f"| {' | '.join(str(found.get(name, '')) for name in COLUMNS)} |", flush=True)
        verdicts[str(found["verdict"]).partition(":")[0]] += 1
    print("\n" + ", ".join(f"{verdict}: {count}" for verdict, count in verdicts.items()))


if __name__ == "__main__":
    main()
