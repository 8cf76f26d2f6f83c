"""What the schema itself refuses, tried with plain SQL behind the program's back, on both databases.

There is a small sound world: two people, a customer, an open case 1 with its promise 1, a closed case 2, an entry that
was only received as case 3. What is refused leaves it as it was, so one world serves all.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from portal import db

pytestmark = pytest.mark.xdist_group("schema")  # they share a database: one process makes it

BEFORE, NOON, LATER, LATEST = (f"2026-11-24 {hour}:00:00.000000" for hour in ("09", "12", "15", "17"))

Row = dict[str, Any]

PERSON: Row = {
    "id": 1,
    "team_id": 1,
    "name": "Miriam Albrecht",
    "role": "Vertrieb",
    "line_e164": "+498999998214",
    "email": "m.albrecht@beispielwerke.example",
    "place": "DE-BY",
    "language": "de",
    "answers": True,
}
PROMISE: Row = {
    "id": 1,
    "case_id": 1,
    "person_id": 1,
    "kind": "reply",
    "medium": "mail",
    "state": "open",
    "what": "",
    "given_at": BEFORE,
    "due_at": LATER,
    "first_due_at": LATER,
    "notice_at": NOON,
}
CASE: Row = {
    "id": 1,
    "reference": "K7P-3M9",
    "link_nonce": "one",
    "topic_id": 1,
    "customer_id": 1,
    "owner_id": 1,
    "state": "open",
    "language": "de",
    "notices": 0,
    "promise_id": 1,
    "step_state": "open",
    "booking_state": "booked",
    "reachable": "",
    "outcome_text": "",
    "version": 1,
    "received_at": BEFORE,
}
CLOSED: Row = {
    "state": "closed",
    "promise_id": None,
    "closed_at": NOON,
    "outcome": "done",
    "reopen_until": LATEST,
    "erase_on": "2027-05-26",
}
RECEIVED: Row = {"state": "received", "promise_id": None, "owner_id": None, "check_by_at": LATER}
APPOINTMENT: Row = {
    "id": 1,
    "case_id": 1,
    "person_id": 1,
    "medium": "call",
    "state": "booked",
    "starts_at": NOON,
    "ends_at": LATER,
    "busy_from": NOON,
    "busy_until": LATER,
    "outcome_due_at": LATER,
    "tz": "Europe/Berlin",
    "local_start": "2026-11-26T13:00",
    "version": 1,
    "uid": "one@beispielwerke.example",
    "sequence": 0,
    "customer_moves": 0,
    "created_at": BEFORE,
    "changed_at": BEFORE,
}
LETTER: Row = {
    "id": 1,
    "key": "confirmation:1",
    "kind": "confirmation",
    "audience": "customer",
    "case_id": 1,
    "to_address": "kunde@firma.example",
    "person_id": 1,
    "message": b"Hallo",
    "message_id": "<1@beispielwerke.example>",
    "state": "queued",
    "automatic": True,
    "queued_at": BEFORE,
    "due_at": BEFORE,
    "tries": 0,
}
ENTRY: Row = {
    "id": 1,
    "case_id": 1,
    "at": BEFORE,
    "noted_at": BEFORE,
    "kind": "received",
    "channel": "form",
    "direction": "in",
    "actor": "customer",
    "visible": True,
    "text": "Bitte rufen Sie an.",
    "facts": "{}",
}
TEAM: Row = {"id": 1, "name": "Vertrieb Süd", "place": "DE-BY", "tz": "Europe/Berlin", "lead_id": 1}
COMPANY: Row = {
    "id": 1,
    "name": "Beispielwerke",
    "legal_block": "HRB 0",
    "imprint_url": "/imprint",
    "privacy_url": "/privacy",
    "accent": "#0b5d66",
    "sends_from_minute": 420,
    "sends_until_minute": 1140,
    "front_desk_id": 1,
    "last_instance_id": 1,
}
TOPIC: Row = {
    "id": 1,
    "slug": "angebot",
    "position": 0,
    "team_id": 1,
    "level_id": 1,
    "name_de": "Angebot",
    "name_en": "Offer",
    "hint_de": "",
    "hint_en": "",
    "medium": "reply",
    "retention_days": 183,
    "active": True,
    "slot_minutes": 30,
    "slot_grid": 30,
    "slot_before": 0,
    "slot_after": 10,
}
LEVEL: Row = {"id": 1, "name": "Standard", "answer_min": 480, "update_min": 480, "remind_min": 240, "notice_min": 60}
HOURS: Row = {"team_id": 1, "weekday": 0, "from_minute": 480, "until_minute": 1020}
ABSENCE: Row = {"person_id": 1, "starts_at": BEFORE, "ends_at": LATER, "deputy_id": 2, "entered_by_id": 2}
CLOSURE: Row = {"first_on": "2026-12-24", "last_on": "2026-12-31", "kind": "closed"}
ROUTE: Row = {"topic_id": 1, "postcode_from": "80000", "postcode_to": "80999", "team_id": 1}
ACCOUNT: Row = {"name": "Firma", "number": "4711", "manager_id": 1, "potential": 4}
SUBMISSION: Row = {"key": "k", "purpose": "contact", "body_hash": "h", "case_id": 1, "answer": "a", "at": BEFORE}
LOGIN: Row = {"person_id": 1, "password": "$argon2id$", "role": "staff", "active": True}

SOUND_WORLD: list[tuple[str, Row]] = [
    ("team", TEAM),
    ("person", PERSON),
    (
        "person",
        {**PERSON, "id": 2, "name": "Jonas Weidner", "email": "j.weidner@beispielwerke.example", "deputy_id": 1},
    ),
    ("service_level", LEVEL),
    ("topic", TOPIC),
    ("customer", {"id": 1, "name": "Karin Kunde"}),
    ("case", CASE),
    ("promise", PROMISE),
    ("appointment", APPOINTMENT),
    ("case", {**CASE, "id": 2, "reference": "B2B-2B2", "link_nonce": "two", **CLOSED}),
    ("case", {**CASE, "id": 3, "reference": "C3C-3C3", "link_nonce": "three", **RECEIVED}),
    ("entry", ENTRY),
    ("letter", LETTER),
    ("company", COMPANY),
    ("hours", HOURS),
    ("absence", ABSENCE),
    ("closure", CLOSURE),
    ("route", ROUTE),
    ("account", ACCOUNT),
    ("submission", SUBMISSION),
    ("login", LOGIN),
]
NEW: dict[str, Row] = {
    "case": {**CASE, "id": 9, "reference": "X9X-9X9", "link_nonce": "nine"},
    "promise": {**PROMISE, "id": 9, "state": "kept", "ended_at": NOON},
    "appointment": {
        **APPOINTMENT,
        "id": 9,
        "uid": "nine@beispielwerke.example",
        "state": "held",
        "ended_at": LATER,
    },
    "letter": {**LETTER, "id": 9, "key": "reply:9", "message_id": "<9@beispielwerke.example>"},
    "entry": {**ENTRY, "id": 9},
    "company": COMPANY,
    "team": {**TEAM, "id": 9, "name": "Vertrieb Nord"},
    "person": {**PERSON, "id": 9, "email": "n.neu@beispielwerke.example"},
    "hours": HOURS,
    "absence": ABSENCE,
    "closure": CLOSURE,
    "login": {**LOGIN, "person_id": 2},
    "service_level": {**LEVEL, "id": 9, "name": "Schnell"},
    "topic": {**TOPIC, "id": 9, "slug": "rueckruf"},
    "route": {**ROUTE, "postcode_from": "80500"},
    "account": {**ACCOUNT, "number": "9"},
    "submission": {**SUBMISSION, "key": "key 9", "answer": "answer 9"},
    "directory_revision": {"id": 1, "revision": "nine"},
}
"""A row for each table; all but two (company, revision) would be taken as they stand, beside the sound world."""


@pytest.fixture(scope="module")
def world(program: Flask) -> Flask:
    """The program on a database with the sound world in it."""
    with db.writing() as session:
        for table, row in SOUND_WORLD:
            _insert(session, table, row)
    return program


def _insert(session: Session, table: str, row: Row) -> None:
    columns = ", ".join(f'"{name}"' for name in row)
    places = ", ".join(f":{name}" for name in row)
    session.execute(text(f'INSERT INTO "{table}" ({columns}) VALUES ({places})'), row)


@contextmanager
def refused(reason: str) -> Iterator[Session]:
    """A writing transaction that the schema must refuse for this reason, at the statement or at the commit."""
    with pytest.raises(IntegrityError, match=reason), db.writing() as session:
        yield session


def key(name: str) -> str:
    """What a violated foreign key says; SQLite does not say which."""
    return f"FOREIGN KEY constraint failed|{name}"


REFUSED: dict[str, tuple[str, Row, str]] = {
    # Law 1: every open case has a step, and it is its own and open
    "an open case without a step": ("case", {"promise_id": None}, "ck_case_open_has_a_step"),
    "a closed case with a step": ("case", {**CLOSED, "promise_id": 1}, "ck_case_open_has_a_step"),
    "a case whose step is another case's": ("case", {}, key("fk_case_open_step")),
    "a case whose step does not exist": ("case", {"promise_id": 77}, key("fk_case_open_step")),
    "a case that claims a step of another state": ("case", {"step_state": "kept"}, "ck_case_step_is_open"),
    "a received entry without a date": ("case", {**RECEIVED, "check_by_at": None}, "ck_case_received_has_a_date"),
    "an open case with a check-by date": ("case", {"check_by_at": LATER}, "ck_case_received_has_a_date"),
    # Cases
    "an open case without an owner": ("case", {"owner_id": None}, "ck_case_has_an_owner"),
    "a closed case without an owner": ("case", {**CLOSED, "owner_id": None}, "ck_case_has_an_owner"),
    "a closed case without an outcome": ("case", {**CLOSED, "outcome": None}, "ck_case_closed_says_how"),
    "a closed case without a closing time": ("case", {**CLOSED, "closed_at": None}, "ck_case_closed_says_how"),
    "a closed case without a time to reopen": ("case", {**CLOSED, "reopen_until": None}, "ck_case_closed_says_how"),
    "a closed case without a date of erasure": ("case", {**CLOSED, "erase_on": None}, "ck_case_closed_says_how"),
    "a case with fewer than no notices": ("case", {"notices": -1}, "ck_case_notices"),
    "a case in an unknown state": ("case", {**CLOSED, "state": "asleep"}, "ck_case_casestate"),
    "a case with an unknown outcome": ("case", {**CLOSED, "outcome": "sold"}, "ck_case_outcome"),
    "a case routed by the unknown": ("case", {"routed_by": "dice"}, "ck_case_routedby"),
    "a case of no customer": ("case", {**CLOSED, "customer_id": 77}, key("fk_case_customer_id")),
    "a case that continues none": ("case", {**CLOSED, "continues_id": 77}, key("fk_case_continues_id")),
    "two cases with one reference": (
        "case",
        {**CLOSED, "reference": CASE["reference"]},
        r"uq_case_reference|case\.reference",
    ),
    "two cases with one status link": ("case", {**CLOSED, "link_nonce": "one"}, r"uq_case_link_nonce|case\.link_nonce"),
    # Promises
    "a second open promise of a kind": (
        "promise",
        {"state": "open", "ended_at": None},
        r"uq_promise_open_kind|promise\.case_id, promise\.kind",
    ),
    "a promise due at its notice": ("promise", {"due_at": NOON}, "ck_promise_notice_between"),
    "a promise given at its notice": ("promise", {"given_at": NOON}, "ck_promise_notice_between"),
    "an open promise that has ended": ("promise", {"kind": "call", "state": "open"}, "ck_promise_ended"),
    "a kept promise without an end": ("promise", {"ended_at": None}, "ck_promise_ended"),
    "a promise of an unknown kind": ("promise", {"kind": "gift"}, "ck_promise_promisekind"),
    "a promise by an unknown medium": ("promise", {"medium": "fax"}, "ck_promise_medium"),
    "a promise in an unknown state": ("promise", {"state": "lapsed"}, "ck_promise_promisestate"),
    "a promise of no case": ("promise", {"case_id": 77}, key("fk_promise_case_id")),
    "a promise of nobody": ("promise", {"person_id": 77}, key("fk_promise_person_id")),
    "a promise that replaces none": ("promise", {"replaces_id": 77}, key("fk_promise_replaces_id")),
    "a promise kept by nothing": ("promise", {"kept_by_entry_id": 77}, key("fk_promise_kept_by_entry_id")),
    # Appointments
    "a case with two next steps": ("case", {"appointment_id": 1}, "ck_case_one_step"),
    "a closed case with an appointment": ("case", {**CLOSED, "appointment_id": 1}, "ck_case_open_has_a_step"),
    "a case that claims an appointment of another state": (
        "case",
        {"promise_id": None, "appointment_id": 1, "booking_state": "held"},
        "ck_case_booking_is_booked",
    ),
    "a case whose appointment is another case's": (
        "case",
        {"promise_id": None, "appointment_id": 1},
        key("fk_case_booked_step"),
    ),
    "a second booked appointment of a case": (
        "appointment",
        {"state": "booked", "ended_at": None, "person_id": 2},
        r"uq_appointment_booked|appointment\.case_id",
    ),
    "two appointments of a person at once": (
        "appointment",
        {"state": "booked", "ended_at": None, "case_id": 2},
        "appointment_no_overlap",
    ),
    "two appointments with one UID": (
        "appointment",
        {"uid": APPOINTMENT["uid"]},
        r"uq_appointment_uid|appointment\.uid",
    ),
    "a booked appointment that has ended": (
        "appointment",
        {"state": "booked", "case_id": 2, "person_id": 2},
        "ck_appointment_ended",
    ),
    "a held appointment without an end": ("appointment", {"ended_at": None}, "ck_appointment_ended"),
    "an appointment that ends as it begins": ("appointment", {"ends_at": NOON}, "ck_appointment_order"),
    "an appointment whose buffer begins within it": ("appointment", {"busy_from": LATER}, "ck_appointment_order"),
    "an appointment whose outcome is due before its end": (
        "appointment",
        {"outcome_due_at": NOON},
        "ck_appointment_order",
    ),
    "an appointment that nobody began": ("appointment", {"started_at": NOON}, "ck_appointment_started"),
    "an appointment by letter": ("appointment", {"medium": "letter"}, "ck_appointment_call_or_visit"),
    "an appointment in an unknown state": ("appointment", {"state": "maybe"}, "ck_appointment_appointmentstate"),
    "an appointment of no case": ("appointment", {"case_id": 77}, key("fk_appointment_case_id")),
    "an appointment of nobody": ("appointment", {"person_id": 77}, key("fk_appointment_person_id")),
    "a letter about no appointment": ("letter", {"appointment_id": 77}, key("fk_letter_appointment_id")),
    "a topic that offers letters": ("topic", {"slot_medium": "letter"}, "ck_topic_call_or_visit"),
    "a topic whose appointments take no time": ("topic", {"slot_minutes": 0}, "ck_topic_slot_minutes"),
    # Letters
    "two letters with one key": ("letter", {"key": LETTER["key"]}, r"uq_letter_key|letter\.key"),
    "two letters with one Message-ID": (
        "letter",
        {"message_id": LETTER["message_id"]},
        r"uq_letter_message_id|letter\.message_id",
    ),
    "a letter being sent without a token": ("letter", {"state": "sending"}, "ck_letter_lease"),
    "a queued letter with a token": ("letter", {"lease_token": "t"}, "ck_letter_lease"),
    "a held letter without a reason": ("letter", {"state": "held"}, "ck_letter_hold"),
    "a queued letter with a reason to hold it": ("letter", {"hold_reason": "cap"}, "ck_letter_hold"),
    "a sent letter without an end": ("letter", {"state": "sent"}, "ck_letter_ended"),
    "a queued letter that has ended": ("letter", {"ended_at": NOON}, "ck_letter_ended"),
    "a letter to an unknown audience": ("letter", {"audience": "press"}, "ck_letter_audience"),
    "a letter in an unknown state": ("letter", {"state": "lost"}, "ck_letter_letterstate"),
    "a letter from nobody": ("letter", {"person_id": 77}, key("fk_letter_person_id")),
    # The journal
    "an entry by an unknown channel": ("entry", {"channel": "pigeon"}, "ck_entry_channel"),
    "an entry in an unknown direction": ("entry", {"direction": "up"}, "ck_entry_direction"),
    "an entry by an unknown actor": ("entry", {"actor": "cat"}, "ck_entry_actor"),
    "an entry of no case": ("entry", {"case_id": 77}, key("fk_entry_case_id")),
    "a correction of nothing": ("entry", {"corrects_id": 77}, key("fk_entry_corrects_id")),
    # The company and its people
    "a second company": ("company", {"id": 2}, "ck_company_one_company"),
    "a company without sending hours": ("company", {"sends_until_minute": 420}, "ck_company_sending_hours"),
    "sending hours past midnight": ("company", {"sends_until_minute": 1441}, "ck_company_sending_hours"),
    "two teams of one name": ("team", {"name": TEAM["name"]}, r"uq_team_name|team\.name"),
    "a team led by nobody": ("team", {"lead_id": 77}, key("fk_team_lead_id")),
    "one mailbox for two people": ("person", {"email": PERSON["email"]}, "uq_person_email"),
    "one mailbox for two people, in capitals": ("person", {"email": PERSON["email"].upper()}, "uq_person_email"),
    "one's own deputy": ("person", {"deputy_id": 9}, "ck_person_own_deputy"),
    "somebody who answers without a line": ("person", {"line_e164": None}, "ck_person_answers_with_a_line"),
    "somebody in no team": ("person", {"team_id": 77}, key("fk_person_team_id")),
    "hours of a team and a person": ("hours", {"person_id": 1}, "ck_hours_one_subject"),
    "hours of nobody": ("hours", {"team_id": None}, "ck_hours_one_subject"),
    "hours on an eighth day": ("hours", {"weekday": 7}, "ck_hours_weekday"),
    "hours that end as they begin": ("hours", {"until_minute": 480}, "ck_hours_span"),
    "hours past midnight": ("hours", {"until_minute": 1441}, "ck_hours_span"),
    "an absence that ends as it begins": ("absence", {"ends_at": BEFORE}, "ck_absence_order"),
    "an absence with oneself as deputy": ("absence", {"deputy_id": 1}, "ck_absence_own_deputy"),
    "a closure that ends before it begins": ("closure", {"last_on": "2026-12-23"}, "ck_closure_days"),
    "a closure of an unknown kind": ("closure", {"kind": "nap"}, "ck_closure_closurekind"),
    "two logins of one person": ("login", {"person_id": 1}, r"pk_login|login\.person_id"),
    "a login of an unknown role": ("login", {"role": "king"}, "ck_login_role"),
    # Topics and accounts
    "a level without an update time": ("service_level", {"update_min": 0}, "ck_service_level_positive"),
    "a level without time to remind": ("service_level", {"remind_min": 0}, "ck_service_level_positive"),
    "a level whose notice is due with the answer": (
        "service_level",
        {"notice_min": 480},
        "ck_service_level_notice_before_answer",
    ),
    "two levels of one name": ("service_level", {"name": LEVEL["name"]}, r"uq_service_level_name|service_level\.name"),
    "a topic without retention": ("topic", {"retention_days": 0}, "ck_topic_retention"),
    "a topic by an unknown medium": ("topic", {"medium": "fax"}, "ck_topic_topicmedium"),
    "two topics of one slug": ("topic", {"slug": TOPIC["slug"]}, r"uq_topic_slug|topic\.slug"),
    "a route from high to low": ("route", {"postcode_from": "81000"}, "ck_route_range"),
    "two routes from one postcode": (
        "route",
        {"postcode_from": ROUTE["postcode_from"]},
        r"uq_route_topic_id_postcode_from|route\.topic_id, route\.postcode_from",
    ),
    "an account with a fifth potential": ("account", {"potential": 5}, "ck_account_potential"),
    "two accounts of one number": ("account", {"number": ACCOUNT["number"]}, r"uq_account_number|account\.number"),
    # Submissions and the directory
    "two submissions with one key": ("submission", {"key": SUBMISSION["key"]}, r"pk_submission|submission\.key"),
    "two submissions with one answer": (
        "submission",
        {"answer": SUBMISSION["answer"]},
        r"uq_submission_answer|submission\.answer",
    ),
    "a second revision of the directory": ("directory_revision", {"id": 2}, "ck_directory_revision_one_revision"),
}


@pytest.mark.parametrize(("table", "changes", "reason"), REFUSED.values(), ids=REFUSED)
def test_the_schema_refuses(world: Flask, table: str, changes: Row, reason: str) -> None:
    with refused(reason) as session:
        _insert(session, table, {**NEW[table], **changes})


ENDINGS = {
    "kept": "UPDATE promise SET state = 'kept', ended_at = notice_at WHERE id = 1",
    "moved": "UPDATE promise SET state = 'moved', ended_at = notice_at WHERE id = 1",
    "withdrawn": "UPDATE promise SET state = 'withdrawn', ended_at = notice_at WHERE id = 1",
    "deleted": "DELETE FROM promise WHERE id = 1",
    "given to another case": "UPDATE promise SET case_id = 3 WHERE id = 1",
}


@pytest.mark.parametrize("statement", ENDINGS.values(), ids=ENDINGS)
def test_an_open_cases_step_cannot_end_without_another(world: Flask, statement: str) -> None:
    with refused(key("fk_case_open_step")) as session:
        session.execute(text(statement))


OVERLAPS = {
    "moved into it": "UPDATE appointment SET busy_from = (SELECT busy_from FROM appointment WHERE id = 1), "
    "busy_until = (SELECT busy_until FROM appointment WHERE id = 1), "
    "starts_at = (SELECT starts_at FROM appointment WHERE id = 1), "
    "ends_at = (SELECT ends_at FROM appointment WHERE id = 1) WHERE id = 20",
    "given to the same person": "UPDATE appointment SET person_id = 1 WHERE id = 21",
    "taken up again": "UPDATE appointment SET state = 'booked', ended_at = NULL WHERE id = 22",
}


@pytest.mark.parametrize("statement", OVERLAPS.values(), ids=OVERLAPS)
def test_an_appointment_cannot_come_to_lie_over_another(world: Flask, statement: str) -> None:
    with refused("appointment_no_overlap") as session:
        booked = {**APPOINTMENT, "starts_at": LATER, "busy_from": LATER, "ends_at": LATEST, "busy_until": LATEST}
        for number in (20, 21, 22):
            case = {**NEW["case"], **CLOSED, "id": number, "reference": f"{number}", "link_nonce": f"{number}"}
            _insert(session, "case", case)
        later = {**booked, "outcome_due_at": LATEST}
        _insert(session, "appointment", {**later, "id": 20, "case_id": 20, "uid": "20"})  # begins as the other ends
        _insert(session, "appointment", {**APPOINTMENT, "id": 21, "case_id": 21, "uid": "21", "person_id": 2})
        _insert(session, "appointment", {**NEW["appointment"], "id": 22, "case_id": 22, "uid": "22"})
        session.execute(text(statement))


def test_an_open_cases_appointment_cannot_end_without_another_step(world: Flask) -> None:
    with db.writing() as session:
        case = {**NEW["case"], "id": 40, "reference": "40", "link_nonce": "40", "promise_id": None}
        _insert(session, "case", {**case, "appointment_id": 40})
        _insert(session, "appointment", {**APPOINTMENT, "id": 40, "case_id": 40, "uid": "40", "person_id": 2})

    with refused(key("fk_case_booked_step")) as session:
        session.execute(text("UPDATE appointment SET state = 'held', ended_at = ends_at WHERE id = 40"))


@pytest.mark.parametrize("table", ["person", "team", "topic", "customer", "case"])
def test_what_others_stand_on_cannot_be_deleted(world: Flask, table: str) -> None:
    with refused(key("violates foreign key")) as session:
        session.execute(text(f'DELETE FROM "{table}" WHERE id = 1'))


class TestTheSchemaLetsThrough:
    """What must stay possible; rolled back, so that the world stays as it is."""

    @pytest.fixture
    def session(self, world: Flask) -> Iterator[Session]:
        """A writing transaction that is rolled back."""
        with pytest.raises(_Enough), db.writing() as session:
            yield session
            raise _Enough

    @pytest.mark.parametrize(
        ("table", "changes"),
        [
            ("letter", {}),
            ("letter", {"key": LETTER["key"], "state": "withdrawn", "ended_at": NOON}),
            ("promise", {}),
            ("promise", {"kind": "call", "state": "open", "ended_at": None}),
            ("case", CLOSED),
            ("case", RECEIVED),
            ("case", {**RECEIVED, "state": "spam", "check_by_at": None, "erase_on": "2026-12-24"}),
            ("case", {**RECEIVED, "state": "erased", "check_by_at": None}),
            ("person", {}),
            ("person", {"answers": False, "line_e164": None}),
            ("hours", {"team_id": None, "person_id": 1}),
            ("absence", {"ends_at": None, "deputy_id": None}),
            ("login", {}),
            ("route", {}),
        ],
        ids=lambda value: str(value)[:60],
    )
    def test_a_sound_row(self, session: Session, table: str, changes: Row) -> None:
        _insert(session, table, {**NEW[table], **changes})

    def test_a_second_letter_of_a_key_once_the_first_is_withdrawn(self, session: Session) -> None:
        session.execute(text("UPDATE letter SET state = 'withdrawn', ended_at = queued_at"))

        _insert(session, "letter", {**NEW["letter"], "key": LETTER["key"]})


def test_a_step_can_be_moved_within_one_transaction(world: Flask) -> None:
    with db.writing() as session:
        _insert(session, "case", {**NEW["case"], "id": 30, "reference": "30", "link_nonce": "30", "promise_id": 30})
        _insert(session, "promise", {**PROMISE, "id": 30, "case_id": 30})

    with db.writing() as session:
        session.execute(text("UPDATE promise SET state = 'moved', ended_at = notice_at WHERE id = 30"))
        _insert(session, "promise", {**PROMISE, "id": 31, "case_id": 30, "replaces_id": 30})
        session.execute(text('UPDATE "case" SET promise_id = 31 WHERE id = 30'))

    with db.reading() as session:
        assert session.execute(text('SELECT promise_id FROM "case" WHERE id = 30')).scalar_one() == 31


class _Enough(Exception):
    """Ends a transaction without a commit."""
