"""The driver: clients that send prepared requests in turn, each on a connection of its own, as visitors do."""

import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Load:
    """What a run of requests came to."""

    seconds: float
    times: tuple[float, ...]
    statuses: tuple[int, ...]

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.times) / self.seconds

    def percentile(self, share: float) -> float:
        """Milliseconds within which that share of the requests was answered."""
        ordered = sorted(self.times)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000


def drive(port: int, requests: Sequence[bytes], *, clients: int = 8) -> Load:
    """Send every request once, by ``clients`` clients that each wait for their answer.

    A kept connection would belong to one of the server's processes for the whole run, and which one is chance.
    """
    times: list[float] = []
    statuses: list[int] = []
    shares = [requests[number::clients] for number in range(clients)]
    threads = [threading.Thread(target=_client, args=(port, share, times, statuses)) for share in shares]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Load(time.perf_counter() - start, tuple(times), tuple(statuses))


def _client(port: int, requests: Sequence[bytes], times: list[float], statuses: list[int]) -> None:
    for request in requests:
        start = time.perf_counter()
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(request)
            statuses.append(_status(connection))
        times.append(time.perf_counter() - start)


def _status(connection: socket.socket) -> int:
    """The status of an answer, read to its end."""
    read = b""
    while more := connection.recv(65536):
        read += more
    return int(read.split(b" ", 2)[1])


def get(path: str) -> bytes:
    """A GET as it goes over the wire."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode()


def post(path: str, body: bytes) -> bytes:
    """A form's POST as it goes over the wire."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
