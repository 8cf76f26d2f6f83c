"""Waking the worker: from a commit to the worker's ear in about a millisecond.

PostgreSQL carries the word itself (NOTIFY, delivered by the commit). Beside a SQLite file each worker listens on a
datagram socket in ``<file>.wake/``. A lost word costs nothing but time: a worker also looks by itself every POLL
seconds.
"""

import contextlib
import os
import select
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

CHANNEL = "durchwahl_worker"
POLL = 1.0
"""Seconds after which a worker looks for due work without being woken."""


def notify(session: Session) -> None:
    """Put the word into the transaction itself, where the database can carry it."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text(f"NOTIFY {CHANNEL}"))


def send(engine: Engine) -> None:
    """After a commit on SQLite: wake every worker that listens beside the file. A deaf worker is no fault.

    Raises nothing, not even when the process has no file left to open: what was to be kept is committed.
    """
    if engine.dialect.name != "sqlite" or not engine.url.database:
        return
    with contextlib.suppress(OSError):
        _send(engine)


def _send(engine: Engine) -> None:
    with _folder(engine) as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        if folder is None:
            return
        sender.setblocking(False)
        for name in os.listdir(folder):
            with contextlib.suppress(OSError):
                sender.sendto(b"1", f"{folder}/{name}")


class Ear:
    """What a worker waits with: returns when it is woken or when the time is over."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: psycopg.Connection[tuple[object, ...]] | None = None
        self._socket: socket.socket | None = None
        self._path: Path | None = None

    def wait(self, seconds: float) -> None:
        """Sleep until a word comes, at most ``seconds``."""
        if self._engine.dialect.name == "postgresql":
            self._wait_on_postgresql(seconds)
        else:
            self._wait_on_socket(seconds)

    def listen(self) -> None:
        """Begin to listen; called before the first look at the work, so that no word falls between."""
        if self._engine.dialect.name == "postgresql":
            self._listen_on_postgresql()
        elif self._socket is None and self._engine.url.database:
            self._listen_on_socket()

    def close(self) -> None:
        """Stop listening and leave no socket behind."""
        if self._connection is not None:
            self._connection.close()
        if self._socket is not None:
            self._socket.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _listen_on_postgresql(self) -> None:
        if self._connection is not None and not self._connection.closed:
            return
        url = self._engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        with contextlib.suppress(psycopg.OperationalError):
            self._connection = psycopg.connect(url, autocommit=True, connect_timeout=5)
            self._connection.execute(f"LISTEN {CHANNEL}")

    def _wait_on_postgresql(self, seconds: float) -> None:
        self._listen_on_postgresql()
        try:
            if self._connection is None or self._connection.closed:
                raise psycopg.OperationalError
            for _ in self._connection.notifies(timeout=seconds, stop_after=1):
                pass
        except psycopg.OperationalError:
            self._connection = None
            select.select([], [], [], min(seconds, POLL))

    def _listen_on_socket(self) -> None:
        with _folder(self._engine, make=True) as folder:
            if folder is None:
                return
            name = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
            ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            ear.setblocking(False)
            try:
                ear.bind(f"{folder}/{name}")
            except OSError:  # no room for another name: the worker looks by itself until there is
                ear.close()
                return
            self._socket, self._path = ear, Path(f"{self._engine.url.database}.wake").resolve() / name

    def _wait_on_socket(self, seconds: float) -> None:
        if self._socket is None:
            select.select([], [], [], seconds)
            return
        select.select([self._socket], [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            while self._socket.recv(16):
                pass


@contextlib.contextmanager
def _folder(engine: Engine, *, make: bool = False) -> Iterator[str | None]:
    """The folder of sockets, by a short name: a socket's path may be about 107 bytes long, a checkout's is longer.

    None where the folder is missing (no worker ever ran) or the system has no ``/proc``: then the worker polls.
    """
    path = Path(f"{engine.url.database}.wake")
    with contextlib.suppress(OSError):
        if make:
            path.mkdir(mode=0o700, exist_ok=True)
            _sweep(path)
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        yield None
        return
    try:
        short = f"/proc/self/fd/{handle}"
        yield short if os.path.isdir(short) else None
    finally:
        os.close(handle)


def _sweep(path: Path) -> None:
    """Remove sockets of workers that were killed."""
    for name in os.listdir(path):
        pid = name.partition("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            (path / name).unlink(missing_ok=True)
