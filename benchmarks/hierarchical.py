"""Simulated hierarchical models, centered and non-centered, from default settings, beside NUTS.

One line a cell: the verdict of ``accuracy.py``, with its tolerances and the standard errors of the
reference; the worst shift of a mean in reference standard deviations; the least and the greatest
ratio of standard deviations; the number that is farthest from its tolerance, with its shift and
ratio; seconds to make the step and to sample. What was warned of follows. Group effects count entry
by entry. Each cell runs in a process of its own: "no result" is one that was ended at the limit,
and "error" one that failed.

Run it with ``make hierarchical``; ``--references`` samples the references by nutpie instead, four
chains, and refuses those with an R-hat (rank-normalised, the greatest of a model) above 1.01.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence

import accuracy
import pandas as pd
import references
from known_posteriors import grid
from known_posteriors.posterior import DATA, read
from speed.timing import printed, shown

MIXED = 1.01
FILE = DATA / "hierarchical.json"
COLUMNS = ["verdict", "mean shift", "sd ratio", "worst", "s to make", "s to sample", "warnings"]


def reference(name: str, draws: int) -> dict[str, object]:
    """Sample a reference: with smaller steps and more draws where that is needed.

    Raises
    ------
    ValueError
        If the chains do not agree, even so.
    """
    for target_accept, more in ((0.9, 1), (0.99, 2), (0.99, 8)):
        found = references.sample(*grid.model(name), draws * more, 1_000, target_accept)
        said = {key: value for key, value in found.items() if not isinstance(value, list)}
        print(f"{name}, target_accept {target_accept}: {said}", flush=True)
        if found["r_hat"] <= MIXED and not found["divergences"]:
            break
    if found["r_hat"] > MIXED:
        raise ValueError(f'The reference of "{name}" has an R-hat of {found["r_hat"]:.3f}.')
    return {
        key: references.rounded(value, 6 if isinstance(value, list) else 8)
        for key, value in found.items()
    }


def write(names: Sequence[str], draws: int) -> None:
    """Sample references, and write each to the file when it is there."""
    for name in names:
        found = (read(FILE.stem) if FILE.exists() else {}) | {name: reference(name, draws)}
        lines = [json.dumps({key: found[key]})[1:-1] for key in grid.GRID if key in found]
        FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def run(cell: str, seed: int) -> dict[str, object]:
    """Sample a cell in this process."""
    (line,) = accuracy.run(lambda: grid.posterior(cell), [seed])
    return {name: line[name] for name in COLUMNS} | {"warnings": sorted(line["warnings"])}


def in_a_process(command: Sequence[str], limit: float) -> dict[str, object]:
    """Return what a process says in its last line, or how it ended without a result."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, start_new_session=True, **pipes) as process:
        try:
            said, errors = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            return {"verdict": "no result", "warnings": [f"ended after {limit:g} s"]}
        finally:
            if process.returncode is None:  # its workers too
                os.killpg(process.pid, signal.SIGKILL)
    if process.returncode:
        return {"verdict": "error", "warnings": errors.strip().splitlines()[-3:]}
    return json.loads(said.splitlines()[-1])


def table(lines: dict[str, dict[str, object]]) -> str:
    """Return the table of the documentation, and how often each verdict occurs."""
    r_hats = {name: found["r_hat"] for name, found in read(FILE.stem).items()}
    frame = pd.DataFrame.from_dict(lines, orient="index", columns=COLUMNS)
    frame["warnings"] = frame["warnings"].map(len)
    frame = frame.round({"mean shift": 2, "s to make": 0, "s to sample": 0})
    frame["R-hat of the reference"] = [f"{r_hats[grid.CELLS[cell][0]]:.4f}" for cell in frame.index]
    counts = Counter(frame["verdict"])
    summary = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
    return f"{printed(frame, markdown=True)}\n\n{len(frame)} cells: {summary}."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="beginnings of names of cells; all by default")
    parser.add_argument("--references", action="store_true", help="sample the references instead")
    parser.add_argument("--draws", type=int, default=2_000, help="of a chain of a reference")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit", type=float, default=600, help="seconds of a cell")
    parser.add_argument("--here", action="store_true", help="one cell, in this process")
    arguments = parser.parse_args()
    of = tuple(arguments.names) or ("",)
    if arguments.references:
        return write([name for name in grid.GRID if name.startswith(of)], arguments.draws)
    cells = [cell for cell in grid.CELLS if cell.startswith(of)]
    if not cells:
        parser.error(f"none of {', '.join(grid.CELLS)} begins like that")
    if arguments.here:
        return print(json.dumps(run(cells[0], arguments.seed)))
    lines = {}
    for cell in cells:
        command = [sys.executable, __file__, cell, "--here", "--seed", str(arguments.seed)]
        line = lines[cell] = in_a_process(command, arguments.limit)
        figures = [shown(line[name]) for name in COLUMNS[:-1] if name in line]
        print("\n    ".join([" ".join([f"{cell}:", *figures]), *line["warnings"]]), flush=True)
    print(f"\n{table(lines)}")


if __name__ == "__main__":
    main()
