"""The demo company, and the web server as the project starts it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from portal import db
from portal.core import create_core
from tests.support.processes import Web


@pytest.fixture
def core(company: dict[str, int], environment: dict[str, str]) -> Iterator[Flask]:
    """The application without pages, its context open, with the demo company in the database."""
    application = create_core(environment)
    with application.app_context():
        yield application
        db.db.engine.dispose()


@pytest.fixture
def web(core: Flask, environment: dict[str, str], tmp_path: Path) -> Iterator[Web]:
    """`durchwahl serve` with one process."""
    with Web(environment, tmp_path / "web.log") as server:
        yield server
