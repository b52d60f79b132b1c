"""The Langevin equation: paths forget where they began and settle on the posterior."""

from pathlib import Path

import numpy as np
from gaussian_mean import PRECISION, ROWS, TEXTBOOK, build, distance, sample
from picture import BLACK, BLUE, GREEN, GREY, ORANGE, RED, save, two_panels

from pymc_sgld import SGLD

STEP, STEPS_PER_DRAW, DRAWS, CHAINS, START = 0.02, 10, 1000, 4, 12.0
SHOWN = 75  # draws of a path in the picture


def diffuse() -> np.ndarray:
    """Return distances from the mean along paths of very small steps, shape (chain, draw)."""
    with build():
        step = SGLD(
            batch_size=ROWS, step_size=STEP / PRECISION, steps_per_draw=STEPS_PER_DRAW, **TEXTBOOK
        )
        return distance(sample(step, DRAWS, START, CHAINS))


def exact(time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and sd of the Ornstein-Uhlenbeck process that starts at ``START``."""
    return START * np.exp(-time / 2), np.sqrt(-np.expm1(-time))


def main(path: Path = Path(__file__).with_suffix(".svg")) -> np.ndarray:
    """Draw the figure, print what it shows and return it."""
    paths = diffuse()
    time = STEP * STEPS_PER_DRAW * np.arange(1, DRAWS + 1)  # in units of 1/A
    figure, (left, right) = two_panels(sharey=True)
    mean, sd = exact(time[:SHOWN])
    left.fill_between(time[:SHOWN], mean - 2 * sd, mean + 2 * sd, color=GREY, alpha=0.3, lw=0)
    left.plot(time[:SHOWN], mean, color=BLACK, ls="--", label="exact mean, ± 2 sd")
    for found, colour in zip(paths, (BLUE, ORANGE, GREEN, RED), strict=True):
        left.plot(time[:SHOWN], found[:SHOWN], color=colour, lw=1)
    settled = paths[:, time > 12].ravel()
    bins = np.linspace(-4, 4, 33)
    label = f"{CHAINS} paths, time 12 to {time[-1]:.0f}"
    right.hist(settled, bins, density=True, orientation="horizontal", color=BLUE, label=label)
    density = np.exp(-(bins**2) / 2) / np.sqrt(2 * np.pi)
    right.plot(density, bins, color=BLACK, ls="--", label="posterior")
    left.set(xlabel="time, units of 1/A", ylabel="distance from the mean, posterior sd")
    right.set(xlabel="density")
    for axes in (left, right):
        axes.legend(loc="upper right")
    print(f"variance of the settled paths: {settled.var():.2f} posterior variances")
    save(figure, path)
    return paths


if __name__ == "__main__":
    main()
