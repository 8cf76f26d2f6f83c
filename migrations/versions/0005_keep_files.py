"""Keep files with entries: what a form, a message or an answer brought along, and what waits for its form.

The guards are copies of what the models attach to the metadata; they are frozen here, and a test compares both.
"""

import sqlalchemy as sa
from alembic import op

from portal.db import UtcDateTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

PENDING = "scan = 'pending'"
HELD = "entry_id IS NULL"

SQLITE_GUARDS = (
    "CREATE TRIGGER attachment_is_never_deleted BEFORE DELETE ON attachment WHEN (SELECT erased_at IS NULL FROM entry WHERE id = OLD.entry_id) BEGIN SELECT RAISE(ABORT, 'attachment_is_never_deleted'); END",
    "CREATE TRIGGER attachment_is_never_edited BEFORE UPDATE ON attachment WHEN OLD.entry_id IS NOT NULL AND (NEW.id, NEW.entry_id, NEW.form_key, NEW.at, NEW.name, NEW.type, NEW.bytes, NEW.sha256) IS NOT (OLD.id, OLD.entry_id, OLD.form_key, OLD.at, OLD.name, OLD.type, OLD.bytes, OLD.sha256) BEGIN SELECT RAISE(ABORT, 'attachment_is_never_edited'); END",
    "CREATE TRIGGER attachment_data_is_never_deleted BEFORE DELETE ON attachment_data WHEN (SELECT erased_at IS NULL FROM entry JOIN attachment ON attachment.entry_id = entry.id WHERE attachment.id = OLD.attachment_id) BEGIN SELECT RAISE(ABORT, 'attachment_data_is_never_deleted'); END",
    "CREATE TRIGGER attachment_data_is_never_edited BEFORE UPDATE ON attachment_data BEGIN SELECT RAISE(ABORT, 'attachment_data_is_never_edited'); END",
)
POSTGRESQL_GUARDS = (
    "CREATE FUNCTION attachment_guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF TG_OP = 'DELETE' THEN IF (SELECT erased_at IS NULL FROM entry WHERE id = OLD.entry_id) THEN RAISE EXCEPTION 'attachment_is_never_deleted' USING ERRCODE = 'integrity_constraint_violation'; END IF; RETURN OLD; END IF; IF OLD.entry_id IS NULL OR (NEW.id, NEW.entry_id, NEW.form_key, NEW.at, NEW.name, NEW.type, NEW.bytes, NEW.sha256) IS NOT DISTINCT FROM (OLD.id, OLD.entry_id, OLD.form_key, OLD.at, OLD.name, OLD.type, OLD.bytes, OLD.sha256) THEN RETURN NEW; END IF; RAISE EXCEPTION 'attachment_is_never_edited' USING ERRCODE = 'integrity_constraint_violation'; END $$",
    "CREATE TRIGGER attachment_guard BEFORE UPDATE OR DELETE ON attachment FOR EACH ROW EXECUTE FUNCTION attachment_guard()",
    "CREATE FUNCTION attachment_data_guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF TG_OP = 'DELETE' THEN IF (SELECT erased_at IS NULL FROM entry JOIN attachment ON attachment.entry_id = entry.id WHERE attachment.id = OLD.attachment_id) THEN RAISE EXCEPTION 'attachment_data_is_never_deleted' USING ERRCODE = 'integrity_constraint_violation'; END IF; RETURN OLD; END IF; RAISE EXCEPTION 'attachment_data_is_never_edited' USING ERRCODE = 'integrity_constraint_violation'; END $$",
    "CREATE TRIGGER attachment_data_guard BEFORE UPDATE OR DELETE ON attachment_data FOR EACH ROW EXECUTE FUNCTION attachment_data_guard()",
)


def upgrade() -> None:
    """Make both tables and the guards of law 7; the table of entries and its guards stay as they are."""
    op.create_table(
        "attachment",
        sa.Column("id", sa.String(length=22), nullable=False),
        sa.Column("entry_id", sa.Integer(), nullable=True),
        sa.Column("form_key", sa.String(length=64), nullable=True),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("type", sa.String(length=100), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column(
            "scan",
            sa.Enum(
                "unscanned",
                "pending",
                "clean",
                "infected",
                name="scan",
                native_enum=False,
                create_constraint=True,
                length=30,
            ),
            nullable=False,
        ),
        sa.Column("scan_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint(
            "entry_id IS NOT NULL OR form_key IS NOT NULL", name=op.f("ck_attachment_of_an_entry_or_a_form")
        ),
        sa.CheckConstraint("bytes > 0", name=op.f("ck_attachment_not_empty")),
        sa.CheckConstraint(
            "(scan = 'pending') = (scan_at IS NOT NULL)", name=op.f("ck_attachment_pending_has_its_turn")
        ),
        sa.ForeignKeyConstraint(["entry_id"], ["entry.id"], name=op.f("fk_attachment_entry_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attachment")),
    )
    op.create_index(op.f("ix_attachment_entry_id"), "attachment", ["entry_id"])
    op.create_index(op.f("ix_attachment_form_key"), "attachment", ["form_key"])
    op.create_index(
        "ix_attachment_scan_at",
        "attachment",
        ["scan_at"],
        sqlite_where=sa.text(PENDING),
        postgresql_where=sa.text(PENDING),
    )
    op.create_index(
        "ix_attachment_held", "attachment", ["at"], sqlite_where=sa.text(HELD), postgresql_where=sa.text(HELD)
    )
    op.create_table(
        "attachment_data",
        sa.Column("attachment_id", sa.String(length=22), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["attachment_id"], ["attachment.id"], name=op.f("fk_attachment_data_attachment_id")),
        sa.PrimaryKeyConstraint("attachment_id", name=op.f("pk_attachment_data")),
    )
    for guard in SQLITE_GUARDS if op.get_bind().dialect.name == "sqlite" else POSTGRESQL_GUARDS:
        op.execute(guard)


def downgrade() -> None:
    """Take them away again, with every file."""
    op.drop_table("attachment_data")
    op.drop_table("attachment")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION attachment_data_guard()")
        op.execute("DROP FUNCTION attachment_guard()")
