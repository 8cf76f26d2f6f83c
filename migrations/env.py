"""Alembic's environment: the same migrations on SQLite and PostgreSQL, each in one transaction.

On SQLite foreign keys are off while tables are rebuilt (a rebuilt parent would delete its children) and checked before
the commit. Batch mode drops triggers silently: a migration that rebuilds a table creates its guards again, and
``portal.schema.guards_missing`` looks at every start.
"""

import warnings

from alembic import context
from sqlalchemy import Connection, text

from portal.tables import metadata


def run(connection: Connection) -> None:
    """Run the migrations over an open connection that ``portal.schema.migrate`` hands in."""
    sqlite = connection.dialect.name == "sqlite"
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_as_batch=sqlite,
        transaction_per_migration=False,
        transactional_ddl=True,  # SQLite can, too, but Alembic would commit before the check below
        compare_server_default=False,
    )
    with context.begin_transaction():
        context.run_migrations()
        if sqlite and connection.execute(text("PRAGMA foreign_key_check")).first() is not None:
            raise RuntimeError("a migration left rows that point nowhere")


with warnings.catch_warnings():
    # Where SQLite builds a table anew, SQLAlchemy reads the tables it refers to; that it cannot read an index of theirs
    # over lower(email) changes nothing in them.
    warnings.filterwarnings("ignore", "Skipped unsupported reflection of expression-based index")
    run(context.config.attributes["connection"])
