"""Find first dates: the figures look at the promises of some weeks, not at all that were ever given."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index; no table is built anew for it, so the guards stand."""
    op.create_index(op.f("ix_promise_first_due_at"), "promise", ["first_due_at"])


def downgrade() -> None:
    """Drop it."""
    op.drop_index(op.f("ix_promise_first_due_at"), table_name="promise")
