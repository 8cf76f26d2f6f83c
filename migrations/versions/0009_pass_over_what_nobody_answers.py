"""Pass over what nobody answers: agreed times of which nobody said what became of them slow no look of the worker."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

BOOKED = sa.text("state = 'booked'")
AWAITED = sa.text("state = 'booked' AND asked_again_at IS NULL")
WATCHED = ("starts_at", "outcome_due_at")


def upgrade() -> None:
    """Make the indexes; no table is built anew for them, so the guards stand."""
    op.drop_index("ix_appointment_outcome_due_at", table_name="appointment")
    for column in WATCHED:
        name, columns = f"ix_appointment_awaited_{column}", ["asked_again_at", column]
        op.create_index(name, "appointment", columns, sqlite_where=AWAITED, postgresql_where=AWAITED)


def downgrade() -> None:
    """Make the one from before."""
    for column in WATCHED:
        op.drop_index(f"ix_appointment_awaited_{column}", table_name="appointment")
    name = "ix_appointment_outcome_due_at"
    op.create_index(name, "appointment", ["outcome_due_at"], sqlite_where=BOOKED, postgresql_where=BOOKED)
