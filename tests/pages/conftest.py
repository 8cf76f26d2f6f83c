"""Pages on SQLite with every change, on PostgreSQL each night; the whole map of pages is the other way round."""

from pathlib import Path

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave PostgreSQL to `make nightly`: what a page says does not depend on the database."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.nightly_on("postgresql"))
