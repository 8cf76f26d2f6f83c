"""Agree on times: appointments, topics that offer them, cases whose next step one is, letters that name one.

The guards are copies of what the models attach to the metadata; they are frozen here, and a test compares both.
"""

import sqlalchemy as sa
from alembic import op

from portal.db import UtcDateTime

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

BOOKED = "state = 'booked'"
ORDER = "busy_from <= starts_at AND starts_at < ends_at AND ends_at <= busy_until AND outcome_due_at >= ends_at"
OVERLAP = (
    "BEGIN SELECT RAISE(ABORT, 'appointment_no_overlap') WHERE EXISTS (SELECT 1 FROM appointment other "
    "WHERE other.person_id = NEW.person_id AND other.state = 'booked' AND other.id IS NOT NEW.id "
    "AND other.busy_from < NEW.busy_until AND NEW.busy_from < other.busy_until); END"
)
SQLITE_GUARDS = (
    f"CREATE TRIGGER appointment_no_overlap_insert BEFORE INSERT ON appointment WHEN NEW.state = 'booked' {OVERLAP}",
    "CREATE TRIGGER appointment_no_overlap_update BEFORE UPDATE OF person_id, state, busy_from, busy_until "
    f"ON appointment WHEN NEW.state = 'booked' {OVERLAP}",
)
POSTGRESQL_GUARD = (
    "ALTER TABLE appointment ADD CONSTRAINT appointment_no_overlap EXCLUDE USING gist ("
    "int8range(person_id, person_id, '[]') WITH &&, tstzrange(busy_from, busy_until, '[)') WITH &&) "
    "WHERE (state = 'booked')"
)
VERBS = ("INSERT", "UPDATE", "DELETE")
SLOT_COLUMNS = {"slot_minutes": 30, "slot_grid": 30, "slot_before": 0, "slot_after": 10}


def upgrade() -> None:
    """Add the table and what points at it; every open case has a promise, so none has to be changed."""
    _make_appointments()
    with op.batch_alter_table("topic") as topic:
        topic.add_column(sa.Column("slot_medium", sa.String(length=30), nullable=True))
        for name, minutes in SLOT_COLUMNS.items():
            topic.add_column(sa.Column(name, sa.Integer(), nullable=False, server_default=str(minutes)))
    with op.batch_alter_table("topic") as topic:
        for name in SLOT_COLUMNS:
            topic.alter_column(name, server_default=None)
        topic.create_check_constraint(op.f("ck_topic_call_or_visit"), "slot_medium IN ('call', 'visit')")
        topic.create_check_constraint(
            op.f("ck_topic_slot_minutes"),
            "slot_minutes > 0 AND slot_grid > 0 AND slot_before >= 0 AND slot_after >= 0",
        )
    op.add_column("person", sa.Column("feed_nonce", sa.String(length=32), nullable=True))
    op.create_index("uq_person_feed_nonce", "person", ["feed_nonce"], unique=True)
    _point_cases()
    with op.batch_alter_table("letter") as letter:
        letter.add_column(sa.Column("appointment_id", sa.Integer(), nullable=True))
        letter.add_column(sa.Column("appointment_version", sa.Integer(), nullable=True))
        letter.create_foreign_key(op.f("fk_letter_appointment_id"), "appointment", ["appointment_id"], ["id"])
        letter.create_index("ix_letter_appointment_id", ["appointment_id"])
    _watch_again()


def _make_appointments() -> None:
    op.create_table(
        "appointment",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("case_id", sa.Integer(), nullable=False),
        sa.Column("person_id", sa.Integer(), nullable=False),
        sa.Column("medium", sa.String(length=30), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "booked",
                "held",
                "not_reached",
                "missed",
                "cancelled",
                name="appointmentstate",
                native_enum=False,
                create_constraint=True,
                length=30,
            ),
            nullable=False,
        ),
        sa.Column("starts_at", UtcDateTime(), nullable=False),
        sa.Column("ends_at", UtcDateTime(), nullable=False),
        sa.Column("busy_from", UtcDateTime(), nullable=False),
        sa.Column("busy_until", UtcDateTime(), nullable=False),
        sa.Column("outcome_due_at", UtcDateTime(), nullable=False),
        sa.Column("tz", sa.String(length=40), nullable=False),
        sa.Column("local_start", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("uid", sa.String(length=120), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("customer_moves", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("changed_at", UtcDateTime(), nullable=False),
        sa.Column("change_wished_at", UtcDateTime(), nullable=True),
        sa.Column("started_at", UtcDateTime(), nullable=True),
        sa.Column("started_by_id", sa.Integer(), nullable=True),
        sa.Column("alarmed_at", UtcDateTime(), nullable=True),
        sa.Column("late_told_at", UtcDateTime(), nullable=True),
        sa.Column("asked_at", UtcDateTime(), nullable=True),
        sa.Column("asked_again_at", UtcDateTime(), nullable=True),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint("medium IN ('call', 'visit')", name=op.f("ck_appointment_call_or_visit")),
        sa.CheckConstraint(ORDER, name=op.f("ck_appointment_order")),
        sa.CheckConstraint("version > 0 AND sequence >= 0 AND customer_moves >= 0", name=op.f("ck_appointment_counts")),
        sa.CheckConstraint("(state = 'booked') = (ended_at IS NULL)", name=op.f("ck_appointment_ended")),
        sa.CheckConstraint("(started_at IS NULL) = (started_by_id IS NULL)", name=op.f("ck_appointment_started")),
        sa.ForeignKeyConstraint(["case_id"], ["case.id"], name=op.f("fk_appointment_case_id")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_appointment_person_id")),
        sa.ForeignKeyConstraint(["started_by_id"], ["person.id"], name=op.f("fk_appointment_started_by_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_appointment")),
        sa.UniqueConstraint("id", "case_id", "state", name=op.f("uq_appointment_id_case_id_state")),
        sa.UniqueConstraint("uid", name=op.f("uq_appointment_uid")),
    )
    booked = {"sqlite_where": sa.text(BOOKED), "postgresql_where": sa.text(BOOKED)}
    op.create_index(op.f("ix_appointment_case_id"), "appointment", ["case_id"])
    op.create_index(op.f("ix_appointment_started_by_id"), "appointment", ["started_by_id"])
    op.create_index("uq_appointment_booked", "appointment", ["case_id"], unique=True, **booked)
    op.create_index("ix_appointment_person_id_starts_at", "appointment", ["person_id", "starts_at"])
    op.create_index("ix_appointment_starts_at", "appointment", ["starts_at"], **booked)
    op.create_index("ix_appointment_outcome_due_at", "appointment", ["outcome_due_at"], **booked)
    op.create_index("ix_appointment_changed_at", "appointment", ["changed_at"])
    for guard in SQLITE_GUARDS if op.get_bind().dialect.name == "sqlite" else (POSTGRESQL_GUARD,):
        op.execute(guard)


def _point_cases() -> None:
    """On SQLite the table of cases is built anew (it has no guards)."""
    with op.batch_alter_table("case") as case:
        case.add_column(sa.Column("appointment_id", sa.Integer(), nullable=True))
        case.add_column(sa.Column("booking_state", sa.String(length=20), nullable=False, server_default="booked"))
        case.add_column(sa.Column("reachable", sa.String(length=60), nullable=False, server_default=""))
    with op.batch_alter_table("case") as case:
        case.alter_column("booking_state", server_default=None)
        case.alter_column("reachable", server_default=None)
        case.drop_constraint(op.f("ck_case_open_has_a_step"), type_="check")
        case.create_check_constraint(
            op.f("ck_case_open_has_a_step"),
            "(state = 'open') = (promise_id IS NOT NULL OR appointment_id IS NOT NULL)",
        )
        case.create_check_constraint(op.f("ck_case_one_step"), "promise_id IS NULL OR appointment_id IS NULL")
        case.create_check_constraint(op.f("ck_case_booking_is_booked"), "booking_state = 'booked'")
        case.create_foreign_key(
            "fk_case_booked_step",
            "appointment",
            ["appointment_id", "id", "booking_state"],
            ["id", "case_id", "state"],
            deferrable=True,
            initially="DEFERRED",
        )
        case.create_index("ix_case_appointment_id", ["appointment_id"])


def _watch_again() -> None:
    """On SQLite the table of topics was built anew, and its triggers went with the old one."""
    if op.get_bind().dialect.name != "sqlite":
        return
    for verb in VERBS:
        op.execute(f"DROP TRIGGER IF EXISTS topic_revision_{verb.lower()}")
        op.execute(
            f"CREATE TRIGGER topic_revision_{verb.lower()} AFTER {verb} ON topic "
            "BEGIN UPDATE directory_revision SET revision = hex(randomblob(16)); END"
        )


def downgrade() -> None:
    """Take them away. A case whose next step is an appointment cannot go back: it would have none.

    Such a case gets the earliest of its open promises; where it has none, this fails and says so.
    """
    _unpoint_cases()
    with op.batch_alter_table("letter") as letter:
        letter.drop_index("ix_letter_appointment_id")
        letter.drop_constraint(op.f("fk_letter_appointment_id"), type_="foreignkey")
        letter.drop_column("appointment_version")
        letter.drop_column("appointment_id")
    op.drop_table("appointment")
    op.drop_index("uq_person_feed_nonce", table_name="person")
    op.drop_column("person", "feed_nonce")
    with op.batch_alter_table("topic") as topic:
        topic.drop_constraint(op.f("ck_topic_slot_minutes"), type_="check")
        topic.drop_constraint(op.f("ck_topic_call_or_visit"), type_="check")
        for name in reversed(SLOT_COLUMNS):
            topic.drop_column(name)
        topic.drop_column("slot_medium")
    _watch_again()


def _unpoint_cases() -> None:
    earliest = (
        "SELECT id FROM promise WHERE promise.case_id = \"case\".id AND promise.state = 'open' "
        "ORDER BY due_at, id LIMIT 1"
    )
    op.execute(
        f'UPDATE "case" SET promise_id = ({earliest}), appointment_id = NULL '  # our own words
        "WHERE appointment_id IS NOT NULL"
    )
    with op.batch_alter_table("case") as case:
        case.drop_index("ix_case_appointment_id")
        case.drop_constraint("fk_case_booked_step", type_="foreignkey")
        case.drop_constraint(op.f("ck_case_booking_is_booked"), type_="check")
        case.drop_constraint(op.f("ck_case_one_step"), type_="check")
        case.drop_constraint(op.f("ck_case_open_has_a_step"), type_="check")
        case.create_check_constraint(op.f("ck_case_open_has_a_step"), "(state = 'open') = (promise_id IS NOT NULL)")
        case.drop_column("reachable")
        case.drop_column("booking_state")
        case.drop_column("appointment_id")
