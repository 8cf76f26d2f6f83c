"""Customers ask for erasure: when they asked, when they confirmed it, when what no duty keeps was erased."""

import sqlalchemy as sa
from alembic import op

from portal.db import UtcDateTime

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

COLUMNS = ("erasure_asked_at", "erasure_confirmed_at", "partly_erased_at")


def upgrade() -> None:
    """Add the columns; nobody has asked yet."""
    for name in COLUMNS:
        op.add_column("case", sa.Column(name, UtcDateTime(), nullable=True))


def downgrade() -> None:
    """Take them away: a date of erasure stands in the case as before, what was asked and not confirmed is forgotten."""
    for name in reversed(COLUMNS):
        op.drop_column("case", name)
