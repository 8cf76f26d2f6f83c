"""Agreed times beside what else happens to a case: links, addresses, erasure, "that was not me", other promises."""

from datetime import timedelta
from email import message_from_bytes, policy

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.appointments.models import Appointment, AppointmentState
from portal.cases import (
    addressing,
    agreeing,
    calling,
    erasure_wishes,
    keeping,
    linking,
    on_hold,
    promising,
    renewing,
    staff_view,
    writing,
)
from portal.cases.contacts import Contact
from portal.cases.errors import NotYet, NumberMissing, WasMoved
from portal.cases.models import Case
from portal.cases.promising import NewPromise
from portal.journal.models import Kind
from portal.mail import outbox
from portal.mail.letters import LetterKind
from portal.mail.models import Letter, LetterState
from portal.promises.models import Medium, PromiseKind
from tests.support.agreed import FRIDAY_TEN, THURSDAY_TEN, agreed_case, booked, offer_calls
from tests.support.cast import (
    TUESDAY,
    berlin,
    deliver,
    entries,
    letters,
    open_case,
    promise_of,
    read,
    refused,
    send_form,
    step,
)

NOW = TUESDAY + timedelta(minutes=5)


def method_of(letter: Letter) -> str | None:
    """The method of a letter's calendar part."""
    parts = message_from_bytes(letter.message, policy=policy.SMTP).walk()
    found = [one.get_param("method") for one in parts if one.get_content_type() == "text/calendar"]
    return str(found[0]) if found else None


def renew_all(session: Session) -> None:
    """Whatever is no longer true as it waits is written anew."""
    outdated = outbox.outdated(session, now=NOW)
    while outdated is not None:
        renewing.renew(session, outdated, now=NOW)
        step(session)
        outdated = outbox.outdated(session, now=NOW)


def wish_another_time(session: Session, case: Case, people: dict[str, int]) -> None:
    on_hold.wish(
        session,
        case,
        by_id=people["Miriam Albrecht"],
        contact=Contact.CALL_IN,
        text="Lieber später.",
        version=booked(session, case).version,
        now=NOW,
    )
    step(session)


def test_at_an_old_time_nobody_gets_the_number_however_fresh_the_page(session: Session, people: dict[str, int]) -> None:
    """A reply is promised for before the new time, so the case has a step by which one might call."""
    case = agreed_case(session, starts_at=berlin("2026-11-25 14:00"))
    agreeing.move(session, case, starts_at=FRIDAY_TEN, version=1, by_id=None, now=NOW)
    step(session)
    by_id, version = people["Miriam Albrecht"], case.version

    for minutes in (-30, 0, 29):
        at = berlin("2026-11-25 14:00") + timedelta(minutes=minutes)
        with refused(session, WasMoved):
            calling.start_call(session, case, by_id=by_id, version=version, now=at)

    calling.start_call(session, case, by_id=by_id, version=version, now=berlin("2026-11-25 11:00"))


@pytest.mark.parametrize("how", ["called off", "a hold that lapsed", "another booked instead"])
def test_at_a_time_that_was_called_off_nobody_gets_the_number(
    session: Session, people: dict[str, int], how: str
) -> None:
    """A reply or a follow-up lies ahead, so the case has a step by which one might call at any other hour."""
    case = agreed_case(session)
    if how == "a hold that lapsed":
        wish_another_time(session, case, people)
        on_hold.end(session, case, now=THURSDAY_TEN)
    else:
        agreeing.cancel(session, case, version=1, by_id=None, now=NOW)
    step(session)
    if how == "another booked instead":
        agreeing.book(session, case, starts_at=FRIDAY_TEN, by_id=None, now=NOW)
        step(session)
    keeper, version = people["Miriam Albrecht"], case.version

    for minutes in (0, 29):
        at = THURSDAY_TEN + timedelta(minutes=minutes)
        with refused(session, WasMoved):
            calling.start_call(session, case, by_id=keeper, version=version, now=at)
        assert staff_view.case_file(session, case, language="de", now=at).may_call == frozenset()


def test_an_address_can_be_corrected_after_a_time_was_chosen_with_the_form(session: Session) -> None:
    offer_calls(session)
    submission = send_form(session, slot=THURSDAY_TEN)
    step(session)

    addressing.correct_address(session, submission, "richtig@kunde.example", now=NOW)
    step(session)

    case = session.get_one(Case, submission.case_id)
    (letter,) = [one for one in letters(session, case, LetterKind.CONFIRMATION) if one.state == LetterState.QUEUED]
    assert letter.to_address == "richtig@kunde.example" and method_of(letter) == "REQUEST"


@pytest.mark.parametrize("how", ["moved", "on hold"])
def test_a_replaced_link_loses_no_letter_about_the_time(session: Session, people: dict[str, int], how: str) -> None:
    case = agreed_case(session)
    if how == "moved":
        agreeing.move(session, case, starts_at=FRIDAY_TEN, version=1, by_id=None, now=NOW)
    else:
        wish_another_time(session, case, people)
    step(session)

    linking.replace_link(session, case, now=NOW)
    step(session)
    renew_all(session)

    kind = LetterKind.APPOINTMENT_MOVED if how == "moved" else LetterKind.APPOINTMENT_FROZEN
    (letter,) = [one for one in letters(session, case, kind) if one.state == LetterState.QUEUED]
    assert writing.status_url(case) in read(letter).text
    assert method_of(letter) == ("REQUEST" if how == "moved" else None)


def test_on_hold_we_are_in_touch_soon_whatever_was_promised_for_later(session: Session, people: dict[str, int]) -> None:
    case = agreed_case(session)
    far = NewPromise(PromiseKind.FOLLOW_UP, Medium.MAIL, berlin("2026-12-15 10:00"))
    promising.promise_date(session, case, by_id=people["Miriam Albrecht"], step=far, now=NOW)
    step(session)

    wish_another_time(session, case, people)

    assert promise_of(session, case, PromiseKind.FOLLOW_UP).due_at < THURSDAY_TEN


def test_what_nobody_settled_is_called_off_at_its_time_and_leaves_the_calendar(
    session: Session, people: dict[str, int]
) -> None:
    case = agreed_case(session)
    wish_another_time(session, case, people)
    deliver(session)

    on_hold.end(session, case, now=THURSDAY_TEN)
    step(session)

    assert session.scalars(select(Appointment.state)).one() == AppointmentState.CANCELLED
    (letter,) = letters(session, case, LetterKind.APPOINTMENT_CANCELLED)
    assert method_of(letter) == "CANCEL"


def test_who_did_not_write_to_us_is_not_called_and_whoever_was_to_call_hears_of_it(session: Session) -> None:
    case = agreed_case(session)

    addressing.not_me(session, case, now=NOW)
    step(session)

    assert session.scalars(select(Appointment.state)).one() == AppointmentState.CANCELLED
    assert len(entries(session, case, Kind.APPOINTMENT_CANCELLED)) == 1
    waiting = letters(session, case, LetterKind.STAFF_APPOINTMENT, states=(LetterState.QUEUED,))
    assert [letter.to_address for letter in waiting] == ["m.albrecht@beispielwerke.example"]


def test_whoever_wants_to_be_forgotten_has_no_entry_left_in_their_calendar(session: Session) -> None:
    case = agreed_case(session)
    erasure_wishes.ask(session, case, now=NOW)
    step(session)

    erasure_wishes.confirm(session, case, erasure_wishes.proof(case), now=NOW)
    step(session)

    *_, letter = letters(session, case, LetterKind.ERASURE)
    assert method_of(letter) == "CANCEL"


def test_nobody_agrees_to_call_a_number_that_nobody_knows(session: Session, people: dict[str, int]) -> None:
    offer_calls(session)
    case = open_case(session, phone_e164=None, phone_shown=None)

    with refused(session, NumberMissing):
        agreeing.book(session, case, starts_at=THURSDAY_TEN, by_id=people["Miriam Albrecht"], now=NOW)


def test_nobody_has_held_what_is_days_away(session: Session, people: dict[str, int]) -> None:
    case = agreed_case(session)

    with refused(session, NotYet):
        keeping.say_outcome(
            session,
            case,
            by_id=people["Miriam Albrecht"],
            outcome=keeping.AppointmentOutcome.ANSWERED,
            text="Besprochen.",
            keeps=[],
            step=None,
            visible=True,
            version=1,
            now=NOW,
        )
