"""The driver: clients that send prepared requests one after the other over kept connections."""

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
    """Send every request once, by ``clients`` clients that each wait for their answer."""
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
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for request in requests:
        start = time.perf_counter()
        connection.sendall(request)
        status, closes = _answer(connection)
        times.append(time.perf_counter() - start)
        statuses.append(status)
        if closes:
            connection.close()
            connection = socket.create_connection(("127.0.0.1", port))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.close()


def _answer(connection: socket.socket) -> tuple[int, bool]:
    read = b""
    while b"\r\n\r\n" not in read:
        more = connection.recv(65536)
        if not more:
            raise ConnectionError("the server closed the connection")
        read += more
    head, _, body = read.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next((int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:")), 0)
    missing = length - len(body)
    while missing > 0:
        missing -= len(connection.recv(65536))
    return int(lines[0].split()[1]), b"connection: close" in lines


def get(path: str) -> bytes:
    """A GET as it goes over the wire."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: keep-alive\r\n\r\n".encode()


def post(path: str, body: bytes) -> bytes:
    """A form's POST as it goes over the wire."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: keep-alive\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
