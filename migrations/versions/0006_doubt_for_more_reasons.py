"""Doubt for more reasons: their vocabulary grows with the rules, so the schema no longer lists it; find held letters."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

FIRST_REASONS = ("honeypot", "too_fast", "not_me")


def upgrade() -> None:
    """Take the list away; on SQLite the table of cases is built anew (it has no guards)."""
    with op.batch_alter_table("case") as case:
        case.drop_constraint(op.f("ck_case_doubt"), type_="check")
    held = sa.text("state = 'held'")
    op.create_index("ix_letter_held", "letter", ["queued_at"], sqlite_where=held, postgresql_where=held)


def downgrade() -> None:
    """Put the list back; what later rules doubted becomes what the first ones could say."""
    op.drop_index("ix_letter_held", table_name="letter")
    reasons = sa.column("doubt").in_(FIRST_REASONS)
    case = sa.table("case", sa.column("doubt"))
    op.execute(case.update().where(case.c.doubt.not_in(FIRST_REASONS)).values(doubt="too_fast"))
    with op.batch_alter_table("case") as batch:
        batch.create_check_constraint(op.f("ck_case_doubt"), reasons)
