"""Addressing: a mistyped address is corrected once; "Das war ich nicht" ends all letters."""

from datetime import date, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.cases import addressing, answering, calling, contacts, doubtful, finding, timeline
from portal.cases.errors import AlreadyCorrected, NotOpen
from portal.cases.models import Case, CaseState, Doubt, RoutedBy, Submission
from portal.journal.models import Kind
from portal.mail.letters import LetterKind
from portal.mail.models import Audience
from portal.promises.models import PromiseKind, PromiseState
from tests.support.cast import (
    TUESDAY,
    all_promises,
    berlin,
    deliver,
    entries,
    kinds_of,
    letters,
    link_in,
    open_case,
    promise_of,
    read,
    refused,
    send_form,
    step,
)
from tests.support.deeds import TEN, close, closed_case, delivered_case

# --- the address -----------------------------------------------------------------------------------------------------


def test_a_corrected_address_gets_the_confirmation_and_a_link_of_its_own(session: Session) -> None:
    submission, case = sent_form(session)
    old = finding.status_token(case)

    addressing.correct_address(session, submission, "sabine@haustechnik.example", now=TUESDAY + timedelta(minutes=5))
    step(session)

    (letter,) = letters(session, case, audience=Audience.CUSTOMER)
    assert (letter.kind, letter.to_address) == (LetterKind.CONFIRMATION, "sabine@haustechnik.example")
    assert finding.by_token(session, old, now=TEN) is None
    assert finding.by_token(session, link_in(letter), now=TEN) is not None
    assert case.customer.email_key == "sabine@haustechnik.example"


def test_what_the_wrong_mailbox_already_has_opens_nothing_any_more(session: Session) -> None:
    submission, case = sent_form(session)
    (letter,) = letters(session, case, LetterKind.CONFIRMATION)
    deliver(session)

    addressing.correct_address(session, submission, "sabine@haustechnik.example", now=TUESDAY + timedelta(minutes=5))
    step(session)

    assert finding.by_token(session, link_in(letter), now=TEN) is None
    assert len(letters(session, case, LetterKind.CONFIRMATION)) == 2


def test_the_letter_to_the_colleague_stays(session: Session) -> None:
    submission, case = sent_form(session)

    addressing.correct_address(session, submission, "sabine@haustechnik.example", now=TUESDAY)
    step(session)

    assert kinds_of(letters(session, case, audience=Audience.STAFF)) == [LetterKind.STAFF_NEW_CASE]


def test_the_address_can_be_corrected_once(session: Session) -> None:
    submission, case = sent_form(session)
    addressing.correct_address(session, submission, "sabine@haustechnik.example", now=TUESDAY)
    step(session)

    with refused(session, AlreadyCorrected):
        addressing.correct_address(session, submission, "third@haustechnik.example", now=TUESDAY)

    assert case.customer.email == "sabine@haustechnik.example"


def test_the_address_can_be_corrected_for_fifteen_minutes(session: Session) -> None:
    in_time, _ = sent_form(session)
    too_late, _ = sent_form(session)
    end = TUESDAY + timedelta(minutes=15)

    addressing.correct_address(session, in_time, "sabine@haustechnik.example", now=end)
    with refused(session, AlreadyCorrected):
        addressing.correct_address(session, too_late, "sabine@haustechnik.example", now=end + timedelta(seconds=1))


def noting(session: Session, case: Case) -> None:
    contacts.note(session, case, by_id=case.owner_id, text="gesehen", now=TUESDAY)


def dialling(session: Session, case: Case) -> None:
    calling.start_call(session, case, by_id=case.owner_id, version=case.version, now=TUESDAY)


def answering_it(session: Session, case: Case) -> None:
    answering.reply(session, case, by_id=case.owner_id, text="Ja.", keeps=(), step=None, now=TUESDAY)


def writing_more(session: Session, case: Case) -> None:
    answering.customer_message(session, case, "Noch etwas.", now=TUESDAY)


def closing_it(session: Session, case: Case) -> None:
    close(session, case, by_customer=True, at=TUESDAY)


def denying_it(session: Session, case: Case) -> None:
    addressing.not_me(session, case, now=TUESDAY)


@pytest.mark.parametrize("act", [noting, dialling, answering_it, writing_more, closing_it, denying_it])
def test_the_address_stays_once_anybody_acted_on_the_case(session: Session, act: object) -> None:
    assert callable(act)
    submission, case = sent_form(session)
    act(session, case)
    step(session)

    with refused(session, AlreadyCorrected):
        addressing.correct_address(session, submission, "third@haustechnik.example", now=TUESDAY)

    assert case.customer.email == "s.krueger@haustechnik.example"


STRANGER, ACQUAINTANCE = "stranger@elsewhere.example", "known@haustechnik.example"


def known_to(session: Session, people: dict[str, int], name: str = "Jonas Weidner") -> None:
    """A mailbox that has a case with this person already."""
    earlier = open_case(session, email=ACQUAINTANCE)
    earlier.owner_id = people[name]
    deliver(session)


def test_a_stranger_for_whom_a_known_mailbox_was_typed_gets_a_person_of_their_own(
    session: Session, people: dict[str, int]
) -> None:
    known_to(session, people)
    submission, case = sent_form(session, email=ACQUAINTANCE)
    assert (case.owner_id, case.routed_by) == (people["Jonas Weidner"], RoutedBy.KNOWN)
    due_at, version = promise_of(session, case, PromiseKind.REPLY).due_at, case.version

    addressing.correct_address(session, submission, STRANGER, now=TUESDAY)
    step(session)

    promise = promise_of(session, case, PromiseKind.REPLY)
    assert (case.owner_id, case.routed_by) == (people["Miriam Albrecht"], RoutedBy.TOPIC)
    assert (promise.person_id, promise.due_at, case.promise_id) == (case.owner_id, due_at, promise.id)
    assert case.version > version
    mail = read(letters(session, case, LetterKind.CONFIRMATION)[0])
    assert "Miriam Albrecht" in mail.everything
    assert "Weidner" not in mail.everything
    (to_staff,) = letters(session, case, LetterKind.STAFF_NEW_CASE)
    assert to_staff.to_address == "m.albrecht@beispielwerke.example"
    first, second = entries(session, case, Kind.OPENED)
    assert (second.person_id, second.facts["name"], second.corrects_id) == (case.owner_id, "Miriam Albrecht", first.id)


def test_the_page_of_a_stranger_does_not_name_whom_the_known_mailbox_had(
    session: Session, people: dict[str, int]
) -> None:
    known_to(session, people)
    submission, case = sent_form(session, email=ACQUAINTANCE)

    addressing.correct_address(session, submission, STRANGER, now=TUESDAY)
    step(session)

    assert "Weidner" not in str(timeline.status_of(session, case, now=TUESDAY))


def test_a_mistyped_mailbox_that_turns_out_to_be_known_gets_its_person(
    session: Session, people: dict[str, int]
) -> None:
    known_to(session, people, "Petra Lindner")
    submission, case = sent_form(session, email=STRANGER)
    assert case.routed_by == RoutedBy.TOPIC

    addressing.correct_address(session, submission, ACQUAINTANCE, now=TUESDAY)
    step(session)

    assert (case.owner_id, case.routed_by) == (people["Petra Lindner"], RoutedBy.KNOWN)
    assert promise_of(session, case, PromiseKind.REPLY).person_id == people["Petra Lindner"]
    assert "Petra Lindner" in read(letters(session, case, LetterKind.CONFIRMATION)[0]).everything


def test_a_stranger_keeps_the_person_the_topic_named_when_the_address_is_corrected(session: Session) -> None:
    submission, case = sent_form(session, email=STRANGER)
    before = case.owner_id
    open_case(session, email="other@elsewhere.example").owner_id = before  # now somebody else has fewer cases
    step(session)

    addressing.correct_address(session, submission, f"right.{STRANGER}", now=TUESDAY)
    step(session)

    assert (case.owner_id, case.routed_by) == (before, RoutedBy.TOPIC)
    assert len(entries(session, case, Kind.OPENED)) == 1


def test_the_same_mailbox_written_otherwise_keeps_its_person(session: Session, people: dict[str, int]) -> None:
    known_to(session, people)
    submission, case = sent_form(session, email=ACQUAINTANCE)

    addressing.correct_address(session, submission, ACQUAINTANCE.upper(), now=TUESDAY)
    step(session)

    assert (case.owner_id, case.routed_by) == (people["Jonas Weidner"], RoutedBy.KNOWN)


def test_an_account_keeps_its_manager_whatever_the_mailbox(session: Session, people: dict[str, int]) -> None:
    known_to(session, people, "Petra Lindner")
    submission, case = sent_form(session, email=STRANGER, customer_number="K-10042")
    assert case.routed_by == RoutedBy.ACCOUNT

    addressing.correct_address(session, submission, ACQUAINTANCE, now=TUESDAY)
    step(session)

    assert (case.owner_id, case.routed_by) == (people["Jonas Weidner"], RoutedBy.ACCOUNT)


def test_a_doubtful_entry_gets_the_right_address_and_still_no_letter(session: Session) -> None:
    submission, entry = sent_form(session, doubt=Doubt.TOO_FAST)

    addressing.correct_address(session, submission, "sabine@haustechnik.example", now=TUESDAY)
    step(session)

    assert entry.customer.email == "sabine@haustechnik.example"
    assert letters(session, entry, audience=Audience.CUSTOMER) == []


# --- "Das war ich nicht" ---------------------------------------------------------------------------------------------


def test_whoever_did_not_write_gets_no_further_letter(session: Session) -> None:
    case = open_case(session)
    answering.reply(session, case, by_id=case.owner_id, text="Ja.", keeps=(), step=None, now=TEN)

    addressing.not_me(session, case, now=TEN)
    step(session)

    assert letters(session, case, audience=Audience.CUSTOMER) == []


def test_letters_to_staff_about_a_denied_case_are_overtaken(session: Session) -> None:
    case = open_case(session)

    addressing.not_me(session, case, now=TEN)
    step(session)

    assert kinds_of(letters(session, case)) == [LetterKind.STAFF_NOT_ME]


def test_a_denied_case_waits_for_staff_with_a_date_and_is_erased_on_another(session: Session) -> None:
    case = delivered_case(session)

    addressing.not_me(session, case, now=TEN)
    step(session)

    assert (case.state, case.doubt, case.promise_id) == (CaseState.RECEIVED, Doubt.NOT_ME, None)
    assert case.check_by_at == berlin("2026-11-25 09:00")
    assert case.erase_on == date(2026, 12, 1)
    assert [promise.state for promise in all_promises(session, case)] == [PromiseState.WITHDRAWN]


def test_the_page_of_a_denied_case_says_when_it_is_looked_at_and_erased(session: Session) -> None:
    case = delivered_case(session)
    addressing.not_me(session, case, now=TEN)
    step(session)

    status = timeline.status_of(session, case, now=TEN)

    assert (status.not_me, status.can) == (True, frozenset())
    assert (status.check_by, status.erase_on) == ("Mittwoch, 25. November, 9 Uhr", date(2026, 12, 1))
    assert status.person.name == "Miriam Albrecht"


def test_staff_are_told_of_a_denied_case_with_both_dates(session: Session) -> None:
    case = delivered_case(session)

    addressing.not_me(session, case, now=TEN)

    (letter,) = letters(session, case, LetterKind.STAFF_NOT_ME)
    mail = read(letter)
    assert letter.to_address == "m.albrecht@beispielwerke.example"
    assert "Mittwoch, 25. November, 9 Uhr" in mail.text
    assert "Dienstag, 1. Dezember" in mail.text


def test_a_closed_case_can_be_denied(session: Session) -> None:
    case = closed_case(session)

    addressing.not_me(session, case, now=TEN)
    step(session)

    assert (case.state, case.closed_at, case.reopen_until) == (CaseState.RECEIVED, None, None)


def test_what_is_no_case_cannot_be_denied(session: Session) -> None:
    case = delivered_case(session)
    addressing.not_me(session, case, now=TEN)
    step(session)

    with refused(session, NotOpen):
        addressing.not_me(session, case, now=TEN)

    assert len(entries(session, case, Kind.NOT_ME)) == 1


def test_staff_can_take_a_denial_back(session: Session) -> None:
    case = delivered_case(session)
    addressing.not_me(session, case, now=TEN)
    step(session)

    doubtful.release(session, case, by_id=case.owner_id, now=berlin("2026-11-25 10:00"))
    step(session)

    assert (case.state, case.doubt, case.check_by_at, case.erase_on) == (CaseState.OPEN, None, None, None)
    assert promise_of(session, case, PromiseKind.REPLY).due_at == berlin("2026-11-26 17:00")
    assert entries(session, case, Kind.NOT_ME_UNDONE)[0].visible is True


def test_a_denied_entry_that_staff_discard_keeps_its_date_of_erasure(session: Session) -> None:
    case = delivered_case(session)
    addressing.not_me(session, case, now=TEN)
    step(session)

    doubtful.discard(session, case, by_id=case.owner_id, now=TEN)
    step(session)

    assert (case.state, case.erase_on) == (CaseState.SPAM, date(2026, 12, 1))


# --- helpers ---------------------------------------------------------------------------------------------------------


def sent_form(session: Session, doubt: Doubt | None = None, **changes: str) -> tuple[Submission, Case]:
    submission = send_form(session, doubt=doubt, **changes)
    step(session)
    return submission, session.scalars(select(Case).where(Case.id == submission.case_id)).one()
