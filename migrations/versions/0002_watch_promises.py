"""Watch promises: planned moves, waiting for the customer, the last notice of a case, letters that are written anew."""

import sqlalchemy as sa
from alembic import op

from portal.db import UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

OPEN_CLOSING = "state = 'open' AND waiting = 'closing'"
QUEUED_VALID = "state = 'queued' AND valid_until IS NOT NULL"


def upgrade() -> None:
    """Add the columns; on SQLite the table of promises is built anew, because it gets constraints (it has no guards)."""
    op.create_table(
        "replanning",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("mark", sa.String(length=64), nullable=False),
        sa.Column("after_id", sa.Integer(), nullable=True),
        sa.CheckConstraint("id = 1", name=op.f("ck_replanning_one_replanning")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_replanning")),
    )
    op.add_column("case", sa.Column("noticed_at", UtcDateTime(), nullable=True))
    op.add_column("letter", sa.Column("says", sa.JSON(), nullable=True))
    op.create_index(
        "ix_letter_valid_until",
        "letter",
        ["valid_until"],
        sqlite_where=sa.text(QUEUED_VALID),
        postgresql_where=sa.text(QUEUED_VALID),
    )
    with op.batch_alter_table("promise") as promise:
        promise.add_column(sa.Column("moves_to", UtcDateTime(), nullable=True))
        promise.add_column(sa.Column("planned_by_id", sa.Integer(), nullable=True))
        promise.add_column(sa.Column("planned_at", UtcDateTime(), nullable=True))
        promise.add_column(sa.Column("waiting", sa.String(length=30), nullable=True))
        promise.create_foreign_key(op.f("fk_promise_planned_by_id"), "person", ["planned_by_id"], ["id"])
        promise.create_check_constraint(op.f("ck_promise_waiting"), "waiting IN ('asked', 'reminded', 'closing')")
        promise.create_check_constraint(
            op.f("ck_promise_waits_by_following_up"), "waiting IS NULL OR kind = 'follow_up'"
        )
        promise.create_check_constraint(
            op.f("ck_promise_moves_later"), "moves_to IS NULL OR (moves_to > due_at AND planned_at IS NOT NULL)"
        )
        promise.create_index(op.f("ix_promise_planned_by_id"), ["planned_by_id"])
        promise.create_index(
            "ix_promise_closes_at",
            ["due_at"],
            sqlite_where=sa.text(OPEN_CLOSING),
            postgresql_where=sa.text(OPEN_CLOSING),
        )


def downgrade() -> None:
    """Take them away again; what was planned or waited for is forgotten, the promises stay."""
    with op.batch_alter_table("promise") as promise:
        promise.drop_index("ix_promise_closes_at")
        promise.drop_index(op.f("ix_promise_planned_by_id"))
        promise.drop_constraint(op.f("ck_promise_moves_later"), type_="check")
        promise.drop_constraint(op.f("ck_promise_waits_by_following_up"), type_="check")
        promise.drop_constraint(op.f("fk_promise_planned_by_id"), type_="foreignkey")
        promise.drop_constraint(op.f("ck_promise_waiting"), type_="check")
        promise.drop_column("waiting")
        promise.drop_column("planned_at")
        promise.drop_column("planned_by_id")
        promise.drop_column("moves_to")
    op.drop_index("ix_letter_valid_until", table_name="letter")
    op.drop_column("letter", "says")
    op.drop_column("case", "noticed_at")
    op.drop_table("replanning")
