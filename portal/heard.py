"""What has come of one request, how much of it has to come, and how long that is waited for."""

import re
import time
from collections.abc import Iterator
from tempfile import SpooledTemporaryFile

from portal.app import FORM_BYTES
from portal.pages.uploads import BODY_BYTES

PIECE = 64 * 1024
MOST_HEAD = 32 * 1024
PATIENCE = 10.0
"""Seconds for any request, and one more for each ``RATE`` bytes that came."""
RATE = 10_000

LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,15})[ \t]*(?=\r\n)", re.IGNORECASE)
FRAMED = re.compile(rb"\r\n(?:content-length|transfer-encoding)", re.IGNORECASE)
IN_PARTS = re.compile(rb"\r\ncontent-type:[ \t]*multipart/form-data", re.IGNORECASE)
EXPECTS = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*(?=\r\n)", re.IGNORECASE)


class Heard:
    """What has come of one request."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._head = bytearray()
        self._body = SpooledTemporaryFile(max_size=PIECE)  # noqa: SIM115  # closed with the request
        self.came = 0
        """Bytes of it so far."""
        self.is_cut = False
        """Whether it is handed on without all of its body: nobody knows then where the next request begins."""
        self.rest = b""
        """What came behind it: the next request."""
        self._missing: int | None = None
        """Bytes of its body still to come; None while the head has no end."""

    @property
    def until(self) -> float:
        """The moment (monotonic seconds) at which no more is waited for."""
        return self._began + PATIENCE + self.came / RATE

    @property
    def is_whole(self) -> bool:
        """Whether nothing more has to come; so it is where the parser will refuse it anyway."""
        return self._missing == 0

    @property
    def is_endless(self) -> bool:
        """Whether the head has become too long."""
        return self._missing is None and len(self._head) > MOST_HEAD

    @property
    def wants_a_word(self) -> bool:
        """Whether the sender waits to be told to go on; true once."""
        if not self._missing or not EXPECTS.search(self._head):
            return False
        self._head = bytearray(EXPECTS.sub(b"", self._head))
        return b" HTTP/1.1\r\n" in self._head

    def add(self, data: bytes) -> None:
        """Something came. Raises OSError when the disk is full."""
        self.came += len(data)
        if self._missing is None:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                if self._head.count(b"\n") != self._head.count(b"\r\n"):
                    self._missing, self.is_cut = 0, True
                return
            data = bytes(self._head[end + 4 :])
            del self._head[end + 4 :]
            self._missing = self._length()
        self._body.write(data[: self._missing])
        self.rest = data[self._missing :]
        self._missing -= len(data) - len(self.rest)

    def pieces(self) -> Iterator[bytes]:
        """All of it but the rest."""
        yield bytes(self._head)
        self._body.seek(0)
        while piece := self._body.read(PIECE):
            yield piece

    def close(self) -> None:
        """Forget it."""
        self._body.close()

    def _length(self) -> int:
        """How much has to come behind the head. None of a body that is refused unread: nobody reads it then."""
        lengths = LENGTH.findall(self._head)
        if not lengths and not FRAMED.search(self._head):
            return 0
        most = BODY_BYTES if IN_PARTS.search(self._head) else FORM_BYTES
        self.is_cut = len(FRAMED.findall(self._head)) > 1 or len(lengths) != 1 or int(lengths[0]) > most
        return 0 if self.is_cut else int(lengths[0])
