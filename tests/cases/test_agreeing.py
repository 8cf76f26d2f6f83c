"""Agreeing on a time: booked, moved, called off; one row, one entry, one letter to each side."""

from dataclasses import replace
from datetime import datetime, timedelta
from email import message_from_bytes, policy

import icalendar
import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from portal import config
from portal.appointments.models import Appointment, AppointmentState
from portal.cases import agreeing, answering, calling, closing, contacts, offering, renewing, steps, waiting
from portal.cases import directory as directories
from portal.cases.contacts import Contact
from portal.cases.errors import (
    HasCome,
    MovedTooOften,
    NoAppointment,
    NothingOffered,
    NotOffered,
    SlotTaken,
    StaleAppointment,
    TooLateToChange,
)
from portal.cases.models import Case, Outcome
from portal.cases.offering import Finder, Part
from portal.journal.models import Kind
from portal.mail import outbox
from portal.mail.letters import LetterKind
from portal.mail.models import Audience, Letter, LetterState
from portal.promises.models import Medium, PromiseKind, Waiting
from tests.support import agreement
from tests.support.agreed import FRIDAY_TEN, THURSDAY_ELEVEN, THURSDAY_TEN, agreed_case, booked, offer_calls
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
    topic,
)

NOW = TUESDAY + timedelta(minutes=5)
CALENDAR_KINDS = (
    LetterKind.APPOINTMENT_CONFIRMED,
    LetterKind.APPOINTMENT_MOVED,
    LetterKind.APPOINTMENT_CANCELLED,
)


def book(session: Session, case: Case, starts_at: datetime = THURSDAY_TEN, *, at: datetime = NOW) -> Appointment:
    appointment = agreeing.book(session, case, starts_at=starts_at, by_id=None, now=at)
    step(session)
    assert agreement.disagreements(session, case, now=at) == []
    return appointment


def move(
    session: Session,
    case: Case,
    starts_at: datetime,
    *,
    version: int | None = None,
    by_id: int | None = None,
    at: datetime = NOW,
) -> None:
    version = booked(session, case).version if version is None else version
    agreeing.move(session, case, starts_at=starts_at, version=version, by_id=by_id, now=at)
    step(session)
    assert agreement.disagreements(session, case, now=at) == []


def cancel(session: Session, case: Case, *, by_id: int | None = None, at: datetime = NOW) -> None:
    agreeing.cancel(session, case, version=booked(session, case).version, by_id=by_id, now=at)
    step(session)
    assert agreement.disagreements(session, case, now=at) == []


def calendar_of(letter: Letter) -> icalendar.Event:
    """The event in a letter's calendar part; its method is the one of the MIME part."""
    mail = message_from_bytes(letter.message, policy=policy.SMTP)
    (part,) = [one for one in mail.walk() if one.get_content_type() == "text/calendar" and not one.is_attachment()]
    calendar = icalendar.Calendar.from_ical(bytes(part.get_payload(decode=True)))
    assert calendar["METHOD"] == part.get_param("method")
    (event,) = calendar.events
    event["X-METHOD"] = calendar["METHOD"]
    return event


def rows(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(Appointment)) or 0


# --- booking ---------------------------------------------------------------------------------------------------------


def test_a_booked_time_is_the_next_step_and_both_sides_hear_of_it(session: Session, people: dict[str, int]) -> None:
    offer_calls(session)
    case = open_case(session)
    deliver(session)

    appointment = book(session, case)

    assert appointment.person_id == people["Miriam Albrecht"] == case.owner_id
    assert (appointment.starts_at, appointment.ends_at) == (THURSDAY_TEN, THURSDAY_TEN + timedelta(minutes=30))
    assert appointment.busy_until == appointment.ends_at + timedelta(minutes=10)
    assert (appointment.tz, appointment.local_start) == ("Europe/Berlin", "2026-11-26T10:00")
    assert [one.text for one in entries(session, case, Kind.APPOINTMENT_BOOKED)] == [""]
    to_customer, to_keeper = letters(session, case, LetterKind.APPOINTMENT_CONFIRMED, LetterKind.STAFF_APPOINTMENT)
    assert "Donnerstag, 26. November, 10 Uhr" in read(to_customer).text
    assert to_keeper.to_address == "m.albrecht@beispielwerke.example"
    assert NUMBER_SHOWN not in read(to_keeper).text and NUMBER not in read(to_keeper).text
    assert (to_customer.appointment_id, to_customer.appointment_version) == (appointment.id, 1)
    assert to_customer.valid_until is not None and to_customer.valid_until <= THURSDAY_TEN


def test_an_earlier_promise_comes_first(session: Session) -> None:
    """The reply is due on Wednesday, the call is agreed for Thursday."""
    case = agreed_case(session)

    assert case.promise_id == promise_of(session, case, PromiseKind.REPLY).id
    assert case.appointment_id is None
    assert steps.open_of(session, case.id)[1] == booked(session, case)


def test_a_promised_call_gives_way_to_the_agreed_one(session: Session) -> None:
    offer_calls(session, "rueckruf")
    case = open_case(session, "rueckruf")

    book(session, case)

    assert open_promises(session, case) == []
    assert case.promise_id is None and case.appointment_id == booked(session, case).id
    assert steps.ahead(session, case.id, now=NOW) == booked(session, case)


def test_the_same_time_once_more_is_the_same_appointment(session: Session) -> None:
    case = agreed_case(session)
    version = case.version

    book(session, case)

    assert (rows(session), booked(session, case).version, case.version) == (1, 1, version)


def test_a_second_time_is_refused_while_one_is_agreed(session: Session) -> None:
    case = agreed_case(session)

    with refused(session, StaleAppointment):
        book(session, case, FRIDAY_TEN)


def test_where_nothing_is_offered_only_a_colleague_agrees_on_a_time(session: Session, people: dict[str, int]) -> None:
    topic(session, "angebot").slot_medium = None
    case = open_case(session)
    with refused(session, NothingOffered):
        book(session, case)

    agreeing.book(session, case, starts_at=THURSDAY_TEN, by_id=people["Miriam Albrecht"], medium=Medium.VISIT, now=NOW)

    assert booked(session, case).medium == Medium.VISIT


TIMES = {
    "on a Sunday": ("2026-11-29 10:00", NotOffered),
    "at night": ("2026-11-26 22:00", NotOffered),
    "off the grid": ("2026-11-26 10:10", NotOffered),
    "in less than four hours": ("2026-11-24 13:00", NotOffered),
    "in three months": ("2027-02-24 10:00", NotOffered),
    "yesterday": ("2026-11-23 10:00", NotOffered),
}


@pytest.mark.parametrize(("wall_clock", "error"), TIMES.values(), ids=TIMES)
def test_times_that_nobody_can_choose(session: Session, wall_clock: str, error: type[Exception]) -> None:
    offer_calls(session)
    case = open_case(session)

    with refused(session, error):
        book(session, case, berlin(wall_clock))

    assert rows(session) == 0


def test_a_colleague_needs_no_notice(session: Session, people: dict[str, int]) -> None:
    offer_calls(session)
    case = open_case(session)

    agreeing.book(session, case, starts_at=berlin("2026-11-24 10:00"), by_id=people["Jonas Weidner"], now=NOW)

    assert booked(session, case).person_id == people["Miriam Albrecht"]


def test_a_taken_time_is_refused_and_the_nearest_are_named(session: Session) -> None:
    agreed_case(session)
    case = open_case(session, email="zweite@kunde.example", customer_number=None)
    case.owner_id = session.scalars(select(Appointment.person_id)).one()
    step(session)

    with refused(session, SlotTaken):
        book(session, case)
    with refused(session, SlotTaken):  # ten minutes are kept free after the call
        book(session, case, berlin("2026-11-26 10:30"))

    directory = directories.load(session, now=NOW)
    finder = Finder(session, directory, offering.of_case(directory, case), now=NOW)
    near = [one.starts_at for one in finder.nearest(THURSDAY_TEN)]
    assert near == [berlin("2026-11-26 08:30"), berlin("2026-11-26 09:00"), THURSDAY_ELEVEN]
    book(session, case, THURSDAY_ELEVEN)


def test_on_a_day_of_absence_the_deputy_is_offered_and_named(session: Session, people: dict[str, int]) -> None:
    offer_calls(session)
    case = open_case(session)
    deputy = people["Jonas Weidner"]
    away(
        session,
        people["Miriam Albrecht"],
        since=berlin("2026-11-26 00:00"),
        until=berlin("2026-11-27 00:00"),
        deputy_id=deputy,
    )
    step(session)

    appointment = book(session, case)

    assert appointment.person_id == deputy
    assert "Jonas Weidner ruft Sie" in read(letters(session, case, LetterKind.APPOINTMENT_CONFIRMED)[0]).text


def test_lists_and_checks_are_one_rule(session: Session) -> None:
    """Whatever is listed can be booked, and nothing else on the day can."""
    agreed_case(session)
    case = open_case(session, email="zweite@kunde.example")
    directory = directories.load(session, now=NOW)
    finder = Finder(session, directory, offering.of_case(directory, case), now=NOW)
    day, offered = next(finder.days(THURSDAY_TEN.date()))
    start = berlin(f"{day} 00:00")

    for minute in range(0, 24 * 60, 10):
        at = start + timedelta(minutes=minute)
        if at in [one.starts_at for one in offered]:
            assert finder.check(at).starts_at == at
        else:
            with pytest.raises(NotOffered):
                finder.check(at)


# --- moving ----------------------------------------------------------------------------------------------------------


def test_a_move_is_the_same_row_with_a_new_time(session: Session, people: dict[str, int]) -> None:
    case = agreed_case(session)
    before = booked(session, case)
    kept = (before.id, before.uid, before.created_at)

    move(session, case, FRIDAY_TEN)

    moved = booked(session, case)
    assert (moved.id, moved.uid, moved.created_at) == kept and rows(session) == 1
    assert (moved.starts_at, moved.version, moved.sequence, moved.customer_moves) == (FRIDAY_TEN, 2, 1, 1)
    (entry,) = entries(session, case, Kind.APPOINTMENT_MOVED)
    assert entry.facts["before"] == THURSDAY_TEN.isoformat()
    to_customer, to_keeper = letters(session, case, LetterKind.APPOINTMENT_MOVED, LetterKind.STAFF_APPOINTMENT)[-2:]
    assert "Freitag, 27. November, 10 Uhr" in read(to_customer).text
    assert "Donnerstag, 26. November, 10 Uhr" in read(to_customer).text
    assert "Freitag, 27. November, 10 Uhr" in read(to_keeper).text


def test_what_still_waits_and_names_the_old_time_never_leaves(session: Session) -> None:
    offer_calls(session)
    case = open_case(session)
    deliver(session)
    book(session, case)

    move(session, case, FRIDAY_TEN)

    waiting = letters(session, case, states=(LetterState.QUEUED,), audience=Audience.CUSTOMER)
    assert [letter.kind for letter in waiting] == [LetterKind.APPOINTMENT_MOVED]
    old = letters(session, case, LetterKind.APPOINTMENT_CONFIRMED, states=(LetterState.WITHDRAWN,))
    assert len(old) == 1
    staff = letters(session, case, LetterKind.STAFF_APPOINTMENT, states=(LetterState.QUEUED,))
    assert len(staff) == 1


def test_a_page_that_showed_an_older_state_moves_nothing(session: Session) -> None:
    case = agreed_case(session)
    move(session, case, FRIDAY_TEN)

    with refused(session, StaleAppointment):
        move(session, case, THURSDAY_ELEVEN, version=1)

    assert booked(session, case).starts_at == FRIDAY_TEN


def test_the_time_it_has_changes_nothing(session: Session) -> None:
    case = agreed_case(session)

    move(session, case, THURSDAY_TEN, version=77)

    assert booked(session, case).version == 1 and letters(session, case, LetterKind.APPOINTMENT_MOVED) == []


def test_a_customer_moves_until_two_hours_before(session: Session) -> None:
    case = agreed_case(session)
    with refused(session, TooLateToChange):
        move(session, case, FRIDAY_TEN, at=THURSDAY_TEN - timedelta(hours=2))

    move(session, case, FRIDAY_TEN, at=THURSDAY_TEN - timedelta(hours=2, minutes=1))


def test_a_customer_moves_three_times(session: Session) -> None:
    case = agreed_case(session)
    for wall_clock in ("2026-11-26 11:00", "2026-11-26 14:00", "2026-11-27 10:00"):
        move(session, case, berlin(wall_clock))

    with refused(session, MovedTooOften):
        move(session, case, THURSDAY_TEN)

    cancel(session, case)


def test_a_colleague_moves_it_until_it_begins(session: Session, people: dict[str, int]) -> None:
    case = agreed_case(session)
    by_id = people["Miriam Albrecht"]
    with refused(session, HasCome):
        move(session, case, FRIDAY_TEN, by_id=by_id, at=THURSDAY_TEN)

    move(session, case, FRIDAY_TEN, by_id=by_id, at=THURSDAY_TEN - timedelta(minutes=1))

    assert booked(session, case).customer_moves == 0
    assert [one.to_address for one in letters(session, case, LetterKind.STAFF_APPOINTMENT)[1:]] == []


def test_what_a_colleague_has_begun_is_not_moved_any_more(session: Session, people: dict[str, int]) -> None:
    """Begun ten minutes early: the number is out, so it is too late to put the call off."""
    offer_calls(session, "rueckruf")
    case = open_case(session, "rueckruf")
    book(session, case)
    early, by_id = THURSDAY_TEN - timedelta(minutes=10), people["Miriam Albrecht"]
    keeper_id = booked(session, case).person_id
    calling.start_call(session, case, by_id=keeper_id, version=case.version, now=early)
    step(session)

    with refused(session, HasCome):
        move(session, case, FRIDAY_TEN, by_id=by_id, at=early)
    with refused(session, HasCome):
        cancel(session, case, by_id=by_id, at=early)


def test_a_move_into_half_its_own_time_is_no_overlap(session: Session, people: dict[str, int]) -> None:
    case = agreed_case(session)

    move(session, case, berlin("2026-11-26 10:30"))

    assert booked(session, case).starts_at == berlin("2026-11-26 10:30")


def test_a_move_to_a_day_of_absence_goes_to_the_deputy_and_both_hear_of_it(
    session: Session, people: dict[str, int]
) -> None:
    case = agreed_case(session)
    since, until = berlin("2026-11-27 00:00"), berlin("2026-11-28 00:00")
    away(session, people["Miriam Albrecht"], since=since, until=until, deputy_id=people["Jonas Weidner"])
    step(session)

    move(session, case, FRIDAY_TEN)

    assert booked(session, case).person_id == people["Jonas Weidner"]
    readers = [one.to_address for one in letters(session, case, LetterKind.STAFF_APPOINTMENT)]
    assert set(readers[1:]) == {"j.weidner@beispielwerke.example", "m.albrecht@beispielwerke.example"}


# --- calling off -----------------------------------------------------------------------------------------------------


def test_a_customer_who_calls_it_off_still_waits_for_something(session: Session) -> None:
    offer_calls(session, "rueckruf")
    case = open_case(session, "rueckruf")
    book(session, case)
    deliver(session)

    cancel(session, case)

    assert session.scalars(select(Appointment.state)).one() == AppointmentState.CANCELLED
    (left,) = open_promises(session, case)
    assert left.kind == PromiseKind.FOLLOW_UP and left.due_at > NOW and case.promise_id == left.id
    (letter,) = letters(session, case, LetterKind.APPOINTMENT_CANCELLED)
    assert "Donnerstag, 26. November, 10 Uhr" in read(letter).text
    assert letters(session, case, LetterKind.STAFF_APPOINTMENT)[-1].to_address == "m.albrecht@beispielwerke.example"


def test_where_a_reply_is_promised_that_is_what_is_left(session: Session) -> None:
    case = agreed_case(session)

    cancel(session, case)

    assert [one.kind for one in open_promises(session, case)] == [PromiseKind.REPLY]


def test_nothing_is_left_to_call_off_twice(session: Session) -> None:
    case = agreed_case(session)
    cancel(session, case)

    with refused(session, NoAppointment):
        agreeing.cancel(session, case, version=1, by_id=None, now=NOW)


def test_after_its_beginning_a_colleague_says_how_it_went_instead(session: Session, people: dict[str, int]) -> None:
    case = agreed_case(session)

    with refused(session, HasCome):
        cancel(session, case, by_id=people["Miriam Albrecht"], at=THURSDAY_TEN)


def test_closing_calls_it_off_for_both_sides(session: Session) -> None:
    case = agreed_case(session)

    closing.close(session, case, by_id=None, outcome=Outcome.WITHDRAWN, text="", now=NOW)
    step(session)

    assert session.scalars(select(Appointment.state)).one() == AppointmentState.CANCELLED
    assert case.appointment_id is None
    (letter,) = letters(session, case, LetterKind.CLOSED)
    assert calendar_of(letter)["X-METHOD"] == "CANCEL"
    assert len(entries(session, case, Kind.APPOINTMENT_CANCELLED)) == 1


# --- calendars -------------------------------------------------------------------------------------------------------


def test_the_customers_calendar_follows_every_change(session: Session) -> None:
    case = agreed_case(session)
    move(session, case, FRIDAY_TEN)
    move(session, case, THURSDAY_ELEVEN)
    cancel(session, case)

    states = tuple(LetterState)
    told = [calendar_of(one) for one in letters(session, case, *CALENDAR_KINDS, states=states)]

    assert len({event["UID"] for event in told}) == 1
    assert [int(str(event["SEQUENCE"])) for event in told] == [0, 1, 2, 3]
    assert [event["X-METHOD"] for event in told] == ["REQUEST", "REQUEST", "REQUEST", "CANCEL"]
    assert [event.start for event in told] == [THURSDAY_TEN, FRIDAY_TEN, THURSDAY_ELEVEN, THURSDAY_ELEVEN]
    assert all(NUMBER not in str(event) and NUMBER_SHOWN not in str(event) for event in told)


def test_the_confirmation_of_a_form_with_a_time_brings_the_calendar_file(session: Session) -> None:
    offer_calls(session)

    case = open_case(session, slot=THURSDAY_TEN)

    assert case.promise_id is None and case.appointment_id == booked(session, case).id
    (letter,) = letters(session, case, LetterKind.CONFIRMATION)
    assert calendar_of(letter).start == THURSDAY_TEN
    assert (letter.appointment_id, letter.promise_id) == (booked(session, case).id, None)
    assert len(entries(session, case, Kind.APPOINTMENT_BOOKED)) == 1


def test_two_forms_for_one_time_go_to_two_colleagues_and_a_third_is_refused(session: Session) -> None:
    """Whoever is free at that time is chosen, the least busy first; then nobody is."""
    offer_calls(session)
    keepers = set()
    with pytest.raises(SlotTaken):
        for number in range(10):
            case = open_case(session, slot=THURSDAY_TEN, email=f"kunde.{number}@kunde.example")
            keepers.add(booked(session, case).person_id)
    session.rollback()

    assert len(keepers) == rows(session) >= 2


# --- what stays as it is ---------------------------------------------------------------------------------------------


def test_a_letter_about_a_message_survives_a_move_with_the_new_time(session: Session) -> None:
    """Whoever is to answer hears of the message, whatever becomes of the appointment it named."""
    offer_calls(session, "rueckruf")
    case = open_case(session, "rueckruf")
    book(session, case, berlin("2026-11-24 15:00"))
    deliver(session)
    answering.customer_message(session, case, "Bitte an die Pläne denken.", now=NOW)
    step(session)
    move(session, case, berlin("2026-11-24 16:00"))

    outdated = outbox.outdated(session, now=NOW)
    while outdated is not None:
        renewing.renew(session, outdated, now=NOW)
        step(session)
        outdated = outbox.outdated(session, now=NOW)

    (letter,) = letters(session, case, LetterKind.STAFF_MESSAGE)
    assert "15 Uhr" not in read(letter).text


def test_a_log_of_a_call_leaves_the_agreed_time_alone(session: Session, people: dict[str, int]) -> None:
    case = agreed_case(session)

    contacts.log_contact(
        session,
        case,
        by_id=people["Miriam Albrecht"],
        contact=Contact.CALL_REACHED,
        text="Besprochen.",
        at=NOW,
        keeps=[promise_of(session, case, PromiseKind.REPLY).id],
        step=None,
        visible=True,
        now=NOW,
    )
    step(session)

    assert case.appointment_id == booked(session, case).id


def test_during_the_call_a_letter_names_what_comes_after_it(session: Session) -> None:
    """What the customer writes meanwhile is confirmed with the date of the reply, not with the time that has come."""
    offer_calls(session, "rueckruf")
    case = open_case(session, "rueckruf")
    book(session, case)
    deliver(session)

    answering.customer_message(session, case, "Ich bin da.", now=THURSDAY_TEN + timedelta(minutes=2))
    step(session)

    to_customer, to_keeper = letters(session, case, LetterKind.MESSAGE_RECEIVED, LetterKind.STAFF_MESSAGE)
    reply = promise_of(session, case, PromiseKind.REPLY)
    assert (to_customer.promise_id, to_customer.appointment_id) == (reply.id, None)
    assert to_keeper.promise_id == reply.id
    assert case.appointment_id == booked(session, case).id


def test_a_confirmation_that_still_waits_when_its_time_has_come_holds_up_no_later_letter(session: Session) -> None:
    offer_calls(session, "rueckruf")
    case = open_case(session, "rueckruf", slot=THURSDAY_TEN)
    (confirmation,) = letters(session, case, LetterKind.CONFIRMATION)
    at = THURSDAY_TEN + timedelta(minutes=1)

    renewing.renew(session, confirmation.id, now=at)
    step(session)

    (confirmation,) = letters(session, case, LetterKind.CONFIRMATION)
    assert confirmation.state == LetterState.QUEUED and confirmation.due_at > at + outbox.SOON


def test_a_case_with_an_agreed_time_is_not_closed_for_want_of_an_answer(
    session: Session, people: dict[str, int]
) -> None:
    case = agreed_case(session, starts_at=berlin("2026-12-10 10:00"))
    answering.ask(
        session,
        case,
        by_id=people["Miriam Albrecht"],
        text="Welche Pumpe?",
        keeps=[promise_of(session, case, PromiseKind.REPLY).id],
        follow_up_at=berlin("2026-11-26 14:00"),
        now=NOW,
    )
    step(session)
    for _ in range(3):
        asked = promise_of(session, case, PromiseKind.FOLLOW_UP)
        deliver(session, at=asked.given_at)
        waiting.go_on(session, case, now=asked.notice_at)
        step(session)

    assert promise_of(session, case, PromiseKind.FOLLOW_UP).waiting == Waiting.REMINDED
    assert letters(session, case, LetterKind.CLOSING_ANNOUNCED) == []


def test_a_customer_calls_off_nothing_that_has_begun(
    session: Session, people: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where customers change until shortly before: a colleague may have begun by then, a few minutes early."""
    settings = replace(config.current(), slot_change=0.1)
    monkeypatch.setattr(config, "current", lambda: settings)
    case, at = agreed_case(session), THURSDAY_TEN - timedelta(minutes=10)
    calling.start_call(session, case, by_id=people["Miriam Albrecht"], version=case.version, now=at)
    step(session)

    with refused(session, TooLateToChange):
        cancel(session, case, at=at)
    with refused(session, TooLateToChange):
        move(session, case, FRIDAY_TEN, at=at)

    assert booked(session, case).started_at == at


def test_a_letter_offers_wanted_times_first_and_not_the_one_it_calls_off(
    session: Session, people: dict[str, int]
) -> None:
    """Two o'clock would be the first afternoon time again; who wants afternoons reads those first."""
    case = agreed_case(session, starts_at=berlin("2026-11-24 14:00"))
    case.reachable = Part.AFTERNOON
    step(session)

    agreeing.cancel(session, case, version=1, by_id=people["Miriam Albrecht"], now=NOW)
    step(session)

    (letter,) = letters(session, case, LetterKind.APPOINTMENT_CANCELLED)
    assert (letter.says or {})["times"] == [
        "Dienstag, 24. November, 14:30 Uhr",
        "Mittwoch, 25. November, 14 Uhr",
        "Dienstag, 24. November, 13:30 Uhr",
    ]
