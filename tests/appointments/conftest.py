"""The stage of these tests: the demo company on both databases."""

from tests.support.cast import applications, core, database_url, furnished_postgresql, furnished_sqlite, people, session

__all__ = ["applications", "core", "database_url", "furnished_postgresql", "furnished_sqlite", "people", "session"]
