"""A database of the simulation's own, gone when it ends; the one that the settings name is never touched."""

import secrets
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

VARIABLE = "PORTAL_DATABASE_URL"
PREFIX = "durchwahl_simulation_"
ENVIRONMENT = {
    "PORTAL_BASE_URL": "http://localhost",
    "PORTAL_MAIL_DEFAULT_SENDER": "service@beispielwerke.example",
    "PORTAL_FALLBACK_CONTACT": "Petra Lindner, 089 99998-100",
    # A visitor of the simulation fills in the form in no time at all, and all of them come from one address.
    "PORTAL_FORM_MIN_SECONDS": "0",
    "PORTAL_FORM_LIMIT": "1000000 per hour",
    # How many forms a firm of its size takes on a day is what it is asked, and some customers send one after the other.
    "PORTAL_SITE_LIMIT": "1000000 per day",
    "PORTAL_MAIL_CAP": "1000000 per hour",
}
"""The settings of the simulated firm; nothing of the real one's is taken over but the kind of database."""


class Impossible(Exception):
    """There can be no database to simulate on; the text is one sentence for whoever runs the program."""


@contextmanager
def database(environment: Mapping[str, str]) -> Iterator[str]:
    """The address of a fresh, empty database, dropped at the end of the block.

    A temporary SQLite file, or, where the settings name PostgreSQL, a database of its own on that server. Raises
    Impossible when it cannot be made.
    """
    named = _named(environment)
    if named is None:
        with tempfile.TemporaryDirectory(prefix="durchwahl-simulation-") as folder:
            yield f"sqlite:///{folder}/simulation.sqlite3"
        return
    name = PREFIX + secrets.token_hex(6)
    with _server(named) as server:
        try:
            with server.connect() as connection:
                connection.execute(text(f"CREATE DATABASE {name}"))
                # The machine may fail under a real database, not under this one: nothing has to wait for the disk.
                connection.execute(text(f"ALTER DATABASE {name} SET synchronous_commit = off"))
        except SQLAlchemyError as error:
            raise Impossible(
                f"{VARIABLE} names a PostgreSQL server on which the simulation can make no database of its own "
                f"({type(getattr(error, 'orig', None) or error).__name__}): let its user create databases, or unset it."
            ) from None
        try:
            yield named.set(database=name).render_as_string(hide_password=False)
        finally:
            with server.connect() as connection:
                connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))


def make_quick(engine: Engine) -> None:
    """SQLite's file of a simulation need not outlive a power cut (PostgreSQL's has been told so by ``database``)."""
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _do_not_wait_for_the_disk)


def cut_connections(engine: Engine) -> None:
    """What a restart of a PostgreSQL server does to its clients: every connection to this database ends."""
    asks = create_engine(engine.url, isolation_level="AUTOCOMMIT")
    try:
        with asks.connect() as connection:
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
    finally:
        asks.dispose()


def _do_not_wait_for_the_disk(connection: DBAPIConnection, _: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA synchronous=OFF")
    cursor.close()


def _named(environment: Mapping[str, str]) -> URL | None:
    """The PostgreSQL address in the settings, or None where they name SQLite or nothing."""
    value, path = environment.get(VARIABLE, "").strip(), environment.get(f"{VARIABLE}_FILE", "")
    if not value and path:
        try:
            value = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeError) as error:
            raise Impossible(f"{VARIABLE}_FILE: the file cannot be read ({type(error).__name__}).") from error
    if not value or value.startswith("sqlite:///"):
        return None
    try:
        url = make_url(value)
    except ArgumentError:
        url = None
    if url is None or url.drivername != "postgresql+psycopg":
        raise Impossible(f"{VARIABLE} must be an address such as postgresql+psycopg://user@host/name, or unset.")
    return url


@contextmanager
def _server(named: URL) -> Iterator[Engine]:
    """The server the address names, by the database it names, which is only asked to make another one."""
    engine = create_engine(named, isolation_level="AUTOCOMMIT", connect_args={"connect_timeout": 5})
    try:
        with engine.connect():
            pass
    except SQLAlchemyError as error:
        engine.dispose()
        raise Impossible(
            f"{VARIABLE} names a PostgreSQL database that cannot be reached "
            f"({type(getattr(error, 'orig', None) or error).__name__})."
        ) from None
    try:
        yield engine
    finally:
        engine.dispose()
