"""When a letter dies: the case shows it, somebody has a dated task, and nothing it closed stays closed."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from portal.cases import addressing, answering, closing, contacts, promising, undelivered
from portal.cases.contacts import Contact
from portal.cases.models import Case, CaseState, Doubt, Outcome
from portal.cases.promising import NewPromise
from portal.journal.models import Kind
from portal.mail.letters import LetterKind
from portal.mail.models import Audience, Letter, LetterState
from portal.promises.models import Medium, PromiseKind, PromiseState
from tests.support.cast import (
    NUMBER_SHOWN,
    all_promises,
    away,
    berlin,
    deliver,
    entries,
    kinds_of,
    letters,
    open_case,
    open_promises,
    promise_of,
    read,
    step,
)

TEN = berlin("2026-11-24 10:00")
MONDAY_NOON = berlin("2026-11-30 12:00")
NO_NUMBER = {"phone_e164": None, "phone_shown": None}


def test_a_dead_letter_leaves_a_call_within_the_time_between_updates(session: Session) -> None:
    case = open_case(session)

    die(session, case, LetterKind.CONFIRMATION)

    call = promise_of(session, case, PromiseKind.CALL)
    assert (call.medium, call.person_id, call.due_at) == (Medium.CALL, case.owner_id, berlin("2026-11-25 17:00"))
    assert call.given_by_id is None


def test_the_call_becomes_the_next_step_if_it_is_the_earliest(session: Session) -> None:
    case = with_result_only(session)

    die(session, case, LetterKind.REPLY)

    assert case.promise is not None
    assert case.promise.kind == PromiseKind.CALL


def test_without_a_number_a_dead_letter_leaves_a_reply(session: Session) -> None:
    case = with_result_only(session, **NO_NUMBER)

    die(session, case, LetterKind.REPLY)

    left = promise_of(session, case, PromiseKind.REPLY)
    assert (left.medium, left.due_at) == (Medium.MAIL, berlin("2026-11-25 17:00"))


def test_a_call_that_is_promised_already_is_not_promised_twice(session: Session) -> None:
    case = open_case(session, "rueckruf")
    before = case.promise_id

    die(session, case, LetterKind.CONFIRMATION)

    assert (case.promise_id, len(all_promises(session, case))) == (before, 1)


def test_a_call_that_is_promised_for_later_is_brought_forward(session: Session) -> None:
    case = open_case(session)
    later = NewPromise(PromiseKind.CALL, Medium.CALL, berlin("2026-12-21 11:00"))
    promising.promise_date(session, case, by_id=case.owner_id or 0, step=later, now=TEN)
    step(session)

    die(session, case, LetterKind.CONFIRMATION)

    assert promise_of(session, case, PromiseKind.CALL).due_at == berlin("2026-11-25 17:00")
    assert case.notices == 0


def test_a_call_that_has_lapsed_gets_a_date_ahead_and_the_journal_says_so(session: Session) -> None:
    case = open_case(session, "rueckruf")
    late = berlin("2026-11-24 16:00")

    die(session, case, LetterKind.CONFIRMATION, at=late)

    old, new = all_promises(session, case)
    assert (old.state, new.state, new.first_due_at) == (PromiseState.MOVED, PromiseState.OPEN, old.due_at)
    assert new.due_at > late
    (moved,) = entries(session, case, Kind.PROMISE_MOVED)
    assert moved.facts["due_at"] == new.due_at.isoformat()


def test_a_new_call_is_in_the_journal_for_the_customer_to_see(session: Session) -> None:
    case = open_case(session)

    die(session, case, LetterKind.CONFIRMATION)

    (given,) = entries(session, case, Kind.PROMISE_GIVEN)
    assert (given.facts["kind"], given.visible) == (PromiseKind.CALL, True)


def test_the_death_of_a_letter_is_in_the_journal_for_colleagues(session: Session) -> None:
    case = open_case(session)

    die(session, case, LetterKind.CONFIRMATION)

    (failed,) = entries(session, case, Kind.LETTER_FAILED)
    assert (failed.facts, failed.visible) == ({"letter": LetterKind.CONFIRMATION}, False)


def test_a_kept_promise_stays_kept_when_its_letter_dies(session: Session) -> None:
    case = with_result_only(session)

    die(session, case, LetterKind.REPLY)

    assert [promise.state for promise in all_promises(session, case)] == [
        PromiseState.KEPT,
        PromiseState.OPEN,
        PromiseState.OPEN,
    ]


@pytest.mark.parametrize("kind", [LetterKind.CLOSED, LetterKind.REPLY])
def test_a_case_that_a_dead_letter_closed_is_open_again_with_a_call(session: Session, kind: LetterKind) -> None:
    case = closed_after_an_answer(session)

    die(session, case, kind)

    assert (case.state, case.closed_at, case.erase_on) == (CaseState.OPEN, None, None)
    assert [promise.kind for promise in open_promises(session, case)] == [PromiseKind.CALL]


@pytest.mark.parametrize("kind", [LetterKind.CLOSED, LetterKind.REPLY])
def test_a_case_that_its_customer_closed_stays_closed_when_a_letter_dies(session: Session, kind: LetterKind) -> None:
    case = with_result_only(session)
    closing.close(session, case, by_id=None, outcome=Outcome.WITHDRAWN, text="", now=TEN)
    step(session)

    die(session, case, kind)

    assert (case.state, open_promises(session, case)) == (CaseState.CLOSED, [])
    assert len(entries(session, case, Kind.LETTER_FAILED)) == 1
    assert letters(session, case, LetterKind.STAFF_UNDELIVERABLE) == []


def test_the_last_closing_says_who_closed_the_case(session: Session) -> None:
    case = with_result_only(session)
    closing.close(session, case, by_id=None, outcome=Outcome.WITHDRAWN, text="", now=TEN)
    closing.reopen(session, case, by_id=case.owner_id, text="", now=TEN)
    closing.close(session, case, by_id=case.owner_id, outcome=Outcome.DONE, text="", now=TEN)
    step(session)

    die(session, case, LetterKind.CLOSED)

    assert case.state == CaseState.OPEN


def test_the_letter_that_waits_to_say_it_is_closed_is_taken_back(session: Session) -> None:
    case = closed_after_an_answer(session)

    die(session, case, LetterKind.REPLY)

    assert letters(session, case, LetterKind.CLOSED) == []


def test_unsent_letters_that_name_the_lapsed_call_are_taken_back(session: Session) -> None:
    case = open_case(session, "rueckruf")

    die(session, case, LetterKind.CONFIRMATION, at=berlin("2026-11-24 16:00"))

    assert kinds_of(letters(session, case)) == [LetterKind.STAFF_UNDELIVERABLE]


def test_a_case_without_a_number_that_a_dead_letter_closed_is_open_again_with_a_reply(session: Session) -> None:
    case = closed_after_an_answer(session, **NO_NUMBER)

    die(session, case, LetterKind.CLOSED)

    assert [promise.kind for promise in open_promises(session, case)] == [PromiseKind.REPLY]


def test_a_closed_case_stays_closed_when_another_letter_dies(session: Session) -> None:
    case = closed_after_an_answer(session)

    die(session, case, LetterKind.CONFIRMATION)

    assert (case.state, open_promises(session, case)) == (CaseState.CLOSED, [])
    assert len(entries(session, case, Kind.LETTER_FAILED)) == 1


def test_a_dead_letter_to_staff_changes_nothing(session: Session) -> None:
    case = open_case(session)
    version, journal = case.version, len(entries(session, case))

    die(session, case, LetterKind.STAFF_NEW_CASE)

    assert (case.version, len(entries(session, case))) == (version, journal)
    assert len(open_promises(session, case)) == 1


def test_a_dead_letter_to_staff_about_an_entry_in_doubt_changes_nothing(session: Session) -> None:
    entry = open_case(session, doubt=Doubt.HONEYPOT)

    die(session, entry, LetterKind.STAFF_DOUBTFUL)

    assert (entry.state, entries(session, entry, Kind.LETTER_FAILED)) == (CaseState.RECEIVED, [])


def test_a_letter_of_a_denied_case_that_dies_promises_nothing(session: Session) -> None:
    case = open_case(session)
    deliver(session)
    addressing.not_me(session, case, now=TEN)
    step(session)

    die(session, case, LetterKind.CONFIRMATION)

    assert (case.state, open_promises(session, case)) == (CaseState.RECEIVED, [])


def test_the_person_is_told_what_died_why_and_by_when_to_call(session: Session) -> None:
    case = open_case(session)

    die(session, case, LetterKind.CONFIRMATION)

    (letter,) = letters(session, case, LetterKind.STAFF_UNDELIVERABLE)
    mail = read(letter)
    assert letter.to_address == "m.albrecht@beispielwerke.example"
    assert "„Eingangsbestätigung“ an Sabine Krüger ist nicht angekommen." in mail.text
    assert "nimmt die Adresse oder die E-Mail endgültig nicht an" in mail.text
    assert "Anruf zugesagt bis Mittwoch, 25. November, 17 Uhr." in mail.text
    assert NUMBER_SHOWN not in mail.everything


def test_a_letter_that_was_tried_for_two_days_says_so(session: Session) -> None:
    case = open_case(session)
    letter = letters(session, case, LetterKind.CONFIRMATION)[0]
    letter.give_up_at = TEN

    die(session, case, LetterKind.CONFIRMATION)

    assert "48 Stunden" in read(letters(session, case, LetterKind.STAFF_UNDELIVERABLE)[0]).text


def test_a_letter_that_was_put_off_and_then_refused_does_not_speak_of_two_days(session: Session) -> None:
    case = open_case(session)
    letter = letters(session, case, LetterKind.CONFIRMATION)[0]
    letter.give_up_at = TEN + timedelta(seconds=1)

    die(session, case, LetterKind.CONFIRMATION)

    told = read(letters(session, case, LetterKind.STAFF_UNDELIVERABLE)[0]).text
    assert "nimmt die Adresse oder die E-Mail endgültig nicht an" in told
    assert "48 Stunden" not in told


def test_the_deputy_is_told_while_the_person_is_away(session: Session, people: dict[str, int]) -> None:
    case = open_case(session)
    away(session, people["Miriam Albrecht"], since=berlin("2026-11-24 09:30"))
    step(session)

    die(session, case, LetterKind.CONFIRMATION)

    assert letters(session, case, LetterKind.STAFF_UNDELIVERABLE)[0].to_address == "j.weidner@beispielwerke.example"


def test_each_dead_letter_is_told_once(session: Session) -> None:
    case = open_case(session)
    answering.customer_message(session, case, "Noch etwas.", now=TEN)
    step(session)

    die(session, case, LetterKind.CONFIRMATION)
    die(session, case, LetterKind.MESSAGE_RECEIVED)

    assert len(letters(session, case, LetterKind.STAFF_UNDELIVERABLE)) == 2
    assert len(open_promises(session, case)) == 2


def test_the_call_that_a_dead_letter_left_is_kept_like_any_other(session: Session) -> None:
    case = open_case(session)
    die(session, case, LetterKind.CONFIRMATION)
    call = promise_of(session, case, PromiseKind.CALL)

    contacts.log_contact(
        session,
        case,
        by_id=case.owner_id,
        contact=Contact.CALL_REACHED,
        text="",
        at=TEN,
        keeps={call.id},
        step=None,
        visible=True,
        now=TEN,
    )
    step(session)

    assert call.state == PromiseState.KEPT
    assert kinds_of(letters(session, case, LetterKind.STAFF_UNDELIVERABLE)) == []


@pytest.mark.parametrize("contact", [Contact.CALL_REACHED, Contact.CALL_IN, Contact.CALL_NOT_REACHED])
def test_whom_no_letter_reaches_is_called_once_and_not_for_ever(session: Session, contact: Contact) -> None:
    """A letter about what was agreed on the phone would die, too, and leave one more call."""
    case = open_case(session)
    die(session, case, LetterKind.CONFIRMATION)
    call = promise_of(session, case, PromiseKind.CALL)
    before = len(letters(session, case, audience=Audience.CUSTOMER))

    contacts.log_contact(
        session,
        case,
        by_id=case.owner_id or 0,
        contact=contact,
        text="Besprochen.",
        at=TEN,
        keeps={call.id} if contact == Contact.CALL_REACHED else frozenset(),
        step=NewPromise(PromiseKind.RESULT, Medium.MAIL, MONDAY_NOON),
        visible=True,
        now=TEN,
    )
    step(session)

    assert len(letters(session, case, audience=Audience.CUSTOMER)) == before


def test_a_case_closed_after_the_talk_stays_closed_although_no_letter_says_so(session: Session) -> None:
    case = open_case(session)
    die(session, case, LetterKind.CONFIRMATION)
    call = promise_of(session, case, PromiseKind.CALL)
    contacts.log_contact(
        session,
        case,
        by_id=case.owner_id or 0,
        contact=Contact.CALL_REACHED,
        text="Alles geklärt.",
        at=TEN,
        keeps={call.id},
        step=None,
        visible=True,
        now=TEN,
    )
    closing.close(session, case, by_id=case.owner_id, outcome=Outcome.DONE, text="Geklärt.", now=TEN)
    step(session)

    assert case.state == CaseState.CLOSED
    assert letters(session, case, LetterKind.CLOSED) == []


def test_a_closing_nobody_spoke_of_is_written_and_its_death_reopens_the_case(session: Session) -> None:
    case = open_case(session)
    die(session, case, LetterKind.CONFIRMATION)
    closing.close(session, case, by_id=case.owner_id, outcome=Outcome.DONE, text="Geklärt.", now=TEN)
    step(session)

    die(session, case, LetterKind.CLOSED)

    assert case.state == CaseState.OPEN


def die(session: Session, case: Case, kind: LetterKind, *, at: datetime = TEN) -> None:
    """The letter of a kind will not arrive, as the worker notes it."""
    letter: Letter = letters(session, case, kind)[-1]
    letter.state, letter.ended_at, letter.lease_token = LetterState.FAILED, at, None
    session.flush()
    undelivered.letter_died(session, letter.id, now=at)
    step(session)


def with_result_only(session: Session, **changes: None) -> Case:
    """A case whose reply was kept by an answer and that waits for a result on Monday."""
    case = open_case(session, **changes)
    deliver(session)
    assert case.promise_id is not None
    answering.reply(
        session,
        case,
        by_id=case.owner_id,
        text="Der Preis folgt.",
        keeps={case.promise_id},
        step=NewPromise(PromiseKind.RESULT, Medium.MAIL, MONDAY_NOON),
        now=TEN,
    )
    step(session)
    return case


def closed_after_an_answer(session: Session, **changes: None) -> Case:
    """A case that was answered and closed in one go."""
    case = with_result_only(session, **changes)
    closing.close(session, case, by_id=case.owner_id, outcome=Outcome.DONE, text="", now=TEN)
    step(session)
    return case
