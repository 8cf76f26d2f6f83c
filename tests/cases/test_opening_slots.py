"""Opening with a chosen time: the form's case begins with what was agreed, and an entry in doubt keeps the wish."""

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from portal import db
from portal.appointments.models import Appointment, AppointmentState
from portal.cases import addressing, doubtful, drafting, opening
from portal.cases.errors import NotOffered, SlotTaken
from portal.cases.models import CaseState, Doubt, RoutedBy
from portal.journal.models import Actor, Kind
from portal.links import new_secret
from portal.mail.letters import LetterKind
from portal.people.models import Hours
from portal.promises.models import Medium, PromiseKind
from tests.support.agreed import FRIDAY_TEN, THURSDAY_ELEVEN, THURSDAY_TEN, booked, offer_calls
from tests.support.cast import (
    TUESDAY,
    away,
    berlin,
    entries,
    kinds_of,
    letters,
    open_case,
    open_promises,
    read,
    refused,
    send_form,
    step,
    topic,
    wish,
)

LATER = TUESDAY + timedelta(hours=2)


@pytest.fixture(autouse=True)
def calls_are_offered(session: Session) -> None:
    """Whoever asks for an offer can choose a time for a call."""
    offer_calls(session)


def everybody_of_the_team_is_booked(session: Session) -> None:
    """Take the same time until nobody has it any more."""
    for number in range(9):
        try:
            send_form(session, slot=THURSDAY_TEN, email=f"k{number}@andere.example")
        except SlotTaken:
            return
    pytest.fail("the time was never taken")


# The form


def test_a_chosen_time_is_what_the_customer_waits_for(session: Session, people: dict[str, int]) -> None:
    case = open_case(session, slot=THURSDAY_TEN)

    agreed = booked(session, case)
    assert (agreed.starts_at, agreed.medium, agreed.state) == (THURSDAY_TEN, Medium.CALL, AppointmentState.BOOKED)
    assert (case.appointment_id, case.promise_id, open_promises(session, case)) == (agreed.id, None, [])
    assert case.owner_id == agreed.person_id


def test_the_confirmation_names_the_time_and_brings_its_calendar_file(session: Session) -> None:
    case = open_case(session, slot=THURSDAY_TEN)

    (letter,) = letters(session, case, LetterKind.CONFIRMATION)
    assert "ruft Sie am Donnerstag, 26. November, 10 Uhr, an." in read(letter).text
    assert b"text/calendar" in letter.message


def test_the_journal_says_that_the_customer_chose_it(session: Session) -> None:
    case = open_case(session, slot=THURSDAY_TEN)

    received, opened, agreed = entries(session, case)
    assert (received.kind, opened.kind, agreed.kind) == (Kind.RECEIVED, Kind.OPENED, Kind.APPOINTMENT_BOOKED)
    assert (agreed.actor, agreed.facts["starts_at"]) == (Actor.CUSTOMER, THURSDAY_TEN.isoformat())
    assert "slot" not in received.facts  # it is agreed, not wished for


def test_whoever_of_the_team_is_free_then_becomes_the_owner(session: Session) -> None:
    first = open_case(session, slot=THURSDAY_TEN, email="erste@andere.example")
    second = open_case(session, slot=THURSDAY_TEN, email="zweite@andere.example")

    assert {first.owner_id, second.owner_id} == {booked(session, one).person_id for one in (first, second)}
    assert first.owner_id != second.owner_id


def test_a_time_that_everybody_has_given_away_is_taken_and_others_are_near(session: Session) -> None:
    everybody_of_the_team_is_booked(session)

    with refused(session, SlotTaken):
        send_form(session, slot=THURSDAY_TEN)
    near = drafting.alternatives(session, wish(session, slot=THURSDAY_TEN), now=TUESDAY)
    assert len(near) == 3
    assert THURSDAY_TEN not in [one.starts_at for one in near]
    assert all(abs(one.starts_at - THURSDAY_TEN) <= timedelta(hours=2) for one in near)


@pytest.mark.parametrize(
    "wall_clock",
    [
        "2026-11-24 11:00",
        "2026-11-28 10:00",
        "2026-11-26 10:05",
        "2026-11-26 03:00",
        "2027-06-01 10:00",
        "2026-11-23 10:00",
    ],
)
def test_a_time_that_is_not_offered_is_refused(session: Session, wall_clock: str) -> None:
    with pytest.raises(NotOffered) as error:
        send_form(session, slot=berlin(wall_clock))
    assert not isinstance(error.value, SlotTaken)


def test_a_topic_without_times_takes_none(session: Session) -> None:
    row = topic(session, "angebot")
    row.slot_medium = None
    step(session)

    assert drafting.times(session, row, now=TUESDAY, count=6).times == []
    with refused(session, NotOffered):
        send_form(session, slot=THURSDAY_TEN)


def test_a_time_that_somebody_takes_between_draft_and_writing_is_refused(core: Flask, people: dict[str, int]) -> None:
    with db.reading() as session:
        drafted = drafting.draft(session, wish(session, slot=THURSDAY_TEN), doubt=None, now=TUESDAY)
    with db.writing() as session:
        everybody_of_the_team_is_booked(session)

    with db.writing() as session, refused(session, SlotTaken):
        opening.keep(session, drafted, key=new_secret(), body_hash="")


# Doubt


def test_an_entry_in_doubt_keeps_the_wish_and_holds_no_time(session: Session) -> None:
    entry = open_case(session, doubt=Doubt.HONEYPOT, slot=THURSDAY_TEN)

    (received,) = entries(session, entry)
    assert received.facts == {"slot": THURSDAY_TEN.isoformat()}
    assert session.scalar(select(func.count()).select_from(Appointment)) == 0


def test_released_it_gets_the_time_it_wished_for(session: Session, people: dict[str, int]) -> None:
    entry = open_case(session, doubt=Doubt.HONEYPOT, slot=THURSDAY_TEN)

    doubtful.release(session, entry, by_id=people["Petra Lindner"], now=LATER)
    step(session)

    agreed = booked(session, entry)
    assert (agreed.starts_at, agreed.medium) == (THURSDAY_TEN, Medium.CALL)
    assert (entry.state, entry.appointment_id, entry.promise_id) == (CaseState.OPEN, agreed.id, None)
    assert (entry.owner_id, entry.routed_by) == (agreed.person_id, RoutedBy.TOPIC)
    assert kinds_of(letters(session, entry)) == [LetterKind.CONFIRMATION, LetterKind.STAFF_NEW_CASE]
    (letter,) = letters(session, entry, LetterKind.CONFIRMATION)
    assert "ruft Sie am Donnerstag, 26. November, 10 Uhr, an." in read(letter).text
    assert b"text/calendar" in letter.message
    (noted,) = entries(session, entry, Kind.APPOINTMENT_BOOKED)
    assert noted.actor == Actor.CUSTOMER


def test_released_after_somebody_took_the_time_it_gets_the_first_promise(
    session: Session, people: dict[str, int]
) -> None:
    entry = open_case(session, doubt=Doubt.HONEYPOT, slot=THURSDAY_TEN)
    everybody_of_the_team_is_booked(session)

    doubtful.release(session, entry, by_id=people["Petra Lindner"], now=LATER)
    step(session)

    (promise,) = open_promises(session, entry)
    assert (entry.state, entry.promise_id, entry.appointment_id) == (CaseState.OPEN, promise.id, None)
    assert promise.kind == PromiseKind.REPLY
    (letter,) = letters(session, entry, LetterKind.CONFIRMATION)
    assert "antwortet bis" in read(letter).text
    assert b"text/calendar" not in letter.message


def test_released_when_the_time_is_too_near_it_gets_the_first_promise(session: Session, people: dict[str, int]) -> None:
    entry = open_case(session, doubt=Doubt.HONEYPOT, slot=THURSDAY_TEN)

    doubtful.release(session, entry, by_id=people["Petra Lindner"], now=THURSDAY_TEN - timedelta(hours=3))
    step(session)

    assert len(open_promises(session, entry)) == 1
    assert entry.appointment_id is None


def test_released_when_one_of_the_team_is_away_then_somebody_else_has_it(
    session: Session, people: dict[str, int]
) -> None:
    entry = open_case(session, doubt=Doubt.HONEYPOT, slot=THURSDAY_TEN)
    away(session, people["Miriam Albrecht"], since=THURSDAY_TEN - timedelta(days=1), until=FRIDAY_TEN)
    step(session)

    doubtful.release(session, entry, by_id=people["Petra Lindner"], now=LATER)
    step(session)

    assert booked(session, entry).person_id != people["Miriam Albrecht"]


def test_two_entries_that_wish_for_the_time_of_one_person_get_it_once(session: Session, people: dict[str, int]) -> None:
    first, second = (
        open_case(
            session,
            doubt=Doubt.HONEYPOT,
            slot=THURSDAY_ELEVEN,
            email=f"n{number}@konto.example",
            customer_number="K-10042",
        )
        for number in range(2)
    )

    for entry in (first, second):
        doubtful.release(session, entry, by_id=people["Petra Lindner"], now=LATER)
        step(session)

    assert (first.appointment_id is not None, second.appointment_id) == (True, None)
    assert first.owner_id == second.owner_id


def test_a_case_reported_and_taken_back_gets_a_promise_not_the_old_wish(
    session: Session, people: dict[str, int]
) -> None:
    entry = open_case(session, doubt=Doubt.HONEYPOT, slot=THURSDAY_TEN)
    doubtful.release(session, entry, by_id=people["Petra Lindner"], now=LATER)
    step(session)
    addressing.not_me(session, entry, now=LATER)
    step(session)

    doubtful.release(session, entry, by_id=people["Petra Lindner"], now=LATER)
    step(session)

    assert entry.appointment_id is None
    assert len(open_promises(session, entry)) == 1


def test_who_waited_in_doubt_hears_that_the_chosen_time_is_gone_and_which_are_free(
    session: Session, people: dict[str, int]
) -> None:
    """Released once the time lies too near: the confirmation says so, with three others and the page to choose."""
    offer_calls(session)
    case = open_case(session, slot=THURSDAY_TEN, doubt=Doubt.HONEYPOT)

    doubtful.release(session, case, by_id=people["Miriam Albrecht"], now=berlin("2026-11-26 08:00"))
    step(session)

    (letter,) = letters(session, case, LetterKind.CONFIRMATION)
    text = read(letter).text
    assert "Die gewünschte Zeit, Donnerstag, 26. November, 10 Uhr (MEZ), ist nicht mehr frei." in text
    assert text.count("Freitag, 27. November") >= 1 and "/appointment" in text


def test_a_known_customer_who_chose_a_time_the_form_had_shown_hears_that_it_is_taken(
    session: Session, people: dict[str, int]
) -> None:
    """The colleague who knows them does not work then; the form had shown when any of the team does."""
    first, chosen = open_case(session), berlin("2026-11-26 08:00")
    session.execute(update(Hours).where(Hours.person_id == first.owner_id).values(from_minute=720, until_minute=1020))
    step(session)
    shown = drafting.times(session, topic(session, "angebot"), now=TUESDAY, count=60).times
    assert chosen in [one.starts_at for one in shown]

    with refused(session, SlotTaken):
        send_form(session, slot=chosen)
    with pytest.raises(NotOffered) as error:
        send_form(session, slot=berlin("2026-11-26 03:00"))  # shown to nobody
    assert not isinstance(error.value, SlotTaken)
