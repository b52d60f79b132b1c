"""SGLD beside what a user of PyMC would pick instead, on five posteriors with a known answer.

One line a posterior and method, printed as soon as it is there, each from a process of its own:
the worst shift of a mean, in reference standard deviations; the ratio of standard deviations that
is farthest from one; seconds from the model to its draws, by the clock and of the processor; and
the verdict of ``pymc_sgld.certify`` on these draws.

SGLD        pm.sample(step=SGLD()), four chains of 1,000 draws
nutpie      NUTS, four chains of 1,000 draws
ADVI        pm.fit(50_000, method="advi"), 4,000 draws; models of more than 256 rows were rewritten
            with pm.Minibatch and total_size, batches of 256
Laplace     pymc_extras.fit_laplace, 4,000 draws
Pathfinder  pymc_extras.fit_pathfinder, four paths, 1,000 draws

All else is left at its default, except that each run has one core and one thread, and is stopped
after ``--limit`` seconds of the processor: of nutpie there are draws then. Seconds include
what is compiled for the model. What a method compiles for any model is not in them: it has run on a
small model before, with empty caches, and each run starts with a copy of what that left.

Run it with ``make peers``; ``python benchmarks/peers.py --help`` lists what can be changed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from inference.methods import CHAINS, DRAWS, METHODS
from matplotlib.axes import Axes
from speed.processes import result_of, with_caches
from speed.timing import shown

POSTERIORS = ("million", "a9a", "radon_noncentered", "correlated", "skewed")
SMALL = "few_rows"  # fills the caches
FIGURE = Path(__file__).parents[1] / "docs" / "figures" / "peers.svg"
COLUMNS = ["posterior", "method", "mean shift", "sd ratio", "s", "processor s", "certificate"]
THREADS = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
TOLERATED = 0.1
FULL = CHAINS * DRAWS
COLOURS = {
    "SGLD": "#0072B2",
    "nutpie": "#D55E00",
    "ADVI": "#009E73",
    "Laplace": "#CC79A7",
    "Pathfinder": "#777777",
}

Line = dict[str, object]


def run(name: str, method: str, seed: int, limit: float, caches: str) -> Line:
    """Return the line of a method on a posterior; of a run that fails, why."""
    environment = THREADS | with_caches(caches)
    try:
        found = result_of("inference.measured", name, method, seed, limit, **environment)
    except RuntimeError as error:
        return {"posterior": name, "method": method, "certificate": f"failed: {reason(error)}"}
    assert isinstance(found, dict)
    return found


def is_failed(line: Line) -> bool:
    """Whether a run ended with an error."""
    return str(line["certificate"]).startswith("failed")


def reason(error: RuntimeError) -> str:
    """Return the line of a traceback that names the error."""
    said = str(error).strip().splitlines()
    named = [line for line in said if re.match(r"[\w.]*(Error|Exception)\b", line)]
    return (named or said)[-1]


def lines(
    names: Sequence[str],
    methods: Sequence[str],
    seed: int,
    limit: float,
    known: Sequence[Line],
    caches: Path,
) -> Iterator[Line]:
    """Give a line for each posterior and method; only what is not known, or failed, is run."""
    have = {(line["posterior"], line["method"]): line for line in known if not is_failed(line)}
    for name in names:
        for method in methods:
            if (name, method) in have:
                yield have[name, method]
                continue
            common = caches / method
            if not common.exists():
                common.mkdir(parents=True)
                run(SMALL, method, seed, limit, str(common))
            with tempfile.TemporaryDirectory() as own:
                shutil.copytree(common, own, dirs_exist_ok=True)
                yield run(name, method, seed, limit, own)


def cells(line: Line) -> list[str]:
    """Return the figures of a line as text; a dash is what is missing."""
    head = str(line["certificate"]).partition(";")[0]
    verdict = head.removeprefix("Certified: ").removeprefix("Not to be relied on: ")
    found = line | {"certificate": verdict.removesuffix(".")}
    if line["method"] == "nutpie" and line.get("draws", FULL) < FULL:
        found["method"] = f"nutpie, stopped after {line['draws']:,} draws"
    return [shown(found[column]) if column in found else "–" for column in COLUMNS]


def draw(axes: Axes, lines: Sequence[Line], figure: str, ylabel: str) -> None:
    """Draw an error against seconds of the processor, and the tolerance."""
    axes.axhspan(1e-9, TOLERATED, color="0.93", zorder=0)
    for line in lines:
        if figure not in line:
            continue
        value = float(str(line[figure]))
        error = value if figure == "mean shift" else abs(np.log(value))
        colour = COLOURS[str(line["method"])]
        axes.plot(float(str(line["processor s"])), max(error, 1e-3), "o", color=colour)
    axes.set(xscale="log", yscale="log", xlim=(0.7, 2000), ylim=(5e-3, 300), ylabel=ylabel)
    axes.grid(color="0.9", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def picture(found: Sequence[Line]) -> plt.Figure:
    """Return the figure: a column for each posterior, a row for each kind of error."""
    names = list(dict.fromkeys(str(line["posterior"]) for line in found))
    figure, axes = plt.subplots(
        2, len(names), figsize=(2.3 * len(names), 4.8), sharex=True, sharey="row",
        layout="constrained", squeeze=False,
    )  # fmt: skip
    for column, name in enumerate(names):
        of_name = [line for line in found if line["posterior"] == name]
        rows = max(int(str(line.get("rows", 0))) for line in of_name)
        draw(axes[0, column], of_name, "mean shift", "worst mean shift, in sds" * (not column))
        draw(axes[1, column], of_name, "sd ratio", "worst |log sd ratio|" * (not column))
        axes[0, column].set_title(f"{name}\n{rows:,} rows", fontsize=10)
    figure.supxlabel("seconds of the processor, compilation included", fontsize=10)
    handles = [
        plt.Line2D([], [], marker="o", linestyle="", color=colour, label=method)
        for method, colour in COLOURS.items()
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), frameon=False)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", default=POSTERIORS, help="of posteriors")
    parser.add_argument("--methods", nargs="*", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--limit", type=float, default=200, help="of a run, in seconds of the processor"
    )
    parser.add_argument("--lines", type=Path, help="a file that keeps lines, and has earlier ones")
    parser.add_argument("--caches", type=Path, help="a folder that keeps what is not of a model")
    parser.add_argument("--figure", type=Path, default=FIGURE)
    arguments = parser.parse_args()
    packages = ("pymc", "pytensor", "numba", "nutpie", "pymc-extras", "numpy")
    print(", ".join(f"{name} {version(name)}" for name in packages))
    print(f"Python {platform.python_version()}, one of {os.cpu_count()} cores\n", flush=True)
    kept, found = arguments.lines, []
    known = json.loads(kept.read_text()) if kept and kept.exists() else []
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}", flush=True)
    settings = arguments.names, arguments.methods, arguments.seed, arguments.limit, known
    with tempfile.TemporaryDirectory() as folder:
        for line in lines(*settings, arguments.caches or Path(folder)):
            found.append(line)
            print(f"| {' | '.join(cells(line))} |", flush=True)
            if kept:
                same = ("posterior", "method")
                known = [old for old in known if any(old[key] != line[key] for key in same)]
                known.append(line)
                kept.write_text(json.dumps(known, indent=1) + "\n")
    plt.rcParams["svg.hashsalt"] = "peers"
    metadata = {"Date": None} if arguments.figure.suffix == ".svg" else None
    picture(found).savefig(arguments.figure, metadata=metadata, dpi=110)
    print(f"\nwrote {arguments.figure.name}")


if __name__ == "__main__":
    main()
