"""Who sends a byte a second, or reads nothing, keeps nobody waiting: one process, as the project starts it."""

import re
import socket
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import pytest

from portal.heard import PATIENCE
from portal.links import Links
from tests.conftest import SECRET_KEY
from tests.flood.test_flood import _opener, _post
from tests.support.processes import Web

SLOW = 50
"""Connections of each kind."""
REQUESTS = 100
AT_ONCE = 2
MOST = 1.0
"""Seconds: the 95th percentile of all others stays under them."""
HEAD = b"POST /contact HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
BODY = b"Content-Length: 5000\r\n\r\n"
MANY_GETS = b"GET /contact HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20
KINDS: dict[str, bytes] = {
    "drips its body": HEAD + BODY,
    "drips its head": HEAD + b"X-Slow: ",
    "says nothing": b"",
    "reads nothing": MANY_GETS,
}
"""What each sends at once; the first two go on with a byte a second."""


class Slow:
    """As many connections as given that begin like this and then take their time, in a thread of their own.

    One that the server ends is opened anew.
    """

    def __init__(self, port: int, beginning: bytes, number: int, *, drips: bool = True) -> None:
        self._port, self._beginning, self._drips = port, beginning, drips
        self._stopped = threading.Event()
        self._open = [self._begin() for _ in range(number)]
        self._thread = threading.Thread(target=self._go_on)

    def __enter__(self) -> "Slow":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
        for connection in self._open:
            connection.close()

    def _begin(self) -> socket.socket:
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(10)
        connection.connect(("127.0.0.1", self._port))
        connection.sendall(self._beginning)
        return connection

    def _go_on(self) -> None:
        while not self._stopped.wait(1.0):
            for number, connection in enumerate(self._open):
                try:
                    connection.sendall(b"x" if self._drips else b"")
                except OSError:
                    connection.close()
                    with suppress(OSError):
                        self._open[number] = self._begin()


def seconds_of_others(web: Web) -> list[float]:
    """How long each of some ordinary requests took: the form looked at, and sent."""
    links = Links([SECRET_KEY])

    def looks(_: int) -> None:
        with _opener().open(f"{web.address}/contact", timeout=30) as page:
            assert page.status == 200

    def sends(number: int) -> None:
        assert _post(web.address, links, f"andere{number}@kunde.example").code == 303

    def timed(number: int) -> float:
        began = time.monotonic()
        (sends if number % 2 else looks)(number)
        return time.monotonic() - began

    with ThreadPoolExecutor(AT_ONCE) as threads:
        return list(threads.map(timed, range(REQUESTS)))


def p95(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=20)[-1]


@pytest.mark.nightly_on("sqlite")
def test_a_hundred_and_more_slow_connections_keep_nobody_waiting(
    web: Web, record_property: Callable[[str, object], None]
) -> None:
    with ExitStack() as slow:
        for kind, beginning in KINDS.items():
            slow.enter_context(Slow(web.port, beginning, SLOW, drips="drips" in kind))
        time.sleep(1.5)  # so that all of them are on their way
        found = p95(seconds_of_others(web))
        if found >= MOST:  # a busy machine is measured once more
            found = p95(seconds_of_others(web))

    record_property("p95", found)
    assert found < MOST


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["drips its body", "drips its head"])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_who_takes_too_long_is_told_so(web: Web, kind: str) -> None:
    with socket.create_connection(("127.0.0.1", web.port), timeout=PATIENCE + 20) as connection:
        connection.sendall(KINDS[kind])
        began, answer = time.monotonic(), b""
        connection.settimeout(1.0)
        while not answer and time.monotonic() < began + PATIENCE + 20:
            connection.sendall(b"x")
            with suppress(TimeoutError):
                answer = connection.recv(65536)

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert re.search(rb"\r\nConnection: close\r\n", answer)
    assert "noch einmal" in answer.decode()
    assert time.monotonic() - began >= PATIENCE - 1
