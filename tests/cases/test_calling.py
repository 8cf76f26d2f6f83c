"""Calling: the customer's number, for whom and when, and an agreed call that is begun (law 3)."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from portal.cases import agreeing, calling, on_hold, passing, replacing
from portal.cases import directory as directories
from portal.cases.calling import StartedCall
from portal.cases.contacts import Contact
from portal.cases.errors import NotAllowed, NotYet, OnHold, StaleCase
from portal.cases.models import Case
from portal.cases.settling import booked_of
from portal.journal.models import Kind
from portal.mail.letters import LetterKind
from portal.mail.models import LetterState
from portal.promises.models import Medium, PromiseKind
from tests.support.agreed import FRIDAY_TEN, THURSDAY_TEN, agreed_case, booked, offer_calls
from tests.support.cast import NUMBER, TUESDAY, away, deliver, entries, letters, open_case, promise_of, refused, step

MINUTE = timedelta(minutes=1)


def only_agreed(session: Session) -> Case:
    """A case whose next step is the agreed call: nothing else is promised before it."""
    offer_calls(session, "rueckruf")
    case = open_case(session, "rueckruf")
    agreeing.book(session, case, starts_at=THURSDAY_TEN, by_id=None, now=TUESDAY + MINUTE)
    step(session)
    deliver(session)
    assert case.appointment_id == booked(session, case).id
    return case


def start(session: Session, case: Case, by_id: int | None = None, *, at: datetime = THURSDAY_TEN) -> StartedCall:
    by_id = booked(session, case).person_id if by_id is None else by_id
    started = calling.start_call(session, case, by_id=by_id, version=case.version, now=at)
    step(session)
    return started


def allowed(session: Session, case: Case, *, at: datetime = THURSDAY_TEN) -> frozenset[int]:
    return calling.may_call(directories.load(session, now=at), case, booked_of(session, case), now=at)


@pytest.mark.parametrize("minutes", [-30, -1, 0, 5, 59])
def test_in_its_time_the_keeper_gets_the_number_and_it_is_begun(session: Session, minutes: int) -> None:
    case, at = only_agreed(session), THURSDAY_TEN + minutes * MINUTE

    started = start(session, case, at=at)

    appointment = booked(session, case)
    assert started.number_e164 == NUMBER
    assert (appointment.started_at, appointment.started_by_id) == (at, appointment.person_id)
    (begun,), (attempt,) = entries(session, case, Kind.APPOINTMENT_STARTED), entries(session, case, Kind.CALL_STARTED)
    assert not begun.visible and not attempt.visible


def test_an_agreed_call_is_not_begun_long_before_its_time(session: Session) -> None:
    case, early = only_agreed(session), THURSDAY_TEN - timedelta(minutes=30, seconds=1)

    with refused(session, NotYet):
        start(session, case, at=early)

    assert allowed(session, case, at=early) == frozenset()
    assert allowed(session, case, at=early + timedelta(seconds=1)) == {booked(session, case).person_id}


def test_for_a_visit_the_number_is_there_before(session: Session) -> None:
    """Whoever sets out may have to ask for the way; that begins nothing yet."""
    offer_calls(session, "rueckruf", medium=Medium.VISIT)
    case = open_case(session, "rueckruf")
    agreeing.book(session, case, starts_at=THURSDAY_TEN, by_id=None, now=TUESDAY + MINUTE)
    step(session)

    assert start(session, case, at=TUESDAY + 2 * MINUTE).number_e164 == NUMBER
    assert booked(session, case).started_at is None


@pytest.mark.parametrize("name", ["Jonas Weidner", "Dr. Katharina Voss", "Martina Ebert"])
def test_nobody_but_the_named_person_gets_the_number(session: Session, people: dict[str, int], name: str) -> None:
    case = only_agreed(session)

    with refused(session, NotAllowed):
        start(session, case, people[name])

    assert booked(session, case).started_at is None
    assert entries(session, case, Kind.CALL_STARTED) == []


def test_the_announced_deputy_begins_it(session: Session, people: dict[str, int]) -> None:
    case = only_agreed(session)
    away(session, people["Miriam Albrecht"], since=THURSDAY_TEN - timedelta(hours=4), until=FRIDAY_TEN)
    step(session)

    start(session, case, people["Jonas Weidner"])

    assert booked(session, case).started_by_id == people["Jonas Weidner"]


def test_the_lead_begins_it_once_the_case_has_come_to_them(session: Session, people: dict[str, int]) -> None:
    case = only_agreed(session)
    case.lead_since = TUESDAY
    step(session)

    start(session, case, people["Dr. Katharina Voss"])

    assert booked(session, case).started_by_id == people["Dr. Katharina Voss"]


def test_once_given_to_somebody_else_only_they_begin_it(session: Session, people: dict[str, int]) -> None:
    case = only_agreed(session)
    miriam, jonas = people["Miriam Albrecht"], people["Jonas Weidner"]
    shown = case.version
    replacing.give(session, case, person_id=jonas, version=1, by_id=miriam, now=TUESDAY + 2 * MINUTE)
    step(session)

    with refused(session, StaleCase):
        calling.start_call(session, case, by_id=miriam, version=shown, now=THURSDAY_TEN)
    with refused(session, NotAllowed):
        start(session, case, miriam)

    assert start(session, case, jonas).number_e164 == NUMBER


def test_on_hold_nobody_gets_the_number(session: Session, people: dict[str, int]) -> None:
    """Not by the date that takes its place either, and not when its time has come."""
    case = only_agreed(session)
    miriam = people["Miriam Albrecht"]
    on_hold.wish(
        session, case, by_id=miriam, contact=Contact.MAIL_IN, text="Später.", version=1, now=TUESDAY + 2 * MINUTE
    )
    step(session)

    for at in (TUESDAY + 3 * MINUTE, THURSDAY_TEN):
        with refused(session, OnHold):
            start(session, case, miriam, at=at)
        assert allowed(session, case, at=at) == frozenset()


def test_a_page_that_showed_the_old_time_gets_no_number(session: Session) -> None:
    case = only_agreed(session)
    shown = case.version
    agreeing.move(session, case, starts_at=FRIDAY_TEN, version=1, by_id=None, now=TUESDAY + 2 * MINUTE)
    step(session)

    with refused(session, StaleCase):
        calling.start_call(session, case, by_id=booked(session, case).person_id, version=shown, now=THURSDAY_TEN)
    with refused(session, NotYet):
        start(session, case, at=THURSDAY_TEN)


def test_a_call_for_an_earlier_step_begins_no_appointment(session: Session) -> None:
    case = agreed_case(session)
    assert case.promise_id == promise_of(session, case, PromiseKind.REPLY).id

    assert start(session, case, at=TUESDAY + 5 * MINUTE).number_e164 == NUMBER

    assert booked(session, case).started_at is None
    assert entries(session, case, Kind.APPOINTMENT_STARTED) == []


def test_whoever_owes_something_else_does_not_begin_what_another_keeps(
    session: Session, people: dict[str, int]
) -> None:
    case = agreed_case(session)
    miriam, jonas = people["Miriam Albrecht"], people["Jonas Weidner"]
    promise_of(session, case, PromiseKind.REPLY).due_at = THURSDAY_TEN - MINUTE
    replacing.give(session, case, person_id=jonas, version=1, by_id=miriam, now=TUESDAY + 2 * MINUTE)
    step(session)
    soon = THURSDAY_TEN - 10 * MINUTE
    assert allowed(session, case, at=soon) == {miriam, jonas}

    start(session, case, miriam, at=soon)
    assert booked(session, case).started_at is None

    start(session, case, jonas, at=soon)
    assert booked(session, case).started_by_id == jonas


def test_pressed_again_it_stays_begun_as_it_was(session: Session) -> None:
    case = only_agreed(session)
    version = case.version

    start(session, case)
    start(session, case, at=THURSDAY_TEN + MINUTE)

    assert case.version == version
    assert booked(session, case).started_at == THURSDAY_TEN
    assert len(entries(session, case, Kind.CALL_STARTED)) == 2
    assert len(entries(session, case, Kind.APPOINTMENT_STARTED)) == 1


def test_what_still_waits_to_say_that_nobody_has_begun_is_taken_back(session: Session) -> None:
    case = only_agreed(session)
    late = THURSDAY_TEN + 15 * MINUTE
    passing.alarm(session, case, now=late)
    passing.tell_late(session, case, now=late)
    step(session)

    start(session, case, at=late + MINUTE)

    kinds = (LetterKind.STAFF_APPOINTMENT, LetterKind.APPOINTMENT_LATE)
    withdrawn = letters(session, case, *kinds, states=(LetterState.WITHDRAWN,))
    assert len(withdrawn) >= 4
    assert letters(session, case, *kinds, states=(LetterState.QUEUED,)) == []


def test_once_it_is_over_its_keeper_calls_until_the_outcome_is_said(session: Session) -> None:
    case = only_agreed(session)
    start(session, case)
    passing.outcome_due(session, case, now=booked(session, case).outcome_due_at)
    step(session)

    assert start(session, case, at=THURSDAY_TEN + 70 * MINUTE).number_e164 == NUMBER


def test_a_visit_to_somebody_who_left_no_number_is_begun_all_the_same(session: Session) -> None:
    """Nobody is told that we are late while somebody sits with the customer."""
    offer_calls(session, medium=Medium.VISIT)
    case = open_case(session, phone_e164=None, phone_shown=None, slot=THURSDAY_TEN)
    keeper = booked(session, case).person_id

    number = calling.start_call(session, case, by_id=keeper, version=case.version, now=THURSDAY_TEN)

    assert number == StartedCall(None, None)
    assert booked(session, case).started_at == THURSDAY_TEN
    assert letters(session, case, LetterKind.APPOINTMENT_LATE) == []
