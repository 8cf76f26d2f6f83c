"""An answer that is longer than what its reader takes at once: the thread that wrote it is free, a poller sends on."""

import socket
import time
from tempfile import SpooledTemporaryFile
from typing import Any

PIECE = 64 * 1024
PATIENCE = 20.0
"""Seconds for the reader of any answer, and one more for each ``RATE`` bytes that were read."""
RATE = 10_000


class Answer:
    """Stands for a connection's socket while a thread answers: writing to it never waits."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.left = 0
        """Bytes that were written and are still to be sent."""
        self._rest: SpooledTemporaryFile[bytes] | None = None
        self._piece = memoryview(b"")
        self._sent = 0
        self._began = time.monotonic()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sock, name)

    @property
    def until(self) -> float:
        """The moment (monotonic seconds) at which the reader is given up."""
        return self._began + PATIENCE + self._sent / RATE

    def sendall(self, data: bytes) -> None:
        """Send what the kernel takes, and keep the rest. Raises OSError where nobody is there, or the disk is full."""
        unsent = memoryview(data)
        if self._rest is None:
            unsent = self._send(unsent)
            if not unsent:
                return
            self._rest = SpooledTemporaryFile(max_size=PIECE)  # noqa: SIM115  # closed with the answer
        self._rest.write(unsent)
        self.left += len(unsent)

    def rewind(self) -> None:
        """It is written to its end: from here on the rest is read."""
        self._began = time.monotonic()
        if self._rest is not None:
            self._rest.seek(0)

    def send_on(self) -> None:
        """Send what the kernel takes of the rest. Raises OSError where nobody is there."""
        assert self._rest is not None
        before = len(self._piece)
        if not before:
            self._piece = memoryview(self._rest.read(PIECE))
            before = len(self._piece)
        self._piece = self._send(self._piece)
        self.left -= before - len(self._piece)

    def close(self) -> None:
        """Forget it."""
        if self._rest is not None:
            self._rest.close()

    def _send(self, data: memoryview) -> memoryview:
        """What is left of ``data``."""
        while data:
            try:
                sent = self.sock.send(data, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            self._sent += sent
            data = data[sent:]
        return data
