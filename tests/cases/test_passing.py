"""An agreed time passes: late, missed, or its outcome asked for; whoever waits is told, and a step stands."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from portal.appointments.models import AppointmentState
from portal.cases import answering, passing, promising
from portal.cases.promising import NewPromise
from portal.journal.models import Kind
from portal.mail.letters import LetterKind
from portal.promises.models import Medium, PromiseKind
from tests.support.agreed import DUE, FRIDAY_TEN, THURSDAY_TEN, begin, booked, call_case, done, hold_on, put_at
from tests.support.cast import (
    NUMBER_SHOWN,
    TUESDAY,
    away,
    berlin,
    entries,
    letters,
    open_promises,
    promise_of,
    read,
    step,
)

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
STAFF = LetterKind.STAFF_APPOINTMENT


# --- nobody has begun ------------------------------------------------------------------------------------------------


def test_five_minutes_late_keeper_deputy_and_lead_are_alarmed_once(session: Session, people: dict[str, int]) -> None:
    case = call_case(session)
    version = case.version
    done(session, case, passing.alarm, at=THURSDAY_TEN + 5 * MINUTE - timedelta(seconds=1))
    assert letters(session, case, STAFF)[1:] == []

    for minutes in (5, 6):
        done(session, case, passing.alarm, at=THURSDAY_TEN + minutes * MINUTE)

    told = [one for one in letters(session, case, STAFF) if ":late:" in one.key]
    names = ["Miriam Albrecht", "Jonas Weidner", "Dr. Katharina Voss"]
    assert [one.person_id for one in told] == [people[name] for name in names]
    assert all(one.due_at == THURSDAY_TEN + 5 * MINUTE for one in told)
    assert "Miriam Albrecht" in read(told[1]).text and NUMBER_SHOWN not in read(told[1]).everything
    assert case.version == version


def test_the_alarm_of_an_absent_keeper_reaches_who_acts(session: Session, people: dict[str, int]) -> None:
    case = call_case(session)
    away(session, people["Miriam Albrecht"], since=THURSDAY_TEN - HOUR, until=FRIDAY_TEN)
    away(session, people["Dr. Katharina Voss"], since=THURSDAY_TEN - HOUR, until=FRIDAY_TEN)
    step(session)

    done(session, case, passing.alarm, at=THURSDAY_TEN + 5 * MINUTE)

    readers = {one.person_id for one in letters(session, case, STAFF) if ":late:" in one.key}
    assert people["Jonas Weidner"] in readers
    assert not readers & {people["Miriam Albrecht"], people["Dr. Katharina Voss"]}


def test_a_quarter_of_an_hour_late_the_customer_is_told_once(session: Session) -> None:
    case = call_case(session)
    done(session, case, passing.tell_late, at=THURSDAY_TEN + 15 * MINUTE - timedelta(seconds=1))
    assert letters(session, case, LetterKind.APPOINTMENT_LATE) == []

    for minutes in (15, 16):
        done(session, case, passing.tell_late, at=THURSDAY_TEN + minutes * MINUTE)

    (letter,) = letters(session, case, LetterKind.APPOINTMENT_LATE)
    assert letter.due_at == THURSDAY_TEN + 15 * MINUTE
    text = read(letter).text
    assert "Donnerstag, 26. November, 10 Uhr (MEZ)" in text and "Miriam Albrecht" in text
    assert len(entries(session, case, Kind.APPOINTMENT_LATE)) == 1


def test_it_is_told_at_any_hour(session: Session) -> None:
    case = call_case(session)
    evening = berlin("2026-11-26 20:00")
    put_at(session, case, evening)

    done(session, case, passing.tell_late, at=evening + 15 * MINUTE)

    (letter,) = letters(session, case, LetterKind.APPOINTMENT_LATE)
    assert letter.due_at == evening + 15 * MINUTE


@pytest.mark.parametrize("act", [passing.alarm, passing.tell_late])
@pytest.mark.parametrize("why", ["begun", "on hold", "over"])
def test_nobody_is_alarmed_where_nobody_is_late(session: Session, act: Callable[..., None], why: str) -> None:
    case = call_case(session)
    if why == "begun":
        begin(session, case)
    if why == "on hold":
        hold_on(session, case)
    before = len(letters(session, case))

    done(session, case, act, at=DUE if why == "over" else THURSDAY_TEN + 20 * MINUTE)

    assert len(letters(session, case)) == before


# --- nobody has said what became of it -------------------------------------------------------------------------------


def test_a_call_that_nobody_began_is_missed_with_an_apology_and_times(session: Session, people: dict[str, int]) -> None:
    case = call_case(session)
    appointment = booked(session, case)
    done(session, case, passing.outcome_due, at=DUE - timedelta(seconds=1))
    assert appointment.state == AppointmentState.BOOKED

    done(session, case, passing.outcome_due, at=DUE)
    done(session, case, passing.outcome_due, at=DUE + MINUTE)

    call = promise_of(session, case, PromiseKind.CALL)
    assert (appointment.state, appointment.ended_at) == (AppointmentState.MISSED, DUE)
    assert case.promise_id == call.id and call.medium == Medium.CALL and call.due_at > DUE
    (letter,) = letters(session, case, LetterKind.APPOINTMENT_MISSED)
    assert (letter.promise_id, letter.due_at) == (call.id, DUE)
    assert "Donnerstag, 26. November, 10 Uhr" in read(letter).text
    assert len(entries(session, case, Kind.APPOINTMENT_MISSED)) == 1
    assert call.due_at == DUE + 2 * HOUR
    told = [one for one in letters(session, case, STAFF) if ":missed:" in one.key]
    assert [one.person_id for one in told] == [people["Miriam Albrecht"], people["Dr. Katharina Voss"]]
    assert all("zugesagt bis Donnerstag, 26. November, 13 Uhr" in read(one).text for one in told)
    assert ["er lag bei Miriam Albrecht" in " ".join(read(one).text.split()) for one in told] == [False, True]


def test_the_times_to_choose_are_in_the_apology(session: Session) -> None:
    case = call_case(session)

    done(session, case, passing.outcome_due, at=DUE)

    (letter,) = letters(session, case, LetterKind.APPOINTMENT_MISSED)
    assert "Freitag, 27. November, 8 Uhr" in read(letter).text


def test_where_there_is_no_number_an_answer_is_promised(session: Session) -> None:
    case = call_case(session)
    case.customer.phone_e164 = case.customer.phone_shown = None
    step(session)

    done(session, case, passing.outcome_due, at=DUE)

    assert case.promise_id == promise_of(session, case, PromiseKind.REPLY).id


def test_a_call_that_was_begun_is_asked_for_without_an_apology(session: Session, people: dict[str, int]) -> None:
    case = call_case(session)
    begin(session, case)
    version = case.version

    done(session, case, passing.outcome_due, at=DUE)
    done(session, case, passing.outcome_due, at=DUE + MINUTE)

    appointment, follow_up = booked(session, case), promise_of(session, case, PromiseKind.FOLLOW_UP)
    assert (appointment.asked_at, appointment.state) == (DUE, AppointmentState.BOOKED)
    assert case.promise_id == follow_up.id and case.version > version
    assert follow_up.due_at == DUE + 2 * HOUR
    (letter,) = letters(session, case, LetterKind.PROMISE_GIVEN)
    assert letter.promise_id == follow_up.id
    assert letters(session, case, LetterKind.APPOINTMENT_MISSED, LetterKind.APPOINTMENT_LATE) == []
    text = " ".join(read(letter).text.split())
    assert "zu Ihrem Termin am Donnerstag, 26. November, 10 Uhr (MEZ), ist bei uns noch kein Ergebnis" in text
    assert "geht weiter: Der nächste Schritt" not in text
    (asked,) = [one for one in letters(session, case, STAFF) if ":outcome:" in one.key]
    assert asked.person_id == people["Miriam Albrecht"]
    assert "zugesagt bis Donnerstag, 26. November, 13 Uhr" in read(asked).text
    assert [entry.visible for entry in entries(session, case, Kind.OUTCOME_ASKED)] == [False]


def test_a_visit_that_nobody_began_is_asked_for(session: Session) -> None:
    """Whoever is out at a customer's presses no button."""
    case = call_case(session, medium=Medium.VISIT)

    done(session, case, passing.outcome_due, at=DUE)

    assert booked(session, case).asked_at == DUE
    assert case.promise_id == promise_of(session, case, PromiseKind.FOLLOW_UP).id
    assert letters(session, case, LetterKind.APPOINTMENT_MISSED) == []


def test_a_date_that_a_colleague_gave_stands(session: Session) -> None:
    case = call_case(session)
    given = NewPromise(PromiseKind.FOLLOW_UP, Medium.MAIL, berlin("2026-11-27 15:00"))
    promising.promise_date(session, case, by_id=case.owner_id or 0, step=given, now=THURSDAY_TEN - HOUR)
    step(session)
    begin(session, case)
    stands = promise_of(session, case, PromiseKind.FOLLOW_UP).id

    done(session, case, passing.outcome_due, at=DUE)

    assert [one.id for one in open_promises(session, case)] == [stands]
    assert len(letters(session, case, LetterKind.PROMISE_GIVEN)) == 1


def test_waiting_for_the_customer_gives_way(session: Session) -> None:
    case = call_case(session)
    answering.ask(
        session,
        case,
        by_id=case.owner_id or 0,
        text="Welche Pumpe?",
        keeps=(),
        follow_up_at=berlin("2026-12-01 10:00"),
        now=TUESDAY + HOUR,
    )
    step(session)
    begin(session, case)

    done(session, case, passing.outcome_due, at=DUE)

    assert promise_of(session, case, PromiseKind.FOLLOW_UP).waiting is None


def test_an_hour_later_the_deputy_is_asked_once(session: Session, people: dict[str, int]) -> None:
    case = call_case(session)
    begin(session, case)
    done(session, case, passing.outcome_due, at=DUE)
    version = case.version
    done(session, case, passing.ask_again, at=DUE + HOUR - MINUTE)
    assert booked(session, case).asked_again_at is None

    for minutes in (60, 61):
        done(session, case, passing.ask_again, at=DUE + minutes * MINUTE)

    asked = [one for one in letters(session, case, STAFF) if ":outcome:" in one.key]
    assert [one.person_id for one in asked] == [people["Miriam Albrecht"], people["Jonas Weidner"]]
    assert all("zugesagt bis" in read(one).text for one in asked)
    assert booked(session, case).asked_again_at == DUE + HOUR
    assert case.version == version


def test_on_hold_no_outcome_is_due(session: Session) -> None:
    case = call_case(session)
    hold_on(session, case)

    done(session, case, passing.outcome_due, at=DUE)

    assert booked(session, case).asked_at is None
