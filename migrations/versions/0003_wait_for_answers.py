"""Wait for answers: follow-ups that a question left before 0002 go on by themselves, as those asked since then do."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# What somebody planned a date for is that person's; a question that was answered since is no waiting.
ASKED = """
    UPDATE promise SET waiting = 'asked', remind_at = NULL
    WHERE state = 'open' AND kind = 'follow_up' AND medium = 'mail' AND waiting IS NULL AND moves_to IS NULL
      AND EXISTS (
        SELECT 1 FROM entry question
        WHERE question.case_id = promise.case_id AND question.kind = 'question'
          AND NOT EXISTS (
            SELECT 1 FROM entry heard
            WHERE heard.case_id = question.case_id AND heard.id > question.id AND heard.direction = 'in'
          )
      )
"""


def upgrade() -> None:
    """Let them wait for the customer: otherwise each would become a broken promise of ours."""
    op.execute(ASKED)


def downgrade() -> None:
    """Leave them: the version before knows waiting too, and the one before that forgets it with its column."""
