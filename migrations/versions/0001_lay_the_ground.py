"""Lay the ground: people, customers, cases, promises, journal, outbox.

The guards and the watch over the directory are copies of what the models attach to the metadata; they are frozen here, and
a test compares a migrated schema with the models, guards included.
"""

import sqlalchemy as sa
from alembic import op

from portal.db import UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SQLITE_GUARDS = (
    "CREATE TRIGGER entry_is_never_deleted BEFORE DELETE ON entry BEGIN SELECT RAISE(ABORT, 'entry_is_never_deleted'); END",
    "CREATE TRIGGER entry_is_never_edited BEFORE UPDATE ON entry WHEN NOT (NEW.erased_at IS NOT NULL AND NEW.text = '' AND NEW.facts = '{}' AND (NEW.person_id IS OLD.person_id OR NEW.person_id IS NULL) AND NEW.id IS OLD.id AND NEW.case_id IS OLD.case_id AND NEW.at IS OLD.at AND NEW.noted_at IS OLD.noted_at AND NEW.kind IS OLD.kind AND NEW.channel IS OLD.channel AND NEW.direction IS OLD.direction AND NEW.actor IS OLD.actor AND NEW.visible IS OLD.visible AND NEW.corrects_id IS OLD.corrects_id) BEGIN SELECT RAISE(ABORT, 'entry_is_never_edited'); END",
)
POSTGRESQL_GUARDS = (
    "CREATE FUNCTION entry_guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF TG_OP = 'DELETE' THEN RAISE EXCEPTION 'entry_is_never_deleted' USING ERRCODE = 'integrity_constraint_violation'; END IF; IF NEW.erased_at IS NOT NULL AND NEW.text = '' AND NEW.facts::text = '{}' AND (NEW.person_id IS NOT DISTINCT FROM OLD.person_id OR NEW.person_id IS NULL) AND NEW.id IS NOT DISTINCT FROM OLD.id AND NEW.case_id IS NOT DISTINCT FROM OLD.case_id AND NEW.at IS NOT DISTINCT FROM OLD.at AND NEW.noted_at IS NOT DISTINCT FROM OLD.noted_at AND NEW.kind IS NOT DISTINCT FROM OLD.kind AND NEW.channel IS NOT DISTINCT FROM OLD.channel AND NEW.direction IS NOT DISTINCT FROM OLD.direction AND NEW.actor IS NOT DISTINCT FROM OLD.actor AND NEW.visible IS NOT DISTINCT FROM OLD.visible AND NEW.corrects_id IS NOT DISTINCT FROM OLD.corrects_id THEN RETURN NEW; END IF; RAISE EXCEPTION 'entry_is_never_edited' USING ERRCODE = 'integrity_constraint_violation'; END $$",
    "CREATE TRIGGER entry_guard BEFORE UPDATE OR DELETE ON entry FOR EACH ROW EXECUTE FUNCTION entry_guard()",
)
WATCHED = ("company", "team", "hours", "closure", "person", "competence", "absence", "service_level", "topic")
POSTGRESQL_WATCH = "CREATE FUNCTION directory_changed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE directory_revision SET revision = gen_random_uuid()::text; RETURN NULL; END $$"


def upgrade() -> None:
    """Make the tables, then the keys that point in a circle, then the guards."""
    op.create_table(
        "channel",
        sa.Column("name", sa.String(length=20), nullable=False),
        sa.Column("faults", sa.Integer(), nullable=False),
        sa.Column("paused_until", UtcDateTime(), nullable=True),
        sa.Column("reason", sa.String(length=300), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_channel")),
    )
    op.create_table(
        "counter",
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("window_at", UtcDateTime(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", "window_at", name=op.f("pk_counter")),
    )
    op.create_table(
        "directory_revision",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("revision", sa.String(length=40), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_directory_revision_one_revision")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_directory_revision")),
    )
    op.create_table(
        "link_wish",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("email_key", sa.String(length=254), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_link_wish")),
    )
    op.create_table(
        "service_level",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("answer_min", sa.Integer(), nullable=False),
        sa.Column("update_min", sa.Integer(), nullable=False),
        sa.Column("remind_min", sa.Integer(), nullable=False),
        sa.Column("notice_min", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "answer_min > 0 AND update_min > 0 AND remind_min > 0 AND notice_min > 0",
            name=op.f("ck_service_level_positive"),
        ),
        sa.CheckConstraint("notice_min < answer_min", name=op.f("ck_service_level_notice_before_answer")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_service_level")),
        sa.UniqueConstraint("name", name=op.f("uq_service_level_name")),
    )
    op.create_table(
        "team",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("place", sa.String(length=6), nullable=False),
        sa.Column("tz", sa.String(length=40), nullable=False),
        sa.Column("lead_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["lead_id"],
            ["person.id"],
            name=op.f("fk_team_lead_id"),
            initially="DEFERRED",
            deferrable=True,
            use_alter=True,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_team")),
        sa.UniqueConstraint("name", name=op.f("uq_team_name")),
    )
    with op.batch_alter_table("team", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_team_lead_id"), ["lead_id"], unique=False)

    op.create_table(
        "worker",
        sa.Column("id", sa.String(length=80), nullable=False),
        sa.Column("beat_at", UtcDateTime(), nullable=False),
        sa.Column("loops", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_worker")),
    )
    op.create_table(
        "closure",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("place", sa.String(length=6), nullable=True),
        sa.Column("team_id", sa.Integer(), nullable=True),
        sa.Column("first_on", sa.Date(), nullable=False),
        sa.Column("last_on", sa.Date(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "extra",
                "not_a_holiday",
                "closed",
                name="closurekind",
                native_enum=False,
                create_constraint=True,
                length=30,
            ),
            nullable=False,
        ),
        sa.CheckConstraint("first_on <= last_on", name=op.f("ck_closure_days")),
        sa.ForeignKeyConstraint(["team_id"], ["team.id"], name=op.f("fk_closure_team_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_closure")),
    )
    with op.batch_alter_table("closure", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_closure_team_id"), ["team_id"], unique=False)

    op.create_table(
        "person",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("team_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("role", sa.String(length=80), nullable=False),
        sa.Column("line_e164", sa.String(length=16), nullable=True),
        sa.Column("line_shown", sa.String(length=40), nullable=True),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("place", sa.String(length=6), nullable=False),
        sa.Column("language", sa.String(length=2), nullable=False),
        sa.Column("answers", sa.Boolean(), nullable=False),
        sa.Column("left_on", sa.Date(), nullable=True),
        sa.Column("deputy_id", sa.Integer(), nullable=True),
        sa.CheckConstraint("NOT answers OR line_e164 IS NOT NULL", name=op.f("ck_person_answers_with_a_line")),
        sa.CheckConstraint("deputy_id <> id", name=op.f("ck_person_own_deputy")),
        sa.ForeignKeyConstraint(["deputy_id"], ["person.id"], name=op.f("fk_person_deputy_id")),
        sa.ForeignKeyConstraint(["team_id"], ["team.id"], name=op.f("fk_person_team_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_person")),
    )
    with op.batch_alter_table("person", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_person_deputy_id"), ["deputy_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_person_team_id"), ["team_id"], unique=False)

    op.create_table(
        "topic",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("slug", sa.String(length=40), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("team_id", sa.Integer(), nullable=False),
        sa.Column("level_id", sa.Integer(), nullable=False),
        sa.Column("name_de", sa.String(length=80), nullable=False),
        sa.Column("name_en", sa.String(length=80), nullable=False),
        sa.Column("hint_de", sa.String(length=200), nullable=False),
        sa.Column("hint_en", sa.String(length=200), nullable=False),
        sa.Column(
            "medium",
            sa.Enum("reply", "call", name="topicmedium", native_enum=False, create_constraint=True, length=30),
            nullable=False,
        ),
        sa.Column("retention_days", sa.Integer(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.CheckConstraint("retention_days > 0", name=op.f("ck_topic_retention")),
        sa.ForeignKeyConstraint(["level_id"], ["service_level.id"], name=op.f("fk_topic_level_id")),
        sa.ForeignKeyConstraint(["team_id"], ["team.id"], name=op.f("fk_topic_team_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_topic")),
        sa.UniqueConstraint("slug", name=op.f("uq_topic_slug")),
    )
    with op.batch_alter_table("topic", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_topic_level_id"), ["level_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_topic_team_id"), ["team_id"], unique=False)

    op.create_table(
        "absence",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("person_id", sa.Integer(), nullable=False),
        sa.Column("starts_at", UtcDateTime(), nullable=False),
        sa.Column("ends_at", UtcDateTime(), nullable=True),
        sa.Column("deputy_id", sa.Integer(), nullable=True),
        sa.Column("entered_by_id", sa.Integer(), nullable=False),
        sa.CheckConstraint("deputy_id <> person_id", name=op.f("ck_absence_own_deputy")),
        sa.CheckConstraint("ends_at > starts_at", name=op.f("ck_absence_order")),
        sa.ForeignKeyConstraint(["deputy_id"], ["person.id"], name=op.f("fk_absence_deputy_id")),
        sa.ForeignKeyConstraint(["entered_by_id"], ["person.id"], name=op.f("fk_absence_entered_by_id")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_absence_person_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_absence")),
    )
    with op.batch_alter_table("absence", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_absence_deputy_id"), ["deputy_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_absence_entered_by_id"), ["entered_by_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_absence_person_id"), ["person_id"], unique=False)

    op.create_table(
        "account",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("number", sa.String(length=40), nullable=False),
        sa.Column("manager_id", sa.Integer(), nullable=False),
        sa.Column("potential", sa.Integer(), nullable=False),
        sa.CheckConstraint("potential BETWEEN 1 AND 4", name=op.f("ck_account_potential")),
        sa.ForeignKeyConstraint(["manager_id"], ["person.id"], name=op.f("fk_account_manager_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account")),
        sa.UniqueConstraint("number", name=op.f("uq_account_number")),
    )
    with op.batch_alter_table("account", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_account_manager_id"), ["manager_id"], unique=False)

    op.create_table(
        "company",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("legal_block", sa.Text(), nullable=False),
        sa.Column("imprint_url", sa.String(length=300), nullable=False),
        sa.Column("privacy_url", sa.String(length=300), nullable=False),
        sa.Column("accent", sa.String(length=7), nullable=False),
        sa.Column("sends_from_minute", sa.Integer(), nullable=False),
        sa.Column("sends_until_minute", sa.Integer(), nullable=False),
        sa.Column("front_desk_id", sa.Integer(), nullable=False),
        sa.Column("last_instance_id", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "0 <= sends_from_minute AND sends_from_minute < sends_until_minute AND sends_until_minute <= 1440",
            name=op.f("ck_company_sending_hours"),
        ),
        sa.CheckConstraint("id = 1", name=op.f("ck_company_one_company")),
        sa.ForeignKeyConstraint(["front_desk_id"], ["person.id"], name=op.f("fk_company_front_desk_id")),
        sa.ForeignKeyConstraint(["last_instance_id"], ["person.id"], name=op.f("fk_company_last_instance_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_company")),
    )
    with op.batch_alter_table("company", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_company_front_desk_id"), ["front_desk_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_company_last_instance_id"), ["last_instance_id"], unique=False)

    op.create_table(
        "competence",
        sa.Column("person_id", sa.Integer(), nullable=False),
        sa.Column("topic_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_competence_person_id")),
        sa.ForeignKeyConstraint(["topic_id"], ["topic.id"], name=op.f("fk_competence_topic_id")),
        sa.PrimaryKeyConstraint("person_id", "topic_id", name=op.f("pk_competence")),
    )
    with op.batch_alter_table("competence", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_competence_topic_id"), ["topic_id"], unique=False)

    op.create_table(
        "hours",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("team_id", sa.Integer(), nullable=True),
        sa.Column("person_id", sa.Integer(), nullable=True),
        sa.Column("weekday", sa.Integer(), nullable=False),
        sa.Column("from_minute", sa.Integer(), nullable=False),
        sa.Column("until_minute", sa.Integer(), nullable=False),
        sa.CheckConstraint("(team_id IS NULL) <> (person_id IS NULL)", name=op.f("ck_hours_one_subject")),
        sa.CheckConstraint(
            "0 <= from_minute AND from_minute < until_minute AND until_minute <= 1440", name=op.f("ck_hours_span")
        ),
        sa.CheckConstraint("weekday BETWEEN 0 AND 6", name=op.f("ck_hours_weekday")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_hours_person_id")),
        sa.ForeignKeyConstraint(["team_id"], ["team.id"], name=op.f("fk_hours_team_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hours")),
    )
    with op.batch_alter_table("hours", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_hours_person_id"), ["person_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_hours_team_id"), ["team_id"], unique=False)

    op.create_table(
        "login",
        sa.Column("person_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("password", sa.String(length=200), nullable=False),
        sa.Column(
            "role",
            sa.Enum("staff", "lead", "admin", name="role", native_enum=False, create_constraint=True, length=30),
            nullable=False,
        ),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_login_person_id")),
        sa.PrimaryKeyConstraint("person_id", name=op.f("pk_login")),
    )
    op.create_table(
        "route",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("topic_id", sa.Integer(), nullable=False),
        sa.Column("postcode_from", sa.String(length=12), nullable=False),
        sa.Column("postcode_to", sa.String(length=12), nullable=False),
        sa.Column("team_id", sa.Integer(), nullable=False),
        sa.CheckConstraint("postcode_from <= postcode_to", name=op.f("ck_route_range")),
        sa.ForeignKeyConstraint(["team_id"], ["team.id"], name=op.f("fk_route_team_id")),
        sa.ForeignKeyConstraint(["topic_id"], ["topic.id"], name=op.f("fk_route_topic_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_route")),
        sa.UniqueConstraint("topic_id", "postcode_from", name=op.f("uq_route_topic_id_postcode_from")),
    )
    with op.batch_alter_table("route", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_route_team_id"), ["team_id"], unique=False)

    op.create_table(
        "sign_in",
        sa.Column("id_hash", sa.String(length=64), nullable=False),
        sa.Column("person_id", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("seen_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_sign_in_person_id")),
        sa.PrimaryKeyConstraint("id_hash", name=op.f("pk_sign_in")),
    )
    with op.batch_alter_table("sign_in", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_sign_in_person_id"), ["person_id"], unique=False)

    op.create_table(
        "customer",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=True),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=True),
        sa.Column("email_key", sa.String(length=254), nullable=True),
        sa.Column("phone_e164", sa.String(length=16), nullable=True),
        sa.Column("phone_shown", sa.String(length=40), nullable=True),
        sa.Column("company", sa.String(length=120), nullable=True),
        sa.Column("number_typed", sa.String(length=40), nullable=True),
        sa.Column("postcode", sa.String(length=12), nullable=True),
        sa.Column("erased_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_customer_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_customer")),
    )
    with op.batch_alter_table("customer", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_customer_account_id"), ["account_id"], unique=False)
        batch_op.create_index("ix_customer_email_key", ["email_key"], unique=False)

    op.create_table(
        "case",
        sa.Column("id", sa.Integer(), autoincrement="ignore_fk", nullable=False),
        sa.Column("reference", sa.String(length=12), nullable=False),
        sa.Column("link_nonce", sa.String(length=32), nullable=False),
        sa.Column("topic_id", sa.Integer(), nullable=False),
        sa.Column("customer_id", sa.Integer(), nullable=False),
        sa.Column("owner_id", sa.Integer(), nullable=True),
        sa.Column(
            "routed_by",
            sa.Enum("topic", "account", "known", name="routedby", native_enum=False, create_constraint=True, length=30),
            nullable=True,
        ),
        sa.Column(
            "state",
            sa.Enum(
                "received",
                "open",
                "closed",
                "spam",
                "erased",
                name="casestate",
                native_enum=False,
                create_constraint=True,
                length=30,
            ),
            nullable=False,
        ),
        sa.Column("language", sa.String(length=2), nullable=False),
        sa.Column("notices", sa.Integer(), nullable=False),
        sa.Column("lead_since", UtcDateTime(), nullable=True),
        sa.Column("promise_id", sa.Integer(), nullable=True),
        sa.Column("step_state", sa.String(length=20), nullable=False),
        sa.Column(
            "doubt",
            sa.Enum(
                "honeypot", "too_fast", "not_me", name="doubt", native_enum=False, create_constraint=True, length=30
            ),
            nullable=True,
        ),
        sa.Column("check_by_at", UtcDateTime(), nullable=True),
        sa.Column("closed_at", UtcDateTime(), nullable=True),
        sa.Column(
            "outcome",
            sa.Enum(
                "done",
                "no_answer",
                "withdrawn",
                "not_possible",
                name="outcome",
                native_enum=False,
                create_constraint=True,
                length=30,
            ),
            nullable=True,
        ),
        sa.Column("outcome_text", sa.Text(), nullable=False),
        sa.Column("reopen_until", UtcDateTime(), nullable=True),
        sa.Column("erase_on", sa.Date(), nullable=True),
        sa.Column("continues_id", sa.Integer(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.Column("opened_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint("(state = 'open') = (promise_id IS NOT NULL)", name=op.f("ck_case_open_has_a_step")),
        sa.CheckConstraint(
            "(state = 'received') = (check_by_at IS NOT NULL)", name=op.f("ck_case_received_has_a_date")
        ),
        sa.CheckConstraint(
            "state <> 'closed' OR (closed_at IS NOT NULL AND outcome IS NOT NULL AND reopen_until IS NOT NULL AND erase_on IS NOT NULL)",
            name=op.f("ck_case_closed_says_how"),
        ),
        sa.CheckConstraint(
            "state IN ('received', 'spam', 'erased') OR owner_id IS NOT NULL", name=op.f("ck_case_has_an_owner")
        ),
        sa.CheckConstraint("step_state = 'open'", name=op.f("ck_case_step_is_open")),
        sa.CheckConstraint("notices >= 0", name=op.f("ck_case_notices")),
        sa.ForeignKeyConstraint(["continues_id"], ["case.id"], name=op.f("fk_case_continues_id")),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_case_customer_id")),
        sa.ForeignKeyConstraint(["owner_id"], ["person.id"], name=op.f("fk_case_owner_id")),
        sa.ForeignKeyConstraint(
            ["promise_id", "id", "step_state"],
            ["promise.id", "promise.case_id", "promise.state"],
            name="fk_case_open_step",
            initially="DEFERRED",
            deferrable=True,
            use_alter=True,
        ),
        sa.ForeignKeyConstraint(["topic_id"], ["topic.id"], name=op.f("fk_case_topic_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_case")),
        sa.UniqueConstraint("link_nonce", name=op.f("uq_case_link_nonce")),
        sa.UniqueConstraint("reference", name=op.f("uq_case_reference")),
    )
    with op.batch_alter_table("case", schema=None) as batch_op:
        batch_op.create_index(
            "ix_case_check_by_at",
            ["check_by_at"],
            unique=False,
            sqlite_where=sa.text("state = 'received'"),
            postgresql_where=sa.text("state = 'received'"),
        )
        batch_op.create_index(batch_op.f("ix_case_continues_id"), ["continues_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_case_customer_id"), ["customer_id"], unique=False)
        batch_op.create_index(
            "ix_case_erase_on",
            ["erase_on"],
            unique=False,
            sqlite_where=sa.text("state <> 'erased' AND erase_on IS NOT NULL"),
            postgresql_where=sa.text("state <> 'erased' AND erase_on IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_case_owner_id",
            ["owner_id"],
            unique=False,
            sqlite_where=sa.text("state = 'open'"),
            postgresql_where=sa.text("state = 'open'"),
        )
        batch_op.create_index("ix_case_promise_id", ["promise_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_case_topic_id"), ["topic_id"], unique=False)

    op.create_table(
        "entry",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("case_id", sa.Integer(), nullable=True),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("noted_at", UtcDateTime(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "received",
                "opened",
                "released",
                "discarded",
                "message",
                "reply",
                "question",
                "mail",
                "call",
                "call_started",
                "visit",
                "letter",
                "note",
                "promise_given",
                "promise_kept",
                "promise_moved",
                "promise_withdrawn",
                "closed",
                "reopened",
                "continued",
                "address_corrected",
                "link_replaced",
                "link_sent",
                "not_me",
                "not_me_undone",
                "letter_failed",
                "erased",
                name="kind",
                native_enum=False,
                length=30,
            ),
            nullable=False,
        ),
        sa.Column(
            "channel",
            sa.Enum(
                "form",
                "page",
                "mail",
                "phone",
                "visit",
                "post",
                "system",
                name="channel",
                native_enum=False,
                create_constraint=True,
                length=30,
            ),
            nullable=False,
        ),
        sa.Column(
            "direction",
            sa.Enum("in", "out", "none", name="direction", native_enum=False, create_constraint=True, length=30),
            nullable=False,
        ),
        sa.Column(
            "actor",
            sa.Enum("person", "customer", "system", name="actor", native_enum=False, create_constraint=True, length=30),
            nullable=False,
        ),
        sa.Column("person_id", sa.Integer(), nullable=True),
        sa.Column("visible", sa.Boolean(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("corrects_id", sa.Integer(), nullable=True),
        sa.Column("erased_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["case_id"], ["case.id"], name=op.f("fk_entry_case_id")),
        sa.ForeignKeyConstraint(["corrects_id"], ["entry.id"], name=op.f("fk_entry_corrects_id")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_entry_person_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_entry")),
    )
    with op.batch_alter_table("entry", schema=None) as batch_op:
        batch_op.create_index("ix_entry_case_id_at_id", ["case_id", "at", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_entry_corrects_id"), ["corrects_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_entry_person_id"), ["person_id"], unique=False)

    op.create_table(
        "submission",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("purpose", sa.String(length=40), nullable=False),
        sa.Column("body_hash", sa.String(length=64), nullable=False),
        sa.Column("case_id", sa.Integer(), nullable=True),
        sa.Column("answer", sa.String(length=64), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["case.id"], name=op.f("fk_submission_case_id")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_submission")),
        sa.UniqueConstraint("answer", name=op.f("uq_submission_answer")),
    )
    with op.batch_alter_table("submission", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_submission_case_id"), ["case_id"], unique=False)

    op.create_table(
        "promise",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("case_id", sa.Integer(), nullable=False),
        sa.Column("person_id", sa.Integer(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "reply",
                "call",
                "result",
                "follow_up",
                name="promisekind",
                native_enum=False,
                create_constraint=True,
                length=30,
            ),
            nullable=False,
        ),
        sa.Column(
            "medium",
            sa.Enum(
                "mail", "call", "visit", "letter", name="medium", native_enum=False, create_constraint=True, length=30
            ),
            nullable=False,
        ),
        sa.Column(
            "state",
            sa.Enum(
                "open",
                "kept",
                "moved",
                "withdrawn",
                name="promisestate",
                native_enum=False,
                create_constraint=True,
                length=30,
            ),
            nullable=False,
        ),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("given_by_id", sa.Integer(), nullable=True),
        sa.Column("given_at", UtcDateTime(), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=False),
        sa.Column("first_due_at", UtcDateTime(), nullable=False),
        sa.Column("remind_at", UtcDateTime(), nullable=True),
        sa.Column("reminded_at", UtcDateTime(), nullable=True),
        sa.Column("notice_at", UtcDateTime(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.Column("kept_by_entry_id", sa.Integer(), nullable=True),
        sa.Column("replaces_id", sa.Integer(), nullable=True),
        sa.CheckConstraint("(state = 'open') = (ended_at IS NULL)", name=op.f("ck_promise_ended")),
        sa.CheckConstraint("given_at < notice_at AND notice_at < due_at", name=op.f("ck_promise_notice_between")),
        sa.ForeignKeyConstraint(["case_id"], ["case.id"], name=op.f("fk_promise_case_id")),
        sa.ForeignKeyConstraint(["given_by_id"], ["person.id"], name=op.f("fk_promise_given_by_id")),
        sa.ForeignKeyConstraint(["kept_by_entry_id"], ["entry.id"], name=op.f("fk_promise_kept_by_entry_id")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_promise_person_id")),
        sa.ForeignKeyConstraint(["replaces_id"], ["promise.id"], name=op.f("fk_promise_replaces_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_promise")),
        sa.UniqueConstraint("id", "case_id", "state", name=op.f("uq_promise_id_case_id_state")),
        sa.UniqueConstraint("replaces_id", name=op.f("uq_promise_replaces_id")),
    )
    with op.batch_alter_table("promise", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_promise_case_id"), ["case_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_promise_given_by_id"), ["given_by_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_promise_kept_by_entry_id"), ["kept_by_entry_id"], unique=False)
        batch_op.create_index(
            "ix_promise_notice_at",
            ["notice_at"],
            unique=False,
            sqlite_where=sa.text("state = 'open'"),
            postgresql_where=sa.text("state = 'open'"),
        )
        batch_op.create_index(batch_op.f("ix_promise_person_id"), ["person_id"], unique=False)
        batch_op.create_index(
            "ix_promise_remind_at",
            ["remind_at"],
            unique=False,
            sqlite_where=sa.text("state = 'open' AND reminded_at IS NULL"),
            postgresql_where=sa.text("state = 'open' AND reminded_at IS NULL"),
        )
        batch_op.create_index(
            "uq_promise_open_kind",
            ["case_id", "kind"],
            unique=True,
            sqlite_where=sa.text("state = 'open'"),
            postgresql_where=sa.text("state = 'open'"),
        )

    op.create_table(
        "letter",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=120), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column(
            "audience",
            sa.Enum("customer", "staff", name="audience", native_enum=False, create_constraint=True, length=30),
            nullable=False,
        ),
        sa.Column("case_id", sa.Integer(), nullable=True),
        sa.Column("to_address", sa.String(length=254), nullable=False),
        sa.Column("person_id", sa.Integer(), nullable=False),
        sa.Column("message", sa.LargeBinary(), nullable=False),
        sa.Column("message_id", sa.String(length=200), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "queued",
                "sending",
                "held",
                "sent",
                "failed",
                "withdrawn",
                name="letterstate",
                native_enum=False,
                create_constraint=True,
                length=30,
            ),
            nullable=False,
        ),
        sa.Column("automatic", sa.Boolean(), nullable=False),
        sa.Column("promise_id", sa.Integer(), nullable=True),
        sa.Column("valid_until", UtcDateTime(), nullable=True),
        sa.Column("hold_reason", sa.String(length=40), nullable=True),
        sa.Column("queued_at", UtcDateTime(), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("give_up_at", UtcDateTime(), nullable=True),
        sa.Column("lease_until", UtcDateTime(), nullable=True),
        sa.Column("lease_token", sa.String(length=32), nullable=True),
        sa.Column("withdraw_wished_at", UtcDateTime(), nullable=True),
        sa.Column("last_error", sa.String(length=300), nullable=True),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint("(state = 'held') = (hold_reason IS NOT NULL)", name=op.f("ck_letter_hold")),
        sa.CheckConstraint("(state = 'sending') = (lease_token IS NOT NULL)", name=op.f("ck_letter_lease")),
        sa.CheckConstraint(
            "(state IN ('sent', 'failed', 'withdrawn')) = (ended_at IS NOT NULL)", name=op.f("ck_letter_ended")
        ),
        sa.ForeignKeyConstraint(["case_id"], ["case.id"], name=op.f("fk_letter_case_id")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_letter_person_id")),
        sa.ForeignKeyConstraint(["promise_id"], ["promise.id"], name=op.f("fk_letter_promise_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_letter")),
        sa.UniqueConstraint("message_id", name=op.f("uq_letter_message_id")),
    )
    with op.batch_alter_table("letter", schema=None) as batch_op:
        batch_op.create_index("ix_letter_case_id_id", ["case_id", "id"], unique=False)
        batch_op.create_index(
            "ix_letter_due_at",
            ["due_at", "id"],
            unique=False,
            sqlite_where=sa.text("state = 'queued'"),
            postgresql_where=sa.text("state = 'queued'"),
        )
        batch_op.create_index(
            "ix_letter_lease_until",
            ["lease_until"],
            unique=False,
            sqlite_where=sa.text("state = 'sending'"),
            postgresql_where=sa.text("state = 'sending'"),
        )
        batch_op.create_index(batch_op.f("ix_letter_person_id"), ["person_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_letter_promise_id"), ["promise_id"], unique=False)
        batch_op.create_index(
            "uq_letter_key",
            ["key"],
            unique=True,
            sqlite_where=sa.text("state <> 'withdrawn'"),
            postgresql_where=sa.text("state <> 'withdrawn'"),
        )
    op.create_index("uq_person_email", "person", [sa.text("lower(email)")], unique=True)
    if op.get_bind().dialect.name == "postgresql":
        _close_the_circles()
    _guard()
    op.execute("INSERT INTO directory_revision (id, revision) VALUES (1, 'empty')")
    _watch()


def _close_the_circles() -> None:
    """SQLite takes a key to a table that does not exist yet; PostgreSQL gets it afterwards."""
    op.create_foreign_key(
        "fk_team_lead_id", "team", "person", ["lead_id"], ["id"], initially="DEFERRED", deferrable=True
    )
    op.create_foreign_key(
        "fk_case_open_step",
        "case",
        "promise",
        ["promise_id", "id", "step_state"],
        ["id", "case_id", "state"],
        initially="DEFERRED",
        deferrable=True,
    )


def _guard() -> None:
    guards = POSTGRESQL_GUARDS if op.get_bind().dialect.name == "postgresql" else SQLITE_GUARDS
    for statement in guards:
        op.execute(statement)


def _watch() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(POSTGRESQL_WATCH)
        for table in WATCHED:
            op.execute(
                f"CREATE TRIGGER {table}_revision AFTER INSERT OR UPDATE OR DELETE ON {table} "
                "FOR EACH STATEMENT EXECUTE FUNCTION directory_changed()"
            )
        return
    for table in WATCHED:
        for verb in ("INSERT", "UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_revision_{verb.lower()} AFTER {verb} ON {table} "
                "BEGIN UPDATE directory_revision SET revision = hex(randomblob(16)); END"
            )


def downgrade() -> None:
    """Take everything away again."""
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint("fk_team_lead_id", "team")
        op.drop_constraint("fk_case_open_step", "case")
    op.drop_table("letter")
    op.drop_table("promise")
    op.drop_table("submission")
    op.drop_table("entry")
    op.drop_table("case")
    op.drop_table("customer")
    op.drop_table("sign_in")
    op.drop_table("route")
    op.drop_table("login")
    op.drop_table("hours")
    op.drop_table("competence")
    op.drop_table("company")
    op.drop_table("account")
    op.drop_table("absence")
    op.drop_table("topic")
    op.drop_table("person")
    op.drop_table("closure")
    op.drop_table("worker")
    op.drop_table("team")
    op.drop_table("service_level")
    op.drop_table("link_wish")
    op.drop_table("directory_revision")
    op.drop_table("counter")
    op.drop_table("channel")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION entry_guard()")
        op.execute("DROP FUNCTION directory_changed()")
