"""Metropolis: how far to propose, and how often proposals are accepted."""

from pathlib import Path

import numpy as np
import pymc as pm
from gaussian_mean import SD, build, distance, sample
from picture import BLACK, BLUE, GREEN, RED, save, two_panels

DRAWS, SHOWN = 4000, 250
SCALES = {0.1: BLUE, 2.4: GREEN, 20.0: RED}  # in posterior sd
MORE = [0.3, 1.0, 6.0]


def walk(scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Return distances from the mean, and whether each proposal was accepted."""
    with build():
        idata = sample(pm.Metropolis(scaling=scale * SD, tune=False), DRAWS)
    return distance(idata)[0], idata.sample_stats["accepted"].values.astype(float).ravel()


def expected_acceptance(scale: np.ndarray | float) -> np.ndarray | float:
    """Return the acceptance rate of normal proposals on a Gaussian in one dimension."""
    return 2 / np.pi * np.arctan(2 / scale)


def main(path: Path = Path(__file__).with_suffix(".svg")) -> dict[float, tuple]:
    """Draw the figure, print what it shows and return it."""
    found = {scale: walk(scale) for scale in sorted([*SCALES, *MORE])}
    figure, (left, right) = two_panels()
    for offset, (scale, colour) in zip((8, 0, -8), SCALES.items(), strict=True):
        chain = found[scale][0][:SHOWN] + offset
        left.plot(chain, color=colour, lw=1, drawstyle="steps-post")
        left.axhspan(offset - 2, offset + 2, color=colour, alpha=0.12, lw=0)
        left.text(SHOWN * 1.02, offset, f"proposal\n{scale:g} sd", color=colour, va="center")
    left.set(xlabel="draw", ylabel="θ, one chain above the other", yticks=[])
    scales = np.geomspace(0.07, 30, 100)
    right.semilogx(scales, expected_acceptance(scales), color=BLACK, lw=1, label="theory")
    rates = {scale: accepted.mean() for scale, (_, accepted) in found.items()}
    right.plot(rates.keys(), rates.values(), "o", color=BLUE, label=f"{DRAWS:,} draws")
    right.set(xlabel="standard deviation of proposals, posterior sd", ylabel="acceptance rate")
    right.legend()
    for scale, rate in rates.items():
        expected = expected_acceptance(scale)
        print(f"proposals of {scale:g} sd: {rate:.3f} accepted, {expected:.3f} expected")
    save(figure, path)
    return found


if __name__ == "__main__":
    main()
