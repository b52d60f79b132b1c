"""Reads over a network: tried again where that may help, given up where nothing comes.

The libraries of stores try a request again, a few times within seconds, or not at all, and some
wait for long. What is here is for a read as a whole, and the same for all of them.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from concurrent.futures import wait
from itertools import count
from random import SystemRandom
from typing import Any

from pymc_sgld.sources.background import in_background

THREAD = "pymc_sgld network"
PATIENCE = 60.0  # seconds for which a read that fails is tried again
SILENCE = 300.0  # seconds for which a read is waited for, and one more for each MB of it
_LONGEST = 16.0  # seconds between two attempts
_LATER = {408, 425, 429}  # of HTTP, beside all from 500: too slow, too early, too many
_BUSY = {
    getattr(errno, name, None)
    for name in ("EAGAIN", "EBUSY", "EHOSTUNREACH", "ENETDOWN", "ENETUNREACH", "EREMOTEIO")
}
_BROKEN = {  # the errors of connections of aiohttp, botocore, requests, azure-core and http.client
    *("ClientConnectionError", "ClientPayloadError", "HTTPClientError", "ConnectionError"),
    *("Timeout", "ChunkedEncodingError", "ServiceRequestError", "ServiceResponseError"),
    "IncompleteRead",
}
_random = SystemRandom()  # nobody's seed, and not the same in each process that was forked


class Unreachable(Exception):
    """A read that was tried for long enough; what it says is for the user."""


def patiently[T](read: Callable[[], T], size: int = 0) -> T:
    """Return what a read returns, which may take several attempts.

    Parameters
    ----------
    read : callable
        To be called again where its error may pass: connections that break or time out, and
        servers that are busy or out of order. It runs in a thread, which is left alone where it
        stays silent.
    size : int
        How many bytes it reads, about.

    Raises
    ------
    Unreachable
        If it fails for a minute, or stays silent for five and the time that ``size`` bytes take
        at 1 MB/s. Any other error of ``read`` is raised at once.
    """
    began, limit = time.monotonic(), SILENCE + size / 1e6
    for attempt in count(1):
        reading = in_background(read, name=THREAD)
        wait([reading], began + limit - time.monotonic())
        if not reading.done():
            raise Unreachable(f"nothing came for {limit:.0f} seconds")
        try:
            return reading.result()
        except Exception as error:
            if not may_pass(error):
                raise
            pause = min(_LONGEST, 2.0 ** (attempt - 1)) * _random.uniform(0.5, 1)
            seconds = time.monotonic() - began
            if seconds + pause > PATIENCE:
                raise Unreachable(
                    f"it failed for {seconds:.0f} seconds (attempts: {attempt}), the last time "
                    f"with {type(error).__name__}: {error}"
                ) from error
        time.sleep(pause)
    raise AssertionError  # count has no end


def may_pass(error: BaseException | None) -> bool:
    """Whether an error, or one that caused it, is of the kind that passes by itself."""
    while error is not None:
        names = {kind.__name__ for kind in type(error).__mro__}
        if isinstance(error, TimeoutError) or names & _BROKEN:
            return True
        status = _status(error)
        if status is not None:
            return status >= 500 or status in _LATER
        if isinstance(error, OSError) and error.errno in _BUSY:
            return True
        error = error.__cause__
    return False


def _status(error: BaseException) -> int | None:
    """Return the status of HTTP that an error is about, if any."""
    response: Any = getattr(error, "response", None)
    if isinstance(response, dict):  # of botocore
        return response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    for holder in (error, response):
        for name in ("status", "status_code", "code"):
            if isinstance(found := getattr(holder, name, None), int):
                return found
    return None
