"""Erasure: on its date nothing is left of who it was and what was said; kinds and times stay."""

import json
import quopri
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from portal import tables
from portal.cases import addressing, answering, closing, contacts, doubtful, erasing, finding, promising, submissions
from portal.cases.contacts import Contact
from portal.cases.errors import NotOpen
from portal.cases.models import Case, CaseState, Doubt, Outcome
from portal.cases.promising import NewPromise
from portal.customers.models import Account
from portal.journal.models import Kind
from portal.mail.letters import LetterKind
from portal.mail.models import LetterState
from portal.people.models import Company
from portal.promises.models import Medium, PromiseKind
from tests.support.cast import all_promises, berlin, deliver, entries, letters, open_case, refused, step

TEN = berlin("2026-11-24 10:00")
ERASED_AT = berlin("2027-05-26 03:00")
CANARIES = {
    "name": "Zyprian Zitronenfalter",
    "email": "zyprian@zitronenfalter.example",
    "company": "Falterwerke Zitrone",
    "customer_number": "Z-471199",
    "postcode": "80997",
    "message": "Wortlaut der Anfrage mit Kanarienvogel",
    "phone_e164": "+491713920077",
    "phone_shown": "0171 3920077",
}
SAID = [
    "Kanarienvogel in der Antwort",
    "Kanarienvogel in der Notiz",
    "Kanarienvogel im Telefonat",
    "Kanarienvogel vom Kunden",
    "Kanarienvogel der Zusage",
    "Kanarienvogel zum Abschluss",
    "Kanarienvogel im Fehler",
]


def test_nothing_in_any_table_says_who_it_was_or_what_was_said(session: Session) -> None:
    case = a_whole_life(session)
    step(session)
    before = everything(session)

    erasing.erase(session, case, now=ERASED_AT)
    step(session)

    after = everything(session)
    assert [trail for trail in trails() if trail not in before] == []
    assert [trail for trail in trails() if trail in after] == []


def test_the_search_for_trails_reads_mails_too(session: Session) -> None:
    case = a_whole_life(session)

    mails = "".join(in_words(letter.message) for letter in letters(session, case, states=tuple(LetterState)))

    assert SAID[0] in mails
    assert CANARIES["email"] in mails


def test_kinds_and_times_of_the_journal_stay(session: Session) -> None:
    case = a_whole_life(session)
    step(session)
    before = [(entry.kind, entry.at, entry.noted_at, entry.actor, entry.channel) for entry in entries(session, case)]

    erasing.erase(session, case, now=ERASED_AT)
    step(session)

    *after, erased = entries(session, case)
    assert [(entry.kind, entry.at, entry.noted_at, entry.actor, entry.channel) for entry in after] == before
    assert (erased.kind, erased.at, erased.visible) == (Kind.ERASED, ERASED_AT, False)
    assert {(entry.text, json.dumps(entry.facts), entry.erased_at) for entry in after} == {("", "{}", ERASED_AT)}


def test_an_erased_case_keeps_its_reference_and_its_outcome(session: Session) -> None:
    case = a_whole_life(session)
    reference = case.reference

    erasing.erase(session, case, now=ERASED_AT)
    step(session)

    assert finding.by_reference(session, reference) is case
    assert (case.state, case.outcome, case.outcome_text) == (CaseState.ERASED, Outcome.DONE, "")
    assert case.customer.erased_at == ERASED_AT


def test_the_link_of_an_erased_case_opens_nothing(session: Session) -> None:
    case = a_whole_life(session)
    token = finding.status_token(case)

    erasing.erase(session, case, now=TEN)
    step(session)

    assert finding.by_token(session, token, now=TEN) is None


def test_letters_that_wait_are_withdrawn(session: Session) -> None:
    case = closed_case(session)
    assert letters(session, case, states=(LetterState.QUEUED,)) != []

    erasing.erase(session, case, now=ERASED_AT)
    step(session)

    assert letters(session, case, states=(LetterState.QUEUED, LetterState.HELD)) == []


def test_the_rows_of_letters_and_promises_stay_and_say_nothing(session: Session) -> None:
    case = a_whole_life(session)
    counted = (len(letters(session, case, states=tuple(LetterState))), len(all_promises(session, case)))

    erasing.erase(session, case, now=ERASED_AT)
    step(session)

    left = letters(session, case, states=tuple(LetterState))
    assert (len(left), len(all_promises(session, case))) == counted
    assert {(bytes(letter.message), letter.to_address, letter.last_error) for letter in left} == {(b"", "", None)}
    assert {promise.what for promise in all_promises(session, case)} == {""}


def test_the_company_a_customer_belonged_to_stays(session: Session) -> None:
    case = open_case(session, customer_number="K-10042")
    closing.close(session, case, by_id=None, outcome=Outcome.DONE, text="", now=TEN)

    erasing.erase(session, case, now=ERASED_AT)
    step(session)

    assert case.customer.account_id is None
    assert session.scalars(select(Account.name)).all() == ["Krüger Haustechnik"]


def test_the_thank_you_page_is_gone_with_the_case(session: Session) -> None:
    case = open_case(session, key="one", body="body")
    closing.close(session, case, by_id=None, outcome=Outcome.DONE, text="", now=TEN)

    erasing.erase(session, case, now=TEN)
    step(session)

    assert submissions.find(session, "one", "body") is None


def test_other_cases_of_the_same_customer_stay_as_they_are(session: Session) -> None:
    case, other = closed_case(session), open_case(session)
    deliver(session)

    erasing.erase(session, case, now=ERASED_AT)
    step(session)

    assert (other.customer.name, entries(session, other, Kind.RECEIVED)[0].text) == (
        "Sabine Krüger",
        "Wir brauchen 40 Umwälzpumpen.",
    )
    assert letters(session, other, LetterKind.CONFIRMATION)[0].to_address == "s.krueger@haustechnik.example"


def test_a_case_that_continues_an_erased_one_stays(session: Session) -> None:
    case = closed_case(session)
    later = answering.customer_message(session, case, "Noch einmal ich.", now=berlin("2027-01-12 10:00"))
    step(session)

    erasing.erase(session, case, now=ERASED_AT)
    step(session)

    assert (later.continues_id, later.state, later.customer.name) == (case.id, CaseState.OPEN, "Sabine Krüger")


def test_an_open_case_is_not_erased(session: Session) -> None:
    case = open_case(session)

    with refused(session, NotOpen):
        erasing.erase(session, case, now=ERASED_AT)

    assert case.customer.name == "Sabine Krüger"


# --- on which date ---------------------------------------------------------------------------------------------------


def closed_one(session: Session) -> Case:
    return closed_case(session)


def denied_one(session: Session) -> Case:
    case = open_case(session, "lieferung")
    deliver(session)
    addressing.not_me(session, case, now=TEN)
    return case


def discarded_one(session: Session) -> Case:
    entry = open_case(session, "lieferung", doubt=Doubt.HONEYPOT)
    doubtful.discard(session, entry, by_id=session.get_one(Company, 1).front_desk_id, now=TEN)
    return entry


@pytest.mark.parametrize(
    ("make", "day"),
    [(closed_one, date(2027, 5, 26)), (denied_one, date(2026, 12, 1)), (discarded_one, date(2026, 12, 24))],
)
def test_a_case_is_erased_on_its_date_and_not_a_day_before(session: Session, make: Any, day: date) -> None:
    case = make(session)
    deliver(session)

    assert erasing.next_to_erase(session, today=day - timedelta(days=1)) is None
    assert erasing.next_to_erase(session, today=day) is case


def test_what_is_erased_is_not_erased_again(session: Session) -> None:
    case = closed_case(session)
    deliver(session)
    erasing.erase(session, case, now=ERASED_AT)
    step(session)

    assert erasing.next_to_erase(session, today=date(2040, 1, 1)) is None


def test_an_open_case_and_one_in_doubt_have_no_date(session: Session) -> None:
    open_case(session)
    open_case(session, doubt=Doubt.TOO_FAST)

    assert erasing.next_to_erase(session, today=date(2040, 1, 1)) is None


def test_a_reopened_case_is_not_erased(session: Session) -> None:
    case = closed_case(session)
    closing.reopen(session, case, by_id=None, text="", now=TEN)
    step(session)

    assert erasing.next_to_erase(session, today=date(2040, 1, 1)) is None


def test_while_a_letter_is_on_its_way_the_case_waits(session: Session) -> None:
    case = closed_case(session)
    letter = letters(session, case, LetterKind.CLOSED)[0]
    letter.state, letter.lease_token = LetterState.SENDING, "token"
    step(session)
    assert erasing.next_to_erase(session, today=date(2040, 1, 1)) is None

    letter.state, letter.lease_token, letter.ended_at = LetterState.SENT, None, TEN
    step(session)

    assert erasing.next_to_erase(session, today=date(2040, 1, 1)) is case


def test_the_case_whose_date_came_first_is_erased_first(session: Session) -> None:
    later = closed_case(session)
    sooner = denied_one(session)
    deliver(session)

    assert later.erase_on is not None
    assert erasing.next_to_erase(session, today=date(2040, 1, 1)) is sooner


# --- helpers ---------------------------------------------------------------------------------------------------------


def closed_case(session: Session) -> Case:
    """A case about a delivery, closed on Tuesday at ten; its last letter waits."""
    case = open_case(session, "lieferung")
    deliver(session)
    closing.close(session, case, by_id=case.owner_id, outcome=Outcome.DONE, text="", now=TEN)
    step(session)
    return case


def a_whole_life(session: Session) -> Case:
    """A case in which everything that can hold words holds some, in every table that knows of it."""
    case = open_case(session, "lieferung", **CANARIES)
    owner_id = case.owner_id
    answering.reply(session, case, by_id=owner_id, text=SAID[0], keeps=(), step=None, now=TEN)
    contacts.note(session, case, by_id=owner_id, text=SAID[1], now=TEN)
    contacts.log_contact(
        session,
        case,
        by_id=owner_id,
        contact=Contact.CALL_REACHED,
        text=SAID[2],
        at=TEN,
        keeps=(),
        step=None,
        visible=True,
        now=TEN,
    )
    answering.customer_message(session, case, SAID[3], now=TEN)
    result = NewPromise(PromiseKind.RESULT, Medium.MAIL, berlin("2026-11-27 12:00"), SAID[4])
    promising.promise_date(session, case, by_id=owner_id, step=result, now=TEN)
    deliver(session)
    failed = letters(session, case, LetterKind.CONFIRMATION)[0]
    failed.state, failed.last_error = LetterState.FAILED, f"550 <{CANARIES['email']}> {SAID[6]}"
    closing.close(session, case, by_id=owner_id, outcome=Outcome.DONE, text=SAID[5], now=TEN)
    session.flush()
    return case


def trails() -> list[str]:
    """Everything that must be gone."""
    return [*CANARIES.values(), *SAID, "zyprian@", "Zitronenfalter"]


def everything(session: Session) -> str:
    """Every value of every row of every table, mails decoded."""
    rows = [row for table in tables.metadata.sorted_tables for row in session.execute(select(table))]
    return "\n".join(in_words(value) for row in rows for value in row)


def in_words(value: object) -> str:
    if isinstance(value, bytes):
        return quopri.decodestring(value).decode("utf-8")
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)
