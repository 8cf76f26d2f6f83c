"""Keeps every letter that comes in by SMTP on 127.0.0.1 as a file of its own, whoever it is for.

The files are named by the time they came (UTC), so that their names sort by time; the newest 500 are kept.
"""

import os
import re
import secrets
import socket
from asyncio import AbstractServer
from collections.abc import Awaitable
from datetime import UTC, datetime
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from portal import clock

KEPT = 500

_NAME = re.compile(r"(\d{8}T\d{12})Z-[0-9a-f]{8}\.eml")


def start(directory: Path, *, port: int = 0) -> Controller:
    """Receive from now on; the answer's ``port`` is the real one, ``stop()`` ends it.

    Raises OSError if the port is taken or the directory cannot be made.
    """
    # Letters hold status links: they are for whoever runs this program, and for nobody else on the machine.
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    receiver = _Receiver(directory, port)
    receiver.start()
    return receiver


def keep(directory: Path, letter: bytes, *, now: datetime) -> str:
    """Write the letter, whole or not at all, drop the oldest beyond the 500, and return its name."""
    name = f"{now.astimezone(UTC):%Y%m%dT%H%M%S%f}Z-{secrets.token_hex(4)}.eml"
    unfinished = directory / f".{name}"
    unfinished.write_bytes(letter)
    os.replace(unfinished, directory / name)
    for old in names(directory)[KEPT:]:
        (directory / old).unlink(missing_ok=True)
    return name


def names(directory: Path) -> list[str]:
    """The letters' names, newest first."""
    if not directory.is_dir():
        return []
    return sorted((path.name for path in directory.iterdir() if _NAME.fullmatch(path.name)), reverse=True)


def find(directory: Path, name: str) -> Path | None:
    """The letter's file, or None. Whatever is not a name given by ``keep`` is never looked for."""
    path = directory / name if _NAME.fullmatch(name) else None
    return path if path and path.is_file() else None


def received_at(name: str) -> datetime:
    """When the letter of this name came. Raises ValueError for a name that is none of ours."""
    found = _NAME.fullmatch(name)
    if found is None:
        raise ValueError("not the name of a letter")
    return datetime.strptime(found[1], "%Y%m%dT%H%M%S%f").replace(tzinfo=UTC)


class _Keeper:
    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        try:
            keep(self._directory, envelope.original_content or b"", now=clock.utc_now())
        except OSError:
            # Not aiosmtpd's own 500, which would give the letter up for good.
            return "452 4.3.1 the mailbox cannot be written"
        return "250 2.0.0 kept"


class _Receiver(Controller):
    """aiosmtpd's controller, taught to listen on a port that the system chooses."""

    def __init__(self, directory: Path, port: int) -> None:
        self._listening = socket.create_server(("127.0.0.1", port))
        # The host name is given, because looking it up can take seconds.
        super().__init__(
            _Keeper(directory),
            hostname="127.0.0.1",
            port=self._listening.getsockname()[1],
            server_hostname="localhost",
        )

    def _create_server(self) -> Awaitable[AbstractServer]:
        return self.loop.create_server(self._factory_invoker, sock=self._listening)
