r"""Two modes, 10 standard deviations apart, with the masses 0.3 and 0.7.

A chain of SGLD stays where it starts. Replica exchange has chains at the temperatures 1, 4 and 16
beside each other; the hot ones cross, and swaps bring what they find to the temperature one, whose
draws are kept. Their share in each mode is its mass. The standard error of a share is that of the
means of 25 parts of the draws.

Run it with ``python examples/replica_exchange.py``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pymc as pm

from pymc_sgld import SGLD, ReplicaExchange

MASSES, PLACES = (0.3, 0.7), (-5.0, 5.0)
SAMPLERS: dict[str, tuple[type[SGLD], dict[str, Any]]] = {
    "SGLD": (SGLD, {}),
    "replica exchange": (ReplicaExchange, {"temperatures": (1, 4, 16)}),
}


def sample(
    sampler: type[SGLD], own: dict[str, Any], draws: int, compile_kwargs: dict | None
) -> tuple[np.ndarray, Any]:
    """Return the draws of one chain that starts in the right mode, and its stats."""
    with pm.Model():
        pm.NormalMixture("x", w=MASSES, mu=PLACES, sigma=1)
        step = sampler(
            step_size=0.5,
            gradient="minibatch",
            preconditioner="identity",
            steps_per_draw=10,
            compile_kwargs=compile_kwargs,
            **own,
        )
        idata = pm.sample(
            draws, tune=100, chains=1, step=step, initvals={"x": 5.0}, random_seed=1,
            quiet=True, progressbar=False, compute_convergence_checks=False,
        )  # fmt: skip
    return idata.posterior["x"].values[0], idata.sample_stats


def main(draws: int = 20_000, compile_kwargs: dict | None = None) -> pd.DataFrame:
    """Sample, and print the share of draws in the left mode."""
    rows = {}
    for name, (sampler, own) in SAMPLERS.items():
        x, stats = sample(sampler, own, draws, compile_kwargs)
        parts = (x < 0)[: draws // 25 * 25].reshape(25, -1).mean(axis=1)
        rows[name] = {
            "left": parts.mean(),
            "error": parts.std(ddof=1) / 5,
            "exact": MASSES[0],
            "crossings": np.count_nonzero(np.diff(x < 0)),
            "swap_rate": float(stats["swap_rate"].mean()) if "swap_rate" in stats else np.nan,
        }
    table = pd.DataFrame(rows).T
    print(table.round(3).to_string())
    return table


if __name__ == "__main__":
    main()
