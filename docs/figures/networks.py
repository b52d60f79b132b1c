"""Draw what a network of the page on networks predicts, and how often its intervals are right.

Run it with ``python docs/figures/networks.py``. It prints the shares of the page, too.
"""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pymc as pm

from pymc_sgld import predict

PAGE = Path(__file__).parents[1] / "networks.md"
NEW, PROBABILITIES = 2_000, np.array([0.1, 0.3, 0.5, 0.7, 0.9, 0.95])
BLUE, VERMILLION = "#0072B2", "#D55E00"


def sampled() -> dict[str, object]:
    """Run the first code of the page, and return its names."""
    names: dict[str, object] = {}
    sample = pm.sample
    pm.sample = lambda *args, **kwargs: sample(  # the same draws each time
        *args, **kwargs, random_seed=1, cores=1, progressbar=False
    )
    try:
        exec(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[0], names)
    finally:
        pm.sample = sample
    return names


def intervals(names: dict[str, object], x: np.ndarray, probability: float) -> np.ndarray:
    """Return ends of the intervals of outcomes at new rows, shape (2, rows)."""
    settings = {"draws": 1600, "prob": probability, "random_seed": 2, "progressbar": False}
    found = predict(names["idata"], names["model"], data={"x": x}, var_names="y", **settings)
    return found["y"].sel(statistic=["lower", "upper"]).to_numpy()


def main() -> None:
    """Draw the picture, and print the table."""
    names = sampled()
    x, y = names["x"], names["y"]
    _, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    line = np.linspace(-4, 4, 161)
    for probability, shade in ((0.9, 0.2), (0.5, 0.35)):
        ends = intervals(names, line[:, None], probability)
        label = f"{probability:.0%}"
        left.fill_between(line, *ends, color=BLUE, alpha=shade, linewidth=0, label=label)
    left.plot(x[:, 0], y, ".", color="black", markersize=2)
    left.plot(line, np.sin(2 * line), color=VERMILLION, linewidth=1)
    left.set(xlabel="x", ylabel="y", ylim=(-3, 3))
    left.legend(title="interval", frameon=False, loc="lower left")

    rng = np.random.default_rng(3)
    new = rng.uniform(-3, 3, size=NEW)
    new = np.where(np.abs(new - 1) > 0.6, new, -np.abs(new))  # where there are data
    outcome = np.sin(2 * new) + np.where(new < 0, 0.1, 0.3) * rng.normal(size=NEW)
    shares = []
    for probability in PROBABILITIES:
        low, high = intervals(names, new[:, None], probability)
        shares.append(float(np.mean((low < outcome) & (outcome < high))))
    right.plot([0, 1], [0, 1], color="#777777", linewidth=1)
    right.plot(PROBABILITIES, shares, "o-", color=BLUE)
    right.set(xlabel="probability of the interval", ylabel="share of new rows in it")
    right.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    plt.savefig(Path(__file__).with_suffix(".svg"))
    print(f"| probability | {' | '.join(f'{100 * p:.0f} %' for p in PROBABILITIES)} |")
    print(f"|{'---|' * (1 + len(shares))}")
    print(f"| share of new rows | {' | '.join(f'{100 * s:.1f} %' for s in shares)} |")
    temperature = names["idata"].sample_stats["kinetic_temperature"].mean("draw")
    print("kinetic temperatures", temperature.round(2).to_numpy())


if __name__ == "__main__":
    main()
