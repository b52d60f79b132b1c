"""Euler-Maruyama: what a finite step size does to the variance, and what averaged noise mends."""

from pathlib import Path

import numpy as np
from gaussian_mean import PRECISION, ROWS, TEXTBOOK, build, distance, sample
from picture import BLACK, BLUE, GREY, RED, save, two_panels

from pymc_sgld import SGLD

DRAWS, CHAINS, STEPS_PER_DRAW = 1000, 2, 8
STEPS = [0.5, 1.0, 2.0, 3.0]  # step sizes times A
MARKS = {"euler_maruyama": (BLUE, "o"), "leimkuhler_matthews": (RED, "s")}


def langevin(step: float, integrator: str) -> np.ndarray:
    """Return distances from the mean, shape (chain, draw), by full-data Langevin dynamics."""
    with build():
        method = SGLD(
            batch_size=ROWS,
            step_size=step / PRECISION,
            integrator=integrator,
            steps_per_draw=STEPS_PER_DRAW,
            **TEXTBOOK,
        )
        return distance(sample(method, DRAWS, chains=CHAINS))


def main(path: Path = Path(__file__).with_suffix(".svg")) -> dict[tuple, np.ndarray]:
    """Draw the figure, print what it shows and return it."""
    found = {(name, step): langevin(step, name) for name in MARKS for step in STEPS}
    figure, (left, right) = two_panels()
    bins = np.linspace(-5, 5, 41)
    draws, label = found["euler_maruyama", 2.0].ravel(), "draws, εA = 2"
    left.hist(draws, bins, density=True, color=BLUE, alpha=0.4, label=label)
    for variance, style, label in ((1, "--", "posterior"), (2, "-", "twice its variance")):
        density = np.exp(-(bins**2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)
        left.plot(bins, density, style, color=BLACK, lw=1, label=label)
    grid = np.linspace(0, 3.2, 100)
    right.plot(grid, 1 / (1 - grid / 4), color=BLACK, lw=1, label="1 / (1 - εA/4)")
    right.axhline(1, color=GREY, ls="--", label="posterior")
    for name, (colour, mark) in MARKS.items():
        variances = [(found[name, step] ** 2).mean() for step in STEPS]
        right.plot(STEPS, variances, mark, color=colour, ms=6, label=name)
        for step, variance in zip(STEPS, variances, strict=True):
            print(f"{name}, εA = {step:g}: {variance:.2f} posterior variances")
    left.set(xlabel="distance from the mean, posterior sd", ylabel="density")
    right.set(
        xlabel="step size times precision, εA", ylabel="variance of the draws,\nposterior variances"
    )
    left.legend(loc="upper left")
    right.legend()
    save(figure, path)
    return found


if __name__ == "__main__":
    main()
