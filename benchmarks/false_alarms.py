"""How often `diagnose` distrusts exact draws, and draws that are off by a known amount.

Ten parameters with a known law, four chains, by 2,000 gradients and not by exact moments. In the
lower part one of the ten parameters is off; the tolerances are 10 % of an sd and 0.1 sd of a mean.

Run it with ``python benchmarks/false_alarms.py``.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator

import arviz as az
import numpy as np
import pandas as pd
import pymc as pm
from scipy.signal import lfilter

from pymc_sgld import SGLDWarning, diagnose

SIZE, CHAINS, DRAWS, GRADIENTS = 10, 4, 1000, 2000


def autoregressive(rng: np.random.Generator, correlation: float, draws: int) -> np.ndarray:
    """Return stationary chains of variance 1."""
    start = correlation * rng.normal(size=(CHAINS, 1, SIZE))
    scale = np.sqrt(1 - correlation**2)
    fresh = rng.normal(size=(CHAINS, draws, SIZE))
    return lfilter([scale], [1, -correlation], fresh, axis=1, zi=start)[0]


def off(width: float = 1.0, shift: float = 0.0) -> Callable[[np.random.Generator], np.ndarray]:
    """Return what draws normal numbers, the first of them too wide or shifted."""

    def draw(rng: np.random.Generator) -> np.ndarray:
        z = rng.normal(size=(CHAINS, DRAWS, SIZE))
        z[..., 0] = shift + width * z[..., 0]
        return z

    return draw


def cases() -> Iterator[tuple[str, pm.Model, Callable[[np.random.Generator], np.ndarray], bool]]:
    """Give a name, a model, what makes draws, and whether these are exact."""
    with pm.Model() as normal:
        pm.Normal("x", 0, 1, shape=SIZE)
    with pm.Model() as skewed:
        pm.Gamma("x", 2, 1, shape=SIZE)
    yield "exact, independent", normal, off(), True
    yield "exact, autocorrelated (0.8)", normal, lambda rng: autoregressive(rng, 0.8, 2500), True
    yield "exact, skewed (log of gamma)", skewed, lambda rng: rng.gamma(2, size=(4, 1000, 10)), True
    for width in (1.1, 1.2, 1.3, 1.5):
        yield f"one sd {100 * width - 100:.0f} % too large", normal, off(width), False
    for shift in (0.1, 0.2, 0.3):
        yield f"one mean {shift} sd off", normal, off(shift=shift), False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=100, help="of exact draws; a fifth of others")
    runs = parser.parse_args().runs
    lines = []
    for name, model, draw, exact in cases():
        count = runs if exact else -(-runs // 5)
        reports = []
        for seed in range(count):
            idata = az.from_dict({"posterior": {"x": draw(np.random.default_rng(seed))}})
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SGLDWarning)
                reports.append(diagnose(idata, model, gradients=GRADIENTS))
        lines.append(
            {
                "draws": name,
                "runs": count,
                "not trusted": sum(not report.trusted for report in reports),
                "by the parameter": sum(not report.table["trusted"].iloc[0] for report in reports),
                "sd ratio": np.mean([r.table["sd_ratio"].iloc[0] for r in reports]),
                "mean shift": np.mean([r.table["mean_shift"].iloc[0] for r in reports]),
            }
        )
        print(lines[-1], flush=True)
    print(pd.DataFrame(lines).set_index("draws").round(3).to_string())


if __name__ == "__main__":
    main()
