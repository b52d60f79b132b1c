"""A shuffled copy on disk, of data whose rows have an order."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from pymc_sgld.errors import SettingError
from pymc_sgld.sources.bind import bind

_BLOCK = 16_384  # rows that are read at once
_BUCKET = 262_144  # rows that are shuffled in memory


def shuffled(
    data: Mapping[str, Any], folder: str | Path, seed: int | None = None
) -> dict[str, np.memmap]:
    """Write the rows of sources to files in random order, and return these.

    Each row goes to a random one of several parts of the file, and each part is shuffled in
    memory: every order of the rows is as likely as any other. The data are read once, and written
    twice.

    Parameters
    ----------
    data : dict
        Sources of equally many rows, by name: one order for all of them.
    folder : path
        Where to write, for each name, ``name.npy``.
    seed : int, optional
        Of the order.

    Returns
    -------
    dict of memmap
        Their rows, for ``SGLD(data=...)``. ``numpy.load(path, mmap_mode="r")`` opens them again.

    Raises
    ------
    SettingError
        If there are no sources, they have different numbers of rows, or a file is there already.

    References
    ----------
    Rao (1961), Generation of random permutations of given number of elements using random sampling
    numbers. Sandelius (1962), A simple randomization procedure.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from pymc_sgld import sources
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     files = sources.shuffled({"x": np.arange(6), "y": 10 * np.arange(6)}, folder, seed=2)
    ...     files["x"].tolist(), bool((files["y"] == 10 * files["x"]).all())
    ([1, 0, 4, 5, 3, 2], True)
    """
    found = bind(data)
    if len({len(source) for source in found.values()}) != 1:
        raise SettingError(
            f"data has {', '.join(f'{len(s)} rows of "{n}"' for n, s in found.items()) or 'none'}: "
            "sources that are shuffled together have equally many rows."
        )
    rows = len(next(iter(found.values())))
    buckets = -(-rows // _BUCKET)
    root = np.random.SeedSequence(seed)
    parts, orders = root.spawn(2)

    def bucket_of(start: int, count: int) -> np.ndarray:
        rng = np.random.default_rng((*parts.generate_state(2), start))
        return rng.integers(buckets, size=count)

    counts = np.zeros(buckets, dtype=int)
    starts = range(0, rows, _BLOCK)
    for start in starts:
        counts += np.bincount(bucket_of(start, min(_BLOCK, rows - start)), minlength=buckets)
    begins = np.concatenate([[0], np.cumsum(counts)])
    files = {}
    for name, source in found.items():
        path = Path(folder) / f"{name}.npy"
        if path.exists():
            raise SettingError(f"{path} is there already: remove it, or name another folder.")
        written = np.lib.format.open_memmap(path, "w+", source.dtype, source.shape)
        filled = begins[:-1].copy()
        for start in starts:
            block = source[start : start + _BLOCK]
            places = bucket_of(start, len(block))
            for bucket in np.unique(places):
                here = block[places == bucket]
                written[filled[bucket] : filled[bucket] + len(here)] = here
                filled[bucket] += len(here)
        for bucket, (start, stop) in enumerate(pairwise(begins)):
            rng = np.random.default_rng((*orders.generate_state(2), bucket))
            written[start:stop] = written[start:stop][rng.permutation(stop - start)]
        written.flush()
        files[name] = np.load(path, mmap_mode="r")
    return files
