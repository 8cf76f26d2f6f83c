"""Keeping an agreed time: reminded of, late, missed; its outcome is said or asked for, and always leaves a step."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.appointments.models import Appointment, AppointmentState
from portal.cases import agreeing, answering, calling, closing, directory, keeping, on_hold, promising, renewing, steps
from portal.cases.contacts import Contact
from portal.cases.errors import AuthorAbsent, NoAppointment, NoNextStep, OnHold, StaleAppointment, WrongMedium
from portal.cases.keeping import Outcome
from portal.cases.models import Case, CaseState
from portal.cases.models import Outcome as CaseOutcome
from portal.cases.promising import NewPromise
from portal.journal.models import Kind
from portal.mail import outbox
from portal.mail.letters import LetterKind
from portal.mail.models import Audience, Letter, LetterState
from portal.people.models import Closure, ClosureKind, Company, Hours, Team
from portal.promises.models import Medium, Promise, PromiseKind
from tests.support.agreed import FRIDAY_TEN, THURSDAY_TEN, agreed_case, booked, offer_calls
from tests.support.cast import (
    NUMBER,
    NUMBER_SHOWN,
    TUESDAY,
    away,
    berlin,
    deliver,
    entries,
    letters,
    open_case,
    open_promises,
    promise_of,
    read,
    refused,
    step,
)

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
ENDED = THURSDAY_TEN + 30 * MINUTE
DUE = ENDED + 30 * MINUTE
"""When somebody has to have said what became of it."""
STAFF = LetterKind.STAFF_APPOINTMENT


def call_case(
    session: Session, *, medium: Medium = Medium.CALL, starts_at: datetime = THURSDAY_TEN, **changes: Any
) -> Case:
    """A case in which all that is ahead is the agreed time."""
    offer_calls(session, "rueckruf", medium=medium)
    case = open_case(session, "rueckruf", **changes)
    agreeing.book(session, case, starts_at=starts_at, by_id=None, now=TUESDAY + MINUTE)
    for promise in open_promises(session, case):
        promising.withdraw(session, directory.load(session, now=TUESDAY), case, promise, now=TUESDAY + MINUTE)
    step(session)
    deliver(session)
    assert case.appointment_id == booked(session, case).id
    return case


def begin(session: Session, case: Case, *, at: datetime = THURSDAY_TEN) -> None:
    calling.start_call(session, case, by_id=booked(session, case).person_id, version=case.version, now=at)
    step(session)


def say(session: Session, case: Case, outcome: Outcome, *, at: datetime = ENDED, **changes: Any) -> Appointment:
    appointment = booked(session, case)
    given = {
        "by_id": appointment.person_id,
        "text": "Besprochen.",
        "keeps": (),
        "step": None,
        "visible": True,
        "version": appointment.version,
        **changes,
    }
    keeping.say_outcome(session, case, outcome=outcome, now=at, **given)
    step(session)
    return appointment


def hold_on(session: Session, case: Case, *, at: datetime = TUESDAY + 5 * MINUTE) -> None:
    on_hold.wish(
        session,
        case,
        by_id=booked(session, case).person_id,
        contact=Contact.CALL_IN,
        text="Passt nicht.",
        version=booked(session, case).version,
        now=at,
    )
    step(session)


def done(session: Session, case: Case, act: Callable[..., None], *, at: datetime) -> None:
    act(session, case, now=at)
    step(session)


# --- reminders -------------------------------------------------------------------------------------------------------


def remind(session: Session, case: Case, *, at: datetime) -> list[Letter]:
    done(session, case, keeping.remind_customer, at=at)
    return letters(session, case, LetterKind.APPOINTMENT_REMINDER)


def test_a_day_and_an_hour_before_the_customer_is_reminded_once_each(session: Session) -> None:
    case = call_case(session)
    version = case.version

    assert remind(session, case, at=THURSDAY_TEN - 24 * HOUR - MINUTE) == []
    assert len(remind(session, case, at=THURSDAY_TEN - 24 * HOUR)) == 1
    assert len(remind(session, case, at=THURSDAY_TEN - 23 * HOUR)) == 1
    (first, second) = remind(session, case, at=THURSDAY_TEN - HOUR)
    assert len(remind(session, case, at=THURSDAY_TEN - MINUTE)) == 2

    assert first.due_at == THURSDAY_TEN - 24 * HOUR
    assert first.valid_until is not None and first.valid_until <= THURSDAY_TEN
    assert "26. November, 10 Uhr" in read(second).subject
    assert NUMBER not in read(second).everything and NUMBER_SHOWN not in read(second).everything
    assert case.version == version


def test_a_worker_that_was_away_sends_the_later_reminder_alone(session: Session) -> None:
    case = call_case(session)

    (only,) = remind(session, case, at=THURSDAY_TEN - 30 * MINUTE)

    assert only.key.endswith(":1")


def test_after_its_start_nobody_is_reminded(session: Session) -> None:
    case = call_case(session)

    assert remind(session, case, at=THURSDAY_TEN) == []


def test_whoever_was_told_of_this_time_since_is_not_reminded_of_it(session: Session) -> None:
    """Agreed on less than a day before: the confirmation is younger. The hour before it remains."""
    case = call_case(session)
    moved_at = THURSDAY_TEN - 20 * HOUR
    agreeing.move(session, case, starts_at=THURSDAY_TEN + HOUR, version=1, by_id=None, now=moved_at)
    step(session)

    assert remind(session, case, at=moved_at + HOUR) == []
    assert len(remind(session, case, at=THURSDAY_TEN)) == 1


def test_another_time_is_reminded_of_anew_and_the_old_reminder_never_leaves(session: Session) -> None:
    case = call_case(session)
    (old,) = remind(session, case, at=THURSDAY_TEN - 24 * HOUR)
    moved_at = THURSDAY_TEN - 23 * HOUR
    agreeing.move(session, case, starts_at=FRIDAY_TEN, version=1, by_id=None, now=moved_at)
    step(session)
    session.refresh(old)
    assert old.state == LetterState.WITHDRAWN

    (new,) = remind(session, case, at=FRIDAY_TEN - 24 * HOUR)

    assert new.key == f"appointment_reminder:{booked(session, case).id}:2:24"
    assert "27. November" in read(new).subject


def test_a_reminder_that_falls_outside_the_sending_hours_comes_before_them(session: Session) -> None:
    """Monday at 10: a day before is a Sunday, so it comes on Friday in the last minute in which letters leave."""
    monday, friday = berlin("2026-11-30 10:00"), berlin("2026-11-27 18:59")
    case = call_case(session, starts_at=monday)

    assert remind(session, case, at=friday - MINUTE) == []
    (letter,) = remind(session, case, at=friday)

    assert letter.due_at == friday
    assert len(remind(session, case, at=monday - 24 * HOUR)) == 1


def test_two_reminders_that_meet_there_are_one(session: Session) -> None:
    """At 8 in the morning, where letters leave from 9 on: both come with Friday's last minute."""
    monday = berlin("2026-11-30 08:00")
    case = call_case(session, starts_at=monday)
    session.scalars(select(Company)).one().sends_from_minute = 9 * 60
    step(session)

    for at in (berlin("2026-11-27 18:59"), monday - HOUR, monday - MINUTE):
        found = remind(session, case, at=at)

    assert [one.key[-3:] for one in found] == [":24"]


def test_a_reminder_before_the_confirmation_is_none(session: Session) -> None:
    """Agreed on during a weekend for Monday: the reminder of the day before would have been Friday's."""
    monday = berlin("2026-11-30 10:00")
    case = call_case(session, starts_at=berlin("2026-12-03 10:00"))
    agreeing.move(session, case, starts_at=monday, version=1, by_id=None, now=berlin("2026-11-28 12:00"))
    step(session)

    assert remind(session, case, at=monday - 23 * HOUR) == []
    assert len(remind(session, case, at=monday - HOUR)) == 1


def test_a_day_before_is_24_hours_also_over_the_change_of_the_clocks(session: Session) -> None:
    """The clocks go forward on Sunday, 28 March 2027 at 2: 24 hours before 10 o'clock that day it is 9 on Saturday."""
    case, sunday = call_case(session), berlin("2027-03-28 10:00")
    _letters_leave_on_weekends(session)
    _put_at(session, case, sunday)
    day_before = berlin("2027-03-27 09:00")

    assert remind(session, case, at=day_before - MINUTE) == []
    (letter,) = remind(session, case, at=day_before)

    assert letter.due_at == day_before == sunday - 24 * HOUR


def _letters_leave_on_weekends(session: Session) -> None:
    for team_id in session.scalars(select(Team.id)).all():
        session.add_all(Hours(team_id=team_id, weekday=day, from_minute=480, until_minute=1020) for day in (5, 6))
    easter = {"first_on": date(2027, 3, 26), "last_on": date(2027, 3, 29)}
    session.add(Closure(kind=ClosureKind.NOT_A_HOLIDAY, **easter))
    session.flush()


def _put_at(session: Session, case: Case, starts_at: datetime) -> None:
    """At a time that nobody could choose."""
    appointment = booked(session, case)
    appointment.starts_at = appointment.busy_from = starts_at
    appointment.ends_at = appointment.busy_until = starts_at + 30 * MINUTE
    appointment.outcome_due_at = starts_at + HOUR
    step(session)


def test_on_hold_nobody_is_reminded(session: Session) -> None:
    case = call_case(session)
    hold_on(session, case)

    assert remind(session, case, at=THURSDAY_TEN - HOUR) == []


def test_a_reminder_that_waits_is_written_anew_while_the_time_stands(session: Session) -> None:
    case = call_case(session)
    (letter,) = remind(session, case, at=THURSDAY_TEN - 24 * HOUR)
    letter.valid_until = THURSDAY_TEN - 23 * HOUR
    step(session)

    assert outbox.outdated(session, now=THURSDAY_TEN - 22 * HOUR) == letter.id
    renewing.renew(session, letter.id, now=THURSDAY_TEN - 22 * HOUR)
    step(session)

    assert letter.state == LetterState.QUEUED
    assert "26. November, 10 Uhr" in read(letter).text


# --- nobody has begun ------------------------------------------------------------------------------------------------


def test_five_minutes_late_keeper_deputy_and_lead_are_alarmed_once(session: Session, people: dict[str, int]) -> None:
    case = call_case(session)
    version = case.version
    done(session, case, keeping.alarm, at=THURSDAY_TEN + 5 * MINUTE - timedelta(seconds=1))
    assert letters(session, case, STAFF)[1:] == []

    for minutes in (5, 6):
        done(session, case, keeping.alarm, at=THURSDAY_TEN + minutes * MINUTE)

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

    done(session, case, keeping.alarm, at=THURSDAY_TEN + 5 * MINUTE)

    readers = {one.person_id for one in letters(session, case, STAFF) if ":late:" in one.key}
    assert people["Jonas Weidner"] in readers
    assert not readers & {people["Miriam Albrecht"], people["Dr. Katharina Voss"]}


def test_a_quarter_of_an_hour_late_the_customer_is_told_once(session: Session) -> None:
    case = call_case(session)
    done(session, case, keeping.tell_late, at=THURSDAY_TEN + 15 * MINUTE - timedelta(seconds=1))
    assert letters(session, case, LetterKind.APPOINTMENT_LATE) == []

    for minutes in (15, 16):
        done(session, case, keeping.tell_late, at=THURSDAY_TEN + minutes * MINUTE)

    (letter,) = letters(session, case, LetterKind.APPOINTMENT_LATE)
    assert letter.due_at == THURSDAY_TEN + 15 * MINUTE
    text = read(letter).text
    assert "Donnerstag, 26. November, 10 Uhr (MEZ)" in text and "Miriam Albrecht" in text
    assert len(entries(session, case, Kind.APPOINTMENT_LATE)) == 1


def test_it_is_told_at_any_hour(session: Session) -> None:
    case = call_case(session)
    evening = berlin("2026-11-26 20:00")
    _put_at(session, case, evening)

    done(session, case, keeping.tell_late, at=evening + 15 * MINUTE)

    (letter,) = letters(session, case, LetterKind.APPOINTMENT_LATE)
    assert letter.due_at == evening + 15 * MINUTE


@pytest.mark.parametrize("act", [keeping.alarm, keeping.tell_late])
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
    done(session, case, keeping.outcome_due, at=DUE - timedelta(seconds=1))
    assert appointment.state == AppointmentState.BOOKED

    done(session, case, keeping.outcome_due, at=DUE)
    done(session, case, keeping.outcome_due, at=DUE + MINUTE)

    call = promise_of(session, case, PromiseKind.CALL)
    assert (appointment.state, appointment.ended_at) == (AppointmentState.MISSED, DUE)
    assert case.promise_id == call.id and call.medium == Medium.CALL and call.due_at > DUE
    (letter,) = letters(session, case, LetterKind.APPOINTMENT_MISSED)
    assert (letter.promise_id, letter.due_at) == (call.id, DUE)
    assert "Donnerstag, 26. November, 10 Uhr" in read(letter).text
    assert len(entries(session, case, Kind.APPOINTMENT_MISSED)) == 1
    told = [one.person_id for one in letters(session, case, STAFF) if ":missed:" in one.key]
    assert told == [people["Miriam Albrecht"], people["Dr. Katharina Voss"]]


def test_the_times_to_choose_are_in_the_apology(session: Session) -> None:
    case = call_case(session)

    done(session, case, keeping.outcome_due, at=DUE)

    (letter,) = letters(session, case, LetterKind.APPOINTMENT_MISSED)
    assert "Freitag, 27. November, 8 Uhr" in read(letter).text


def test_where_there_is_no_number_an_answer_is_promised(session: Session) -> None:
    case = call_case(session)
    case.customer.phone_e164 = case.customer.phone_shown = None
    step(session)

    done(session, case, keeping.outcome_due, at=DUE)

    assert case.promise_id == promise_of(session, case, PromiseKind.REPLY).id


def test_a_call_that_was_begun_is_asked_for_without_an_apology(session: Session, people: dict[str, int]) -> None:
    case = call_case(session)
    begin(session, case)
    version = case.version

    done(session, case, keeping.outcome_due, at=DUE)
    done(session, case, keeping.outcome_due, at=DUE + MINUTE)

    appointment, follow_up = booked(session, case), promise_of(session, case, PromiseKind.FOLLOW_UP)
    assert (appointment.asked_at, appointment.state) == (DUE, AppointmentState.BOOKED)
    assert case.promise_id == follow_up.id and case.version > version
    assert follow_up.due_at == DUE + 2 * HOUR
    (letter,) = letters(session, case, LetterKind.PROMISE_GIVEN)
    assert letter.promise_id == follow_up.id
    assert letters(session, case, LetterKind.APPOINTMENT_MISSED, LetterKind.APPOINTMENT_LATE) == []
    assert [one.person_id for one in letters(session, case, STAFF) if ":outcome:" in one.key] == [
        people["Miriam Albrecht"]
    ]
    assert [entry.visible for entry in entries(session, case, Kind.OUTCOME_ASKED)] == [False]


def test_a_visit_that_nobody_began_is_asked_for(session: Session) -> None:
    """Whoever is out at a customer's presses no button."""
    case = call_case(session, medium=Medium.VISIT)

    done(session, case, keeping.outcome_due, at=DUE)

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

    done(session, case, keeping.outcome_due, at=DUE)

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

    done(session, case, keeping.outcome_due, at=DUE)

    assert promise_of(session, case, PromiseKind.FOLLOW_UP).waiting is None


def test_an_hour_later_the_deputy_is_asked_once(session: Session, people: dict[str, int]) -> None:
    case = call_case(session)
    begin(session, case)
    done(session, case, keeping.outcome_due, at=DUE)
    version = case.version
    done(session, case, keeping.ask_again, at=DUE + HOUR - MINUTE)
    assert booked(session, case).asked_again_at is None

    for minutes in (60, 61):
        done(session, case, keeping.ask_again, at=DUE + minutes * MINUTE)

    asked = [one.person_id for one in letters(session, case, STAFF) if ":outcome:" in one.key]
    assert asked == [people["Miriam Albrecht"], people["Jonas Weidner"]]
    assert booked(session, case).asked_again_at == DUE + HOUR
    assert case.version == version


def test_on_hold_no_outcome_is_due(session: Session) -> None:
    case = call_case(session)
    hold_on(session, case)

    done(session, case, keeping.outcome_due, at=DUE)

    assert booked(session, case).asked_at is None


# --- what became of it -----------------------------------------------------------------------------------------------

RESULT = NewPromise(PromiseKind.RESULT, Medium.MAIL, berlin("2026-12-01 15:00"), "Angebot")


def test_a_talk_with_an_answer_leaves_what_is_promised_next(session: Session) -> None:
    case = call_case(session)
    begin(session, case)

    appointment = say(session, case, Outcome.ANSWERED, step=RESULT)

    assert appointment.state == AppointmentState.HELD
    assert case.promise_id == promise_of(session, case, PromiseKind.RESULT).id
    (call,), (held,) = entries(session, case, Kind.CALL), entries(session, case, Kind.APPOINTMENT_HELD)
    assert (call.text, call.visible, call.facts["contact"]) == ("Besprochen.", True, "call_reached")
    assert not held.visible  # the customer reads of one talk once
    (letter,) = letters(session, case, LetterKind.PROMISE_GIVEN)
    assert letter.promise_id == case.promise_id


def test_a_talk_that_only_colleagues_read_of_is_still_seen_to_have_been(session: Session) -> None:
    case = call_case(session)

    say(session, case, Outcome.ANSWERED, step=RESULT, visible=False)

    (call,), (held,) = entries(session, case, Kind.CALL), entries(session, case, Kind.APPOINTMENT_HELD)
    assert (call.visible, held.visible, held.text) == (False, True, "")


def test_an_answer_that_leaves_nothing_needs_a_step_or_the_closing(session: Session) -> None:
    case = call_case(session)

    with refused(session, NoNextStep):
        say(session, case, Outcome.ANSWERED)

    appointment = booked(session, case)
    by_id = appointment.person_id
    keeping.say_outcome(
        session,
        case,
        by_id=by_id,
        outcome=Outcome.ANSWERED,
        text="Alles geklärt.",
        keeps=(),
        step=None,
        visible=True,
        version=appointment.version,
        now=ENDED,
        closes=True,
    )
    closing.close(session, case, by_id=by_id, outcome=CaseOutcome.DONE, text="", now=ENDED)
    step(session)
    assert (case.state, appointment.state) == (CaseState.CLOSED, AppointmentState.HELD)
    assert entries(session, case, Kind.APPOINTMENT_CANCELLED) == []


def test_an_interim_status_leaves_an_answer_by_itself(session: Session) -> None:
    case = call_case(session)

    say(session, case, Outcome.INTERIM)

    reply = promise_of(session, case, PromiseKind.REPLY)
    assert case.promise_id == reply.id
    (letter,) = letters(session, case, LetterKind.PROMISE_GIVEN)
    assert letter.promise_id == reply.id
    assert entries(session, case, Kind.APPOINTMENT_HELD)[0].facts["interim"]


def test_where_something_else_is_promised_a_talk_leaves_that(session: Session) -> None:
    case = agreed_case(session)
    reply = promise_of(session, case, PromiseKind.REPLY)
    reply.due_at, reply.notice_at = berlin("2026-12-01 15:00"), berlin("2026-12-01 14:00")
    step(session)

    say(session, case, Outcome.ANSWERED)

    assert case.promise_id == reply.id and [one.id for one in open_promises(session, case)] == [reply.id]
    assert letters(session, case, LetterKind.PROMISE_GIVEN) == []  # they have been told of it


def test_a_talk_keeps_what_the_person_says_it_kept(session: Session) -> None:
    case = agreed_case(session)
    reply = promise_of(session, case, PromiseKind.REPLY)

    with refused(session, NoNextStep):
        say(session, case, Outcome.ANSWERED, keeps=[reply.id])
    say(session, case, Outcome.ANSWERED, keeps=[reply.id], step=RESULT)

    (call,) = entries(session, case, Kind.CALL)
    assert reply.kept_by_entry_id == call.id


@pytest.mark.parametrize("outcome", [Outcome.NOT_REACHED, Outcome.MISSED])
def test_what_reached_nobody_keeps_nothing(session: Session, outcome: Outcome) -> None:
    case = agreed_case(session)
    reply = promise_of(session, case, PromiseKind.REPLY)

    for at in (THURSDAY_TEN - 10 * MINUTE, ENDED):
        with refused(session, WrongMedium):
            say(session, case, outcome, keeps=[reply.id], at=at)


def test_a_talk_ends_the_waiting_for_the_customer(session: Session) -> None:
    case = call_case(session)
    at = berlin("2026-12-01 10:00")
    answering.ask(session, case, by_id=case.owner_id or 0, text="?", keeps=(), follow_up_at=at, now=TUESDAY + HOUR)
    step(session)

    say(session, case, Outcome.INTERIM)

    assert [(one.kind, one.waiting) for one in open_promises(session, case)] == [(PromiseKind.REPLY, None)]


def test_not_reached_promises_the_call_anew_and_tells_with_line_and_times(session: Session) -> None:
    case = call_case(session)
    begin(session, case)

    appointment = say(session, case, Outcome.NOT_REACHED, at=THURSDAY_TEN + MINUTE)

    assert appointment.state == AppointmentState.NOT_REACHED
    assert case.promise_id == promise_of(session, case, PromiseKind.CALL).id
    (letter,) = letters(session, case, LetterKind.CALL_ATTEMPTED)
    text = read(letter).text
    assert letter.promise_id == case.promise_id
    assert "Freitag, 27. November, 8 Uhr" in text and "Miriam Albrecht" in text


def test_the_second_attempt_of_a_day_is_told_too(session: Session) -> None:
    case = call_case(session)
    say(session, case, Outcome.NOT_REACHED, at=THURSDAY_TEN - 5 * MINUTE)
    deliver(session)

    say(session, case, Outcome.NOT_REACHED, at=THURSDAY_TEN + MINUTE)

    assert len(letters(session, case, LetterKind.CALL_ATTEMPTED)) == 2


def test_a_promised_call_that_comes_sooner_stands_and_a_later_one_is_brought_forward(session: Session) -> None:
    case = call_case(session)
    given = NewPromise(PromiseKind.CALL, Medium.CALL, berlin("2026-12-18 15:00"))
    promising.promise_date(session, case, by_id=case.owner_id or 0, step=given, now=THURSDAY_TEN - HOUR)
    step(session)
    late = promise_of(session, case, PromiseKind.CALL)

    say(session, case, Outcome.NOT_REACHED)

    call = promise_of(session, case, PromiseKind.CALL)
    assert (call.replaces_id, call.due_at < late.due_at) == (late.id, True)
    assert case.notices == 0


def test_missed_by_us_is_an_apology_and_a_new_call(session: Session) -> None:
    case = call_case(session)

    appointment = say(session, case, Outcome.MISSED, text="Leitung tot", visible=False)

    assert appointment.state == AppointmentState.MISSED
    (letter,) = letters(session, case, LetterKind.APPOINTMENT_MISSED)
    assert letter.promise_id == case.promise_id == promise_of(session, case, PromiseKind.CALL).id
    (missed,), (note,) = entries(session, case, Kind.APPOINTMENT_MISSED), entries(session, case, Kind.NOTE)
    assert (missed.visible, missed.text, note.visible, note.text) == (True, "", False, "Leitung tot")


def test_an_early_call_that_reaches_nobody_leaves_the_time_and_is_told(session: Session) -> None:
    """It is to be begun once more: who was there early is late all the same if they do not come back."""
    case, early = call_case(session), THURSDAY_TEN - 10 * MINUTE
    begin(session, case, at=early)

    appointment = say(session, case, Outcome.NOT_REACHED, at=early)

    assert (appointment.state, appointment.version) == (AppointmentState.BOOKED, 1)
    assert case.appointment_id == appointment.id and open_promises(session, case) == []
    (letter,) = letters(session, case, LetterKind.CALL_ATTEMPTED)
    assert letter.appointment_id == appointment.id and "26. November, 10 Uhr" in read(letter).text
    done(session, case, keeping.alarm, at=THURSDAY_TEN + 5 * MINUTE)
    assert appointment.alarmed_at is not None


def test_an_early_talk_ends_it(session: Session) -> None:
    case, early = call_case(session), THURSDAY_TEN - 10 * MINUTE
    begin(session, case, at=early)

    assert say(session, case, Outcome.ANSWERED, at=early, step=RESULT).state == AppointmentState.HELD


def test_what_bridged_the_missing_outcome_is_over_with_it(session: Session) -> None:
    case = call_case(session)
    begin(session, case)
    done(session, case, keeping.outcome_due, at=DUE)
    bridge = promise_of(session, case, PromiseKind.FOLLOW_UP)

    say(session, case, Outcome.ANSWERED, at=DUE + MINUTE, step=RESULT)

    assert [one.kind for one in open_promises(session, case)] == [PromiseKind.RESULT]
    session.refresh(bridge)
    assert bridge.ended_at == DUE + MINUTE


def test_a_visit_is_logged_as_one(session: Session) -> None:
    case = call_case(session, medium=Medium.VISIT)

    say(session, case, Outcome.ANSWERED, step=RESULT)

    assert entries(session, case, Kind.CALL) == []
    assert len(entries(session, case, Kind.VISIT)) == 1


def test_a_visit_that_met_nobody_is_no_contact(session: Session) -> None:
    case = call_case(session, medium=Medium.VISIT)

    say(session, case, Outcome.NOT_REACHED)

    assert entries(session, case, Kind.VISIT, Kind.CALL) == []
    (met,) = entries(session, case, Kind.APPOINTMENT_NOT_REACHED)
    assert (met.visible, met.text) == (True, "Besprochen.")
    (letter,) = letters(session, case, LetterKind.PROMISE_GIVEN)
    assert letter.promise_id == case.promise_id


def test_a_recap_goes_out_in_the_words_of_who_spoke(session: Session) -> None:
    case = call_case(session)

    say(session, case, Outcome.ANSWERED, step=RESULT, text="40 Pumpen, Lieferung im Januar.", visible=False, recap=True)

    (letter,) = letters(session, case, LetterKind.RECAP)
    mail = read(letter)
    assert "40 Pumpen, Lieferung im Januar." in mail.text and mail.sender.startswith("Miriam Albrecht")
    assert b"Auto-Submitted" not in letter.message
    assert letter.promise_id == case.promise_id
    assert letters(session, case, LetterKind.PROMISE_GIVEN) == []  # it says what comes next
    assert entries(session, case, Kind.CALL)[0].visible


def test_a_recap_comes_from_nobody_who_is_away(session: Session, people: dict[str, int]) -> None:
    case = call_case(session)
    away(session, people["Jonas Weidner"], since=TUESDAY)
    step(session)

    with refused(session, AuthorAbsent):
        say(session, case, Outcome.ANSWERED, step=RESULT, recap=True, by_id=people["Jonas Weidner"])


def test_nothing_is_recapped_of_a_call_that_reached_nobody(session: Session) -> None:
    case = call_case(session)

    say(session, case, Outcome.NOT_REACHED, recap=True)

    assert letters(session, case, LetterKind.RECAP) == []


def test_whom_no_letter_reaches_is_not_written_to_about_a_talk(session: Session) -> None:
    case = call_case(session)
    for letter in letters(session, case, audience=Audience.CUSTOMER):
        letter.state = LetterState.FAILED
    step(session)

    say(session, case, Outcome.INTERIM)

    assert letters(session, case, LetterKind.PROMISE_GIVEN) == []
    assert case.promise_id is not None


def test_an_outcome_is_said_once(session: Session) -> None:
    case = call_case(session)
    by_id = booked(session, case).person_id
    say(session, case, Outcome.INTERIM)

    with refused(session, NoAppointment):
        keeping.say_outcome(
            session,
            case,
            by_id=by_id,
            outcome=Outcome.INTERIM,
            text="",
            keeps=(),
            step=None,
            visible=True,
            version=1,
            now=ENDED,
        )


def test_of_a_time_that_has_moved_or_is_on_hold_no_outcome_is_said(session: Session) -> None:
    case = call_case(session)
    agreeing.move(session, case, starts_at=FRIDAY_TEN, version=1, by_id=None, now=TUESDAY + HOUR)
    step(session)

    with refused(session, StaleAppointment):
        say(session, case, Outcome.ANSWERED, version=1)
    hold_on(session, case, at=TUESDAY + 2 * HOUR)
    with refused(session, OnHold):
        say(session, case, Outcome.ANSWERED, step=RESULT)


@pytest.mark.parametrize("outcome", list(Outcome))
@pytest.mark.parametrize("at", [THURSDAY_TEN - MINUTE, ENDED, DUE + HOUR])
def test_every_outcome_leaves_a_step_that_lies_ahead_and_was_told(
    session: Session, outcome: Outcome, at: datetime
) -> None:
    case = call_case(session)
    if at > DUE:
        begin(session, case)
        done(session, case, keeping.outcome_due, at=DUE)
    elif at < THURSDAY_TEN:
        begin(session, case, at=at)

    say(session, case, outcome, at=at, step=RESULT if outcome == Outcome.ANSWERED else None)

    ahead = steps.ahead(session, case.id, now=at)
    assert ahead is not None
    if isinstance(ahead, Promise):
        assert outbox.is_told(session, ahead.id)
    else:
        assert outbox.is_told(session, appointment_id=ahead.id)
