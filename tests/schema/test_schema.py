"""The migrated schema is the schema of the models, guards included: read from each database's own catalogue."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, inspect, text

from portal import db, schema
from portal.core import create_core
from portal.tables import metadata

# SQLAlchemy cannot read an index over lower(email) back from SQLite; the catalogue below can.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index uq_person_email"),
    pytest.mark.filterwarnings("ignore:autogenerate skipping metadata-specified expression-based index"),
]

Catalogue = dict[str, Any]

SQLITE_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'alembic_version'"
POSTGRESQL = {
    "columns": """
        SELECT c.relname || '.' || a.attname, format_type(a.atttypid, a.atttypmod) || ' ' || a.attnotnull || ' ' ||
               a.attidentity::text || ' ' || coalesce(pg_get_expr(d.adbin, d.adrelid), '')
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
          AND c.relname <> 'alembic_version'""",
    "constraints": """
        SELECT conrelid::regclass || ' ' || conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> 'alembic_version'""",
    "indexes": """
        SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version'""",
    "triggers": "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
    "functions": """
        SELECT proname, pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace""",
    "sequences": """
        SELECT sequencename, data_type::text FROM pg_sequences WHERE schemaname = 'public'""",
    "types": """
        SELECT typname, typtype FROM pg_type WHERE typnamespace = 'public'::regnamespace AND typtype IN ('e', 'd')""",
}


@pytest.fixture
def engine(environment: dict[str, str]) -> Iterator[Engine]:
    """The program's own engine on a migrated database."""
    with create_core(environment).app_context():
        yield db.db.engine
        db.db.engine.dispose()


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    """A connection to a migrated database."""
    with engine.connect() as connection:
        yield connection


@pytest.fixture
def modelled(engine: Engine) -> Catalogue:
    """The catalogue of a database that was made from the models alone."""
    schema.unmigrate(engine, "base")
    with engine.connect() as connection:
        connection.execute(text("DROP TABLE alembic_version"))
        metadata.create_all(connection)
        connection.commit()
    return catalogue(engine)


@pytest.fixture
def migrated(engine: Engine) -> Catalogue:
    """The catalogue of the migrated database; asked for before ``modelled``."""
    return catalogue(engine)


def catalogue(engine: Engine) -> Catalogue:
    """Everything the database knows of its own shape, in a form that does not depend on the order of making."""
    with engine.connect() as connection:
        return {"sqlite": _sqlite, "postgresql": _postgresql}[engine.dialect.name](connection)


def _postgresql(connection: Connection) -> Catalogue:
    return {name: {row[0]: row[1] for row in connection.execute(text(query))} for name, query in POSTGRESQL.items()}


def _sqlite(connection: Connection) -> Catalogue:
    tables = list(connection.scalars(text(SQLITE_TABLES)))
    made = connection.execute(
        text("SELECT type || ' ' || name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name <> 'alembic_version'")
    )
    pragmas = ("table_xinfo", "index_list", "foreign_key_list")
    return {
        "made": {row[0]: _normalised(row[1]) for row in made},
        **{pragma: {table: _pragma(connection, pragma, table) for table in tables} for pragma in pragmas},
    }


def _pragma(connection: Connection, pragma: str, table: str) -> list[str]:
    """The rows of a pragma without the numbers that say in which order things were made."""
    rows = connection.exec_driver_sql(f'PRAGMA {pragma}("{table}")').mappings()
    return sorted(str({key: row[key] for key in row if key not in ("cid", "seq", "id")}) for row in rows)


def _normalised(sql: str) -> list[str]:
    """A statement without its layout; a table's parts in one order, whatever order they were written in."""
    sql = re.sub(r"\s+", " ", sql).strip()
    if not sql.startswith("CREATE TABLE"):
        return [sql]
    head, _, rest = sql.partition("(")
    body, _, end = rest.rpartition(")")
    parts, depth = [""], 0
    for letter in body:
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    head = re.sub(r'TABLE "(\w+)" $', r"TABLE \1 ", head)  # SQLite quotes the name of a table that was built anew
    return [head + end, *sorted(part.strip() for part in parts)]


def test_the_migrated_schema_is_the_schema_of_the_models(migrated: Catalogue, modelled: Catalogue) -> None:
    assert migrated == modelled


def test_alembic_finds_nothing_to_add_to_the_migrations(connection: Connection) -> None:
    context = MigrationContext.configure(connection, opts={"compare_type": True})

    assert compare_metadata(context, metadata) == []


CHANGES = {
    "a partial index over other rows": "DROP INDEX ix_promise_notice_at; "
    "CREATE INDEX ix_promise_notice_at ON promise (notice_at) WHERE state = 'kept'",
    "one column more": "ALTER TABLE letter ADD COLUMN more INTEGER",
    "one table more": "CREATE TABLE more (id INTEGER)",
    "one index less": "DROP INDEX ix_letter_case_id_id",
}


@pytest.mark.parametrize("statements", CHANGES.values(), ids=CHANGES)
def test_a_schema_that_differs_is_seen(engine: Engine, migrated: Catalogue, statements: str) -> None:
    _execute(engine, statements)

    assert catalogue(engine) != migrated


def test_a_missing_guard_is_seen(engine: Engine, migrated: Catalogue) -> None:
    _execute(
        engine,
        {"sqlite": "DROP TRIGGER entry_is_never_edited"}.get(engine.dialect.name, "DROP TRIGGER entry_guard ON entry"),
    )

    assert catalogue(engine) != migrated


def test_no_guard_is_missing_after_migrating(engine: Engine) -> None:
    assert schema.guards_missing(engine) == set()


ON_POSTGRESQL = {"entry_guard": "entry", "person_revision": "person", "hours_revision": "hours"}
ON_SQLITE = ("entry_is_never_deleted", "entry_is_never_edited", "person_revision_update", "hours_revision_insert")


def test_a_guard_that_was_dropped_is_missed(engine: Engine) -> None:
    """The journal's guards, and the watches without which a page would go on showing yesterday's directory."""
    if engine.dialect.name == "sqlite":
        dropped, statements = ON_SQLITE, [f"DROP TRIGGER {name}" for name in ON_SQLITE]
    else:
        dropped = tuple(ON_POSTGRESQL)
        statements = [f"DROP TRIGGER {name} ON {table}" for name, table in ON_POSTGRESQL.items()]
    _execute(engine, "; ".join(statements))

    assert schema.guards_missing(engine) == set(dropped)


def test_without_the_rule_that_appointments_do_not_overlap_nothing_is_ready(engine: Engine) -> None:
    dropped = {
        "sqlite": ["DROP TRIGGER appointment_no_overlap_insert", "DROP TRIGGER appointment_no_overlap_update"],
        "postgresql": ["ALTER TABLE appointment DROP CONSTRAINT appointment_no_overlap"],
    }[engine.dialect.name]
    _execute(engine, "; ".join(dropped))

    assert schema.guards_missing(engine) == {statement.split()[-1] for statement in dropped}


def test_every_trigger_of_a_migrated_database_is_a_guard(migrated: Catalogue, engine: Engine) -> None:
    names = {
        "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger'",
        "postgresql": "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal "
        "UNION SELECT conname FROM pg_constraint WHERE contype = 'x'",
    }
    with engine.connect() as connection:
        made = set(connection.scalars(text(names[engine.dialect.name])))

    assert made == schema.guards(engine.dialect.name)


def test_a_guard_that_is_switched_off_is_missed(engine: Engine) -> None:
    if engine.dialect.name == "postgresql":  # SQLite knows no such switch
        _execute(engine, "ALTER TABLE entry DISABLE TRIGGER entry_guard")

        assert schema.guards_missing(engine) == {"entry_guard"}


def _execute(engine: Engine, statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements.split("; "):
            connection.execute(text(statement))


def test_the_catalogue_holds_guards_and_watches(migrated: Catalogue) -> None:
    seen = str(migrated)

    assert [
        name for name in ("entry_is_never_deleted", "entry_is_never_edited", "person_revision") if name not in seen
    ] == []


def test_taking_everything_back_leaves_nothing(engine: Engine) -> None:
    schema.unmigrate(engine, "base")

    assert not any(things for things in catalogue(engine).values())


def test_up_down_up_ends_where_it_began(engine: Engine, migrated: Catalogue) -> None:
    schema.unmigrate(engine, "base")
    schema.migrate(engine)

    assert catalogue(engine) == migrated


def test_migrating_twice_changes_nothing(engine: Engine, migrated: Catalogue) -> None:
    schema.migrate(engine)

    assert catalogue(engine) == migrated


def test_a_migrated_database_is_at_the_newest_revision(engine: Engine) -> None:
    assert schema.present(engine) == schema.newest()


def test_an_emptied_database_is_at_no_revision(engine: Engine) -> None:
    schema.unmigrate(engine, "base")

    assert schema.present(engine) is None


def test_every_foreign_key_has_an_index_that_begins_with_it(connection: Connection) -> None:
    inspector = inspect(connection)
    tables = set(inspector.get_table_names()) - {"alembic_version"}

    bare = {
        f"{table}.{key['constrained_columns'][0]}"
        for table in tables
        for key in inspector.get_foreign_keys(table)
        if key["constrained_columns"][0] not in _leading_columns(connection, table)
    }

    assert bare == set()


def _leading_columns(connection: Connection, table: str) -> set[str | None]:
    """The first column of every index of a table, of its unique constraints and of its primary key."""
    inspector = inspect(connection)
    return {
        *(index["column_names"][0] for index in _indexes(connection, table)),
        *(constraint["column_names"][0] for constraint in inspector.get_unique_constraints(table)),
        *inspector.get_pk_constraint(table)["constrained_columns"][:1],
    }


def _indexes(connection: Connection, table: str) -> Any:
    return [index for index in inspect(connection).get_indexes(table) if index["column_names"]]


def test_every_constraint_has_a_name(connection: Connection) -> None:
    inspector = inspect(connection)
    constraints = [
        (table, constraint["name"])
        for table in set(inspector.get_table_names()) - {"alembic_version"}
        for found in (inspector.get_foreign_keys, inspector.get_unique_constraints, inspector.get_check_constraints)
        for constraint in found(table)
    ]

    assert [table for table, name in constraints if not name] == []


class TestAMigrationThatFails:
    """Tried with one more migration than the program has."""

    @pytest.fixture
    def one_more(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A copy of the migrations with room for one more; the path to write it to."""
        folder = tmp_path / "migrations"
        shutil.copytree(Path(schema.__file__).parent.parent / "migrations", folder)
        configuration = schema._configuration()
        configuration.set_main_option("script_location", str(folder))
        monkeypatch.setattr(schema, "_configuration", lambda: configuration)
        return folder / "versions" / "one_more.py"

    def test_leaves_the_database_as_it_was(self, engine: Engine, migrated: Catalogue, one_more: Path) -> None:
        one_more.write_text(_migration("CREATE TABLE half (id INTEGER)", "INSERT INTO no_such_table VALUES (1)"))

        with pytest.raises(Exception, match="no_such_table"):
            schema.migrate(engine)

        assert catalogue(engine) == migrated
        assert schema.present(engine) == schema.newest()

    def test_is_refused_when_it_leaves_rows_that_point_nowhere(
        self, engine: Engine, migrated: Catalogue, one_more: Path
    ) -> None:
        one_more.write_text(_migration("INSERT INTO link_wish VALUES (1, 'x', '2026-01-01')", _POINTS_NOWHERE))

        with pytest.raises(Exception, match=r"point nowhere|violates foreign key"):
            schema.migrate(engine)

        assert schema.present(engine) == schema.newest()
        with engine.connect() as connection:
            assert connection.execute(text("SELECT * FROM link_wish")).all() == []


_POINTS_NOWHERE = "INSERT INTO closure VALUES (1, NULL, 77, '2026-01-01', '2026-01-02', 'extra')"


def _migration(*statements: str) -> str:
    does = "\n".join(f"    op.execute({statement!r})" for statement in statements)
    return (
        f'"""One more."""\n\nfrom alembic import op\n\nrevision = "9999"\ndown_revision = "{schema.newest()}"\n'
        f"branch_labels = None\ndepends_on = None\n\n\ndef upgrade():\n{does}\n"
    )
