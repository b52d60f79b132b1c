r"""Which rows stand for all of them, and how often each of them counts.

A row is picked with a probability :math:`\pi_i` that is proportional to how much it may add, at
most 1, and counts :math:`1 / \pi_i` times: the sum over all rows is estimated without bias
(Horvitz and Thompson 1952). Rows of probability 1 are in every part; the others are dealt out to
parts that are as good as independent, so that their differences show the error of the whole.

References
----------
Horvitz and Thompson (1952), A generalization of sampling without replacement from a finite
universe. Madow (1949), On the theory of systematic sampling, II.
"""

from __future__ import annotations

import numpy as np

FLOOR = 0.1
"""Share of the mean size that every row has at least: none may be overlooked."""


def probabilities(sizes: np.ndarray, parts: int, each: int) -> np.ndarray:
    """Return the probabilities of rows to be in one of some parts, shape (N,).

    Parameters
    ----------
    sizes : ndarray, shape (N,)
        How much each row may add, not negative. What is not finite counts as the greatest.
    parts, each : int
        How many parts, and the rows of each, among them all those of probability 1: these are at
        most half of it. All parts together have less than N rows.
    """
    known = np.isfinite(sizes)
    sizes = np.where(known, sizes, sizes[known].max(initial=1.0))
    sizes = sizes + FLOOR * sizes.mean() + np.finfo(float).tiny
    order = np.argsort(-sizes, kind="stable")
    certain = 0
    while True:
        left = parts * (each - 1 - certain)  # one less: there may be one more than this
        found = np.minimum(left * sizes / sizes[order[certain:]].sum(), 1.0)
        found[order[:certain]] = 1.0
        more = min(int((found >= 1).sum()), each // 2)
        if more <= certain:
            return found
        certain = more


def pick(
    sizes: np.ndarray, parts: int, each: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Pick rows for each of some parts.

    Parameters
    ----------
    sizes, parts, each
        See `probabilities`.
    rng : Generator
        For the order of the rows, and where picking begins.

    Returns
    -------
    rows : ndarray, shape (m,)
        In ascending order, at most ``parts * each``.
    weights : ndarray, shape (parts, m)
        How often each counts in each part. The sum of a part estimates the one over all rows.
    """
    probability = probabilities(sizes, parts, each)
    certain = np.flatnonzero(probability >= 1)[: each // 2]
    others = rng.permutation(np.setdiff1d(np.arange(len(sizes)), certain))
    ends = np.cumsum(probability[others])
    # one row at every unit of the sum: as many as there should be, whatever the order
    marks = np.arange(rng.random(), ends[-1], 1.0)
    chosen = rng.permutation(others[np.searchsorted(ends, marks, side="right")])
    rows = np.concatenate([certain, chosen])
    weights = np.zeros((parts, len(rows)))
    weights[:, : len(certain)] = 1.0
    place = np.arange(len(chosen))
    weights[place % parts, len(certain) + place] = parts / probability[chosen]
    order = np.argsort(rows)
    return rows[order], weights[:, order]
