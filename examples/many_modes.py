r"""A mixture of 25 Gaussians: cyclical SGLD finds the modes that SGLD with a small step does not.

The modes stand on a grid, two units apart, each with the variance 0.03. Four chains start near the
middle. With a small constant step a chain stays in a mode. Cyclical SGLD explores: in the first
quarter of each of its cycles it takes steps without noise that are too large for a mode to hold,
and then samples the mode where it is, with steps that shrink to zero.

Zhang and others (2020, figure 2) have the same target, 50,000 updates and four chains: SGLD finds
4 of the 25 modes there, cyclical SGLD all of them. Within a mode both sample, cycles at their end,
where steps are small; how much mass a mode has, a few visits cannot tell.

Run it with ``python examples/many_modes.py``; it writes ``examples/output/many_modes.png``, or
the file that is named after the command.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pymc as pm
import pytensor.tensor as pt
import xarray as xr

from pymc_sgld import SGLD, schedules, thin_by_step_size

MODES = np.array([[a, b] for a in (-4, -2, 0, 2, 4) for b in (-4, -2, 0, 2, 4)], dtype=float)
VARIANCE = 0.03
UPDATES, CYCLES, CHAINS = 50_000, 30, 4
STEPS = {
    "constant": schedules.constant(0.01),
    "cyclical": schedules.cyclical(0.14, UPDATES // CYCLES, exploration=0.25),
}


def build() -> pm.Model:
    """Return the model: a density without data."""
    with pm.Model() as model:
        x = pm.Flat("x", shape=2, initval=np.zeros(2))
        squares = ((x - MODES) ** 2).sum(axis=1)
        pm.Potential("mixture", pt.logsumexp(-squares / (2 * VARIANCE)))
    return model


def sample(steps: Any, **settings: Any) -> xr.DataTree:
    """Return all draws of all chains."""
    rng = np.random.default_rng(1)
    starts = [{"x": rng.normal(size=2)} for _ in range(CHAINS)]
    with build():
        step = SGLD(
            step_size=steps, gradient="minibatch", preconditioner="identity", steps_per_draw=10
        )
        return pm.sample(
            UPDATES // 10, tune=0, chains=CHAINS, step=step, initvals=starts, random_seed=1,
            compute_convergence_checks=False, **settings,
        )  # fmt: skip


def keep(idata: xr.DataTree, after: float = 0.0) -> np.ndarray:
    """Return draws, shape (draws, 2), of cycles those after a share of each and not exploring."""
    late = (idata.sample_stats["cycle_position"] >= after).values[0]
    return thin_by_step_size(idata.isel(draw=late), rng=1).posterior["x"].values.reshape(-1, 2)


def found(draws: np.ndarray) -> tuple[int, float]:
    """Return how many modes have draws within three sd, and the share of draws that are there."""
    squares = ((draws[:, None] - MODES) ** 2).sum(axis=-1)
    near = squares.min(axis=1) < 9 * VARIANCE
    return len(np.unique(squares.argmin(axis=1)[near])), float(near.mean())


def plot(path: Path, draws: dict[str, np.ndarray]) -> None:
    """Plot the draws of each schedule over the modes."""
    figure, axes = plt.subplots(1, len(draws), figsize=(11, 4), sharey=True, layout="constrained")
    for axis, (name, of_one) in zip(axes, draws.items(), strict=True):
        axis.plot(*of_one.T, ".", markersize=2, alpha=0.4)
        axis.plot(*MODES.T, "+", color="C3", markersize=10, label="modes")
        axis.set(title=f"{name}: {found(of_one)[0]} of {len(MODES)} modes", xlabel="x[0]")
        axis.set_aspect("equal")
    axes[0].set_ylabel("x[1]")
    axes[0].legend(loc="upper left")
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def main(path: Path | None = None, **settings: Any) -> pd.DataFrame:
    """Sample with both schedules, print how many modes they find, and draw a picture."""
    runs = {name: sample(steps, **settings) for name, steps in STEPS.items()}
    draws = {name: keep(idata) for name, idata in runs.items()}
    draws["last fifth of cycles"] = keep(runs["cyclical"], after=0.8)
    rows = {name: [*found(of_one), len(of_one)] for name, of_one in draws.items()}
    table = pd.DataFrame(rows, index=["modes", "share near a mode", "draws"]).T
    print(table.round(3).to_string())
    path = Path(__file__).parent / "output" / "many_modes.png" if path is None else path
    plot(path, draws)
    print(f"The draws: {path}")
    return table


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else None)
