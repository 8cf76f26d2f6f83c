"""gunicorn's worker with threads, but a thread is lent only to a request that is there whole.

Left to itself each thread reads from its visitor's connection and writes to it: four visitors who send, or read, a byte
a second keep everybody else out. Here one poller listens to all of them, and sends what they have not read yet
(``answers``); who is slow costs a connection and a little memory, for a limited time. What was heard is handed on
unread: gunicorn's parser alone decides what it means, and where it asks for more than came, the request ends there.
Only how many bytes to wait for is looked up beforehand (``heard``).
"""

import socket
import time
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from selectors import EVENT_READ, EVENT_WRITE
from typing import Any

from gunicorn.http import RequestParser
from gunicorn.http.errors import (
    ConfigurationProblem,
    InvalidResponseHeader,
    InvalidResponseHeaderName,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
)
from gunicorn.workers.gthread import ThreadWorker

from portal.answers import Answer
from portal.heard import PIECE, Heard
from portal.pages import headers

MOST_HEARD = 300
"""Connections that are listened to at a time in one process; one more ends the one that has taken longest."""
MOST_SPOOLED = 512 * 1024 * 1024
"""Bytes of unfinished bodies, or of unread answers, in one process; all but ``PIECE`` of each lie on the disk."""
PARTING = 2.0
"""Seconds for the other side to read an answer to the end before the connection is closed."""
LOOK_EVERY = 0.5
ANSWER_ROOM = 256 * 1024
"""So many bytes of an answer the kernel takes at once, however slowly they are read: more than a page has."""

GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"
SAYS = {
    HTTPStatus.BAD_REQUEST: "Diese Anfrage war nicht zu lesen. Bitte laden Sie die Seite neu und versuchen Sie es noch "
    "einmal.",
    HTTPStatus.REQUEST_URI_TOO_LONG: "Diese Adresse ist zu lang. Bitte kopieren Sie sie aus unserer E-Mail.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "Bei uns ist etwas schiefgegangen. Bitte versuchen Sie es noch einmal.",
    HTTPStatus.REQUEST_TIMEOUT: "Das hat zu lange gedauert. Bitte laden Sie die Seite neu und senden Sie noch einmal.",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "Der Kopf dieser Anfrage ist zu lang. Bitte löschen Sie die "
    "Cookies dieser Seite und laden Sie sie neu.",
    HTTPStatus.SERVICE_UNAVAILABLE: "Gerade kommt zu viel auf einmal an. Bitte senden Sie in einer halben Minute noch "
    "einmal.",
}

REFUSED = {
    LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    ConfigurationProblem: HTTPStatus.INTERNAL_SERVER_ERROR,
    InvalidResponseHeader: HTTPStatus.INTERNAL_SERVER_ERROR,
    InvalidResponseHeaderName: HTTPStatus.INTERNAL_SERVER_ERROR,
    ParseException: HTTPStatus.BAD_REQUEST,
}
"""What gunicorn's parser refuses; the first that fits. Whatever else it stumbles over is a fault of ours."""


_IT_GOES_ON: "Future[bool]" = Future()
_IT_GOES_ON.set_result(True)


class ListeningWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """The worker; all of this but the answering itself happens in the poller's thread."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._heard: dict[Any, Heard] = {}
        """By connection, in the order in which they began."""
        self._answered: dict[Any, Heard] = {}
        self._unread: dict[Any, tuple[Answer, bool]] = {}
        """Answers that are written but not sent, and whether the connection goes on after them."""
        self._parting: dict[Any, float] = {}
        self._look_at = 0.0

    def init_process(self) -> None:
        """Every connection takes a page at once."""
        for listener in self.sockets:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ANSWER_ROOM)
        super().init_process()

    def enqueue_req(self, conn: Any, before: bytes = b"") -> None:
        """Listen to a connection that is new, or has been answered and goes on; ``before`` has come already."""
        heard = self._heard[conn] = Heard()
        if len(self._heard) > MOST_HEARD:
            self._refuse(next(iter(self._heard)), HTTPStatus.REQUEST_TIMEOUT)
        conn.sock.setblocking(False)
        self.poller.register(conn.sock, EVENT_READ, partial(self._listen, conn))
        if before:
            self._take(conn, heard, before)
        else:
            self._listen(conn, conn.sock)

    def finish_request(self, conn: Any, fs: "Future[Any]") -> None:
        """An answer was given: send what is left of it, then go on with the connection, or part."""
        answer, conn.sock = conn.sock, conn.sock.sock
        goes_on = not fs.cancelled() and fs.exception() is None and bool(fs.result())
        if not answer.left:
            answer.close()
            self._go_on(conn, goes_on)
            return
        answer.rewind()
        self._unread[conn] = answer, goes_on
        self.poller.register(conn.sock, EVENT_WRITE, partial(self._send_on, conn))
        while sum(unread.left for unread, _ in self._unread.values()) > MOST_SPOOLED:
            self._close(next(iter(self._unread)))

    def _send_on(self, conn: Any, sock: socket.socket) -> None:
        if conn not in self._unread:
            return
        answer, goes_on = self._unread[conn]
        try:
            answer.send_on()
        except OSError:
            self._close(conn)
            return
        if not answer.left:
            del self._unread[conn]
            answer.close()
            self.poller.unregister(sock)
            self._go_on(conn, goes_on)

    def _go_on(self, conn: Any, goes_on: bool) -> None:
        heard = self._answered.pop(conn)
        heard.close()
        if heard.is_cut or not goes_on:
            self._part(conn)
        elif heard.rest:
            self.enqueue_req(conn, heard.rest)
        else:
            super().finish_request(conn, _IT_GOES_ON)

    def murder_pending(self) -> None:
        """End what takes too long; looked for twice a second at most."""
        super().murder_pending()
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_EVERY
        for conn, heard in list(self._heard.items()):
            if not heard.came and (now > heard.until or not self.alive):
                self._close(conn)
            elif now > heard.until:
                self._refuse(conn, HTTPStatus.REQUEST_TIMEOUT)
        for conn, (answer, _) in list(self._unread.items()):
            if now > answer.until:
                self._close(conn)
        for conn, until in list(self._parting.items()):
            if now > until:
                self._close(conn)

    def _listen(self, conn: Any, sock: socket.socket) -> None:
        if conn not in self._heard:  # ended by what happened to another in the same moment
            return
        try:
            data = sock.recv(PIECE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._take(conn, self._heard[conn], data)
        else:
            self._close(conn)

    def _take(self, conn: Any, heard: Heard, data: bytes) -> None:
        try:
            heard.add(data)
        except OSError:
            self._refuse(conn, HTTPStatus.SERVICE_UNAVAILABLE)
            return
        if heard.is_whole:
            self._hand_over(conn, heard)
        elif heard.is_endless:
            self._refuse(conn, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif heard.came > PIECE and sum(one.came for one in self._heard.values()) > MOST_SPOOLED:
            self._refuse(conn, HTTPStatus.SERVICE_UNAVAILABLE)
        elif heard.wants_a_word:
            self._say(conn, GO_ON)

    def _hand_over(self, conn: Any, heard: Heard) -> None:
        self.poller.unregister(conn.sock)
        self._answered[conn] = self._heard.pop(conn)
        conn.initialized, conn.sock = True, Answer(conn.sock)
        conn.parser = RequestParser(self.cfg, heard.pieces(), conn.client)
        super().enqueue_req(conn)

    def _refuse(self, conn: Any, status: HTTPStatus) -> None:
        """A page without the application: no thread is lent for it."""
        self._say(conn, self._page(status))
        self._forget(conn)
        self._part(conn)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """What gunicorn refuses, in our words: its own pages have no headers, and repeat what came."""
        status = next((one for kind, one in REFUSED.items() if isinstance(exc, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)
        if status is HTTPStatus.INTERNAL_SERVER_ERROR:
            self.log.exception("Error handling request")
        else:
            self.log.warning("Invalid request")
        with suppress(OSError):
            client.sendall(self._page(status))

    def _page(self, status: HTTPStatus) -> bytes:
        settings = getattr(self.wsgi, "extensions", {}).get("portal.settings")
        contact = settings.fallback_contact if settings is not None else None
        words = f"{SAYS[status]}{f' Oder rufen Sie uns an: {contact}.' if contact else ''}\n".encode()
        lines = (
            f"HTTP/1.1 {status.value} {status.phrase}",
            "Content-Type: text/plain; charset=utf-8",
            f"Content-Length: {len(words)}",
            *(f"{name}: {value}" for name, value in headers.WITHOUT_A_PAGE.items()),
            *(["Retry-After: 30"] if status is HTTPStatus.SERVICE_UNAVAILABLE else []),
            "Connection: close",
        )
        return "\r\n".join((*lines, "", "")).encode() + words

    def _say(self, conn: Any, words: bytes) -> None:
        with suppress(OSError):  # it is gone, or reads nothing
            conn.sock.send(words)

    def _part(self, conn: Any) -> None:
        """Close it once the other side has: with bytes unread, the kernel would cut the answer off (RFC 9112, 9.6)."""
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(conn)
            return
        conn.sock.setblocking(False)
        self._parting[conn] = time.monotonic() + PARTING
        self.poller.register(conn.sock, EVENT_READ, partial(self._see_off, conn))

    def _see_off(self, conn: Any, sock: socket.socket) -> None:
        if conn not in self._parting:
            return
        try:
            data = sock.recv(PIECE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._close(conn)

    def _close(self, conn: Any) -> None:
        self._forget(conn)
        self.nr_conns -= 1
        conn.close()

    def _forget(self, conn: Any) -> None:
        heard, (unread, _) = self._heard.pop(conn, None), self._unread.pop(conn, (None, False))
        if unread is not None:
            unread.close()
            heard = self._answered.pop(conn)
        if heard is not None:
            heard.close()
        if heard is not None or self._parting.pop(conn, None) is not None:
            self.poller.unregister(conn.sock)
