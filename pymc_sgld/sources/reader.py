"""Rows of sources in the order of a chain, read by a thread ahead of what is computed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np

from pymc_sgld.batching.windows import Window, WindowOrder, WindowReads
from pymc_sgld.errors import SettingError
from pymc_sgld.sources.background import in_background
from pymc_sgld.sources.source import Source

BLOCK_BYTES = 2**17  # read at once: long enough for any disk to be quick
WINDOW_BYTES = 2**24  # shuffled together
LEAST_BLOCKS = 16  # of a window
MOST_BYTES = 2**30  # of a window


def window_order(sources: Sequence[Source], batch_size: int) -> WindowOrder:
    """Return the order for sources that are read together."""
    rows = len(sources[0])
    row_bytes = max(1, sum(source.row_bytes for source in sources))
    chunk = max(source.chunk for source in sources)
    block = min(rows, chunk * max(1, BLOCK_BYTES // row_bytes // chunk))
    window = max(LEAST_BLOCKS, WINDOW_BYTES // (block * row_bytes))
    if min(window * block, rows) * row_bytes > MOST_BYTES:
        source = next(source for source in sources if source.chunk == chunk)
        raise SettingError(
            f'the source of "{source.name}" has chunks of {chunk} rows, {block * row_bytes:,} '
            f"bytes: {LEAST_BLOCKS} of them, which have to be in memory together, are too "
            "many. Store the data in smaller chunks, or write a copy by "
            "pymc_sgld.sources.shuffled."
        )
    return WindowOrder(rows, batch_size, block, window)


@dataclass
class _Stream:
    """Where a chain is in its rows: a window, and the next one as far as it is read."""

    key: tuple[int, int]
    arrays: list[np.ndarray]
    next_key: tuple[int, int] | None = None
    ahead: Future[list[np.ndarray]] | None = None


class Reader:
    """Gives rows of sources for consecutive updates of a chain.

    It keeps the window that a chain is in and the one after it, for a chain and its coupled
    chain. There is never more than one thread for each, and it ends when its window is read:
    nothing has to be closed.
    """

    def __init__(self, sources: Sequence[Source], order: WindowOrder) -> None:
        self.sources, self._order = list(sources), order
        self._streams: dict[int, _Stream] = {}
        self._used = False
        self._process = os.getpid()

    def rows(self, reads: WindowReads) -> list[np.ndarray]:
        """Return the rows that updates read, of each source, shape (k * batch_size, ...)."""
        if self._process != os.getpid():  # no thread outlives a fork
            self._streams, self._used, self._process = {}, False, os.getpid()
        seed, size = reads.seed, self._order.batch_size
        first, last = reads.updates.start * size, reads.updates.stop * size
        parts = []
        while first < last:
            epoch, window, place = self._order.locate(seed, first)
            arrays = self._window(seed, (epoch, window))
            part = [array[place : place + last - first] for array in arrays]
            parts.append(part)
            first += len(part[0])
        self._used = True
        if len(parts) == 1:
            return parts[0]
        return [np.concatenate(of_source) for of_source in zip(*parts, strict=True)]

    def _window(self, seed: int, key: tuple[int, int]) -> list[np.ndarray]:
        """Return the shuffled rows of a window, and have the next one read."""
        stream = self._streams.pop(seed, None)
        if stream is None or stream.key != key:
            if stream is not None and stream.ahead is not None and stream.next_key == key:
                stream = _Stream(key, stream.ahead.result())
            else:
                stream = _Stream(key, self._load(self._order.window(seed, *key)))
        while len(self._streams) > 1:  # a chain and its coupled chain
            self._streams.pop(next(iter(self._streams)))
        self._streams[seed] = stream
        if stream.ahead is None and self._used:  # not for a single look at some rows
            stream.next_key = self._order.following(*key)
            window = self._order.window(seed, *stream.next_key)
            stream.ahead = in_background(self._load, window)
        return stream.arrays

    def _load(self, window: Window) -> list[np.ndarray]:
        found = []
        for source in self.sources:
            array = np.empty((len(window.places), *source.shape[1:]), source.dtype)
            filled = 0
            for start, stop in zip(window.starts, window.stops, strict=True):
                places = window.places[filled : filled + stop - start]
                array[places] = source[int(start) : int(stop)]
                filled += stop - start
            found.append(array)
        return found

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_streams": {}, "_used": False}
