"""One migrated database per module and kind, for tests that leave it as it was."""

import shutil
from collections.abc import Iterator

import pytest
from flask import Flask
from sqlalchemy import create_engine, text

from portal import db
from portal.core import create_core
from tests.conftest import SECRET_KEY


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """The program without pages, on an empty database that the whole module shares."""
    environment = {"PORTAL_DATABASE_URL": _database(request, tmp_path_factory), "PORTAL_SECRET_KEY": SECRET_KEY}
    with create_core(environment).app_context() as context:
        yield context.app
        db.db.engine.dispose()


def _database(request: pytest.FixtureRequest, folders: pytest.TempPathFactory) -> str:
    """The address of a migrated database of this module."""
    if request.param == "sqlite":
        path = folders.mktemp("module") / "durchwahl.sqlite3"
        shutil.copy(request.getfixturevalue("migrated_sqlite"), path)
        return f"sqlite:///{path}"
    server, template = request.getfixturevalue("postgresql"), request.getfixturevalue("migrated_postgresql")
    name = request.module.__name__.rpartition(".")[2]
    engine = create_engine(server % "postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
    engine.dispose()
    return str(server % name)
