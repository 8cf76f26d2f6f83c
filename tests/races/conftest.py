"""The stage of these tests: the demo company on both databases, and how often what takes turns is tried."""

import pytest

from tests.support.cast import applications, core, database_url, furnished_postgresql, furnished_sqlite, people

__all__ = ["applications", "core", "database_url", "furnished_postgresql", "furnished_sqlite", "people"]


@pytest.fixture(params=[6, pytest.param(30, marks=pytest.mark.nightly)])
def rounds(request: pytest.FixtureRequest) -> int:
    """How often two meet."""
    return int(request.param)
