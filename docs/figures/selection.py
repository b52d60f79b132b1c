"""Draw the graph of a regression with varying intercepts before and after the selection of rows.

Both graphs are the real ones: the elementwise mean that PyMC's log-likelihood contains, and what
the row selection makes of it. Run it with ``python docs/figures/selection.py``.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytensor.tensor as pt
from matplotlib.axes import Axes
from pytensor.graph.basic import Constant, Variable
from pytensor.tensor.elemwise import DimShuffle

from pymc_sgld.minibatch.graph.fixed import FixedValues
from pymc_sgld.minibatch.selection.rows import StoredRows

ROWS, BATCH, GROUPS, COLUMNS = 12289, 128, 385, 3
COLOURS = {"rows": "#fdd9b5", "batch": "#b7d7f0", "none": "#eeeeee"}


def build() -> tuple[Variable, Variable]:
    """Return the mean of all rows, and of the rows of a batch."""
    rng = np.random.default_rng(0)
    X = pt.constant(rng.normal(size=(ROWS, COLUMNS)), name="X")
    county = pt.constant(rng.integers(0, GROUPS, ROWS), name="county")
    effect = pt.vector("effect", shape=(GROUPS,))
    beta = pt.vector("beta", shape=(COLUMNS,))
    mean = effect[county] + X @ beta
    rows = StoredRows(FixedValues([mean], {}), {effect: "effect", beta: "beta"}, ROWS, BATCH)
    return mean, rows.select(mean, 0)


def label(variable: Variable) -> str:
    """Return what a node of the picture says: an operation or a name, and the shape."""
    node = variable.owner
    if node is None:
        what = variable.name
    else:
        names = {"AdvancedSubtensor": "effect[county]", "Blockwise": "matrix product"}
        kind = type(node.op).__name__
        what = names.get(kind, "add" if "add" in str(node.op).lower() else kind)
    shape = " x ".join(f"{length:,}" for length in variable.type.shape)
    return f"{what}\n{shape}"


def visible(variable: Variable) -> Variable:
    """Skip nodes that only insert or drop dimensions of length one."""
    while variable.owner is not None and isinstance(variable.owner.op, DimShuffle):
        variable = variable.owner.inputs[0]
    return variable


def parents(variable: Variable) -> list[Variable]:
    """Return the inputs that are drawn."""
    if variable.owner is None:
        return []
    inputs = [visible(v) for v in variable.owner.inputs]
    return [v for v in inputs if not (isinstance(v, Constant) and v.name is None)]


def draw(axes: Axes, output: Variable, title: str) -> None:
    """Draw a graph as a tree, its output below."""
    places: dict[Variable, tuple[float, float]] = {}
    leaves = iter(range(100))

    def place(variable: Variable, depth: int) -> float:
        columns = [place(v, depth + 1) for v in parents(variable)] or [float(next(leaves))]
        places[variable] = (float(np.mean(columns)), depth)
        return places[variable][0]

    place(visible(output), 0)
    for variable, (x, depth) in places.items():
        for parent in parents(variable):
            arrow = {"arrowstyle": "-|>", "color": "0.4", "shrinkA": 18, "shrinkB": 18}
            axes.annotate("", (x, depth), places[parent], arrowprops=arrow)
        kind = "rows" if ROWS in variable.type.shape else "none"
        kind = "batch" if BATCH in variable.type.shape else kind
        box = {"boxstyle": "round,pad=0.4", "facecolor": COLOURS[kind], "edgecolor": "0.4"}
        axes.text(x, depth, label(variable), ha="center", va="center", fontsize=9, bbox=box)
    axes.set(xlim=(-0.6, 3.6), ylim=(-0.4, 2.4))
    axes.set_title(title, fontsize=10)
    axes.axis("off")


def main() -> None:
    """Write the picture beside this script."""
    before, after = build()
    figure, axes = plt.subplots(1, 2, figsize=(11, 3.6), layout="constrained")
    draw(axes[0], before, f"before: {ROWS:,} rows (orange)")
    draw(axes[1], after, f"after: {BATCH} rows of the data (blue)")
    plt.rcParams["svg.hashsalt"] = "selection"
    path = Path(__file__).with_suffix(".svg")
    figure.savefig(path, metadata={"Date": None})
    print(f"wrote {path.name}")


if __name__ == "__main__":
    main()
