"""What is tried again, and for how long."""

import threading
from concurrent.futures import TimeoutError as Late
from types import SimpleNamespace

import pytest

from pymc_sgld.sources import network
from pymc_sgld.sources.network import Unreachable, may_pass, patiently


@pytest.fixture
def pauses(monkeypatch):
    """Return the pauses that were made, none of which takes any time."""
    made = []
    clock = SimpleNamespace(sleep=made.append, monotonic=lambda: sum(made))
    monkeypatch.setattr(network, "time", clock)
    return made


def failing(*errors):
    """Return a read that fails some times, and its calls."""
    left, calls = list(errors), []

    def read():
        calls.append(len(calls))
        if left:
            raise left.pop(0)
        return "rows"

    return read, calls


def test_a_failure_that_passes(pauses):
    read, calls = failing(ConnectionResetError(), TimeoutError(), BrokenPipeError())
    assert patiently(read) == "rows" and len(calls) == 4
    assert len(pauses) == 3
    assert all(0.5 <= pause / 2**i <= 1 for i, pause in enumerate(pauses))


def test_a_failure_that_does_not_pass(pauses):
    """Within a minute, with the attempts and the last error."""
    read, calls = failing(*[ConnectionResetError("by peer")] * 100)
    with pytest.raises(Unreachable) as caught:
        patiently(read)
    told = f"it failed for {sum(pauses):.0f} seconds (attempts: {len(calls)}), the last time with "
    assert str(caught.value) == told + "ConnectionResetError: by peer"
    assert isinstance(caught.value.__cause__, ConnectionResetError)
    assert 44 < sum(pauses) <= 60 and len(calls) in range(7, 12)


@pytest.mark.parametrize("error", [FileNotFoundError("x"), PermissionError("x"), ValueError("x")])
def test_an_error_at_once(error, pauses):
    read, calls = failing(error)
    with pytest.raises(type(error), match="x"):
        patiently(read)
    assert len(calls) == 1 and pauses == []


def test_a_read_that_stays_silent(monkeypatch):
    """The limit is that of all attempts, and grows with what is read."""
    monkeypatch.setattr(network, "SILENCE", 0.1)
    ended = threading.Event()
    with pytest.raises(Unreachable, match=r"^nothing came for 0 seconds$"):
        patiently(lambda: ended.wait(10))
    with pytest.raises(Unreachable, match=r"nothing came for 1 seconds"):
        patiently(lambda: ended.wait(10), size=500_000)
    ended.set()
    assert patiently(lambda: ended.wait(10))


def raised(error, cause=None):
    error.__cause__ = cause
    return error


def of_aiohttp(name, *arguments, **settings):
    aiohttp = pytest.importorskip("aiohttp", reason="has errors of its own")
    return getattr(aiohttp, name)(*arguments, **settings)


def of_botocore(name, *arguments, **settings):
    exceptions = pytest.importorskip("botocore.exceptions", reason="has errors of its own")
    return getattr(exceptions, name)(*arguments, **settings)


def of_status(status):
    """Return an error of botocore."""
    answer = {"Error": {"Code": str(status)}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return of_botocore("ClientError", answer, "GetObject")


@pytest.mark.parametrize(
    ("make", "passes"),
    [
        (lambda: Late(), True),
        (lambda: ConnectionRefusedError(), True),
        (lambda: OSError(16, "busy"), True),
        (lambda: OSError(22, "invalid"), False),
        (lambda: EOFError("cut"), False),
        (lambda: of_aiohttp("ServerDisconnectedError"), True),
        (lambda: of_aiohttp("ClientPayloadError"), True),
        (lambda: of_aiohttp("ClientResponseError", None, (), status=503), True),
        (lambda: of_aiohttp("ClientResponseError", None, (), status=401), False),
        (lambda: of_botocore("ReadTimeoutError", endpoint_url="x"), True),
        (lambda: of_botocore("EndpointConnectionError", endpoint_url="x"), True),
        (lambda: of_botocore("NoCredentialsError"), False),
        (lambda: raised(OSError(5, "x"), of_status(429)), True),
        (lambda: raised(OSError(5, "x"), of_status(400)), False),
        (lambda: raised(FileNotFoundError("x"), of_status(404)), False),
        (lambda: raised(FileNotFoundError("x"), ConnectionResetError()), True),  # fsspec's http
    ],
)
def test_which_errors_may_pass(make, passes):
    assert may_pass(make()) is passes
