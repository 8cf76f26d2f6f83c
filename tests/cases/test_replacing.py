"""Replacing: whoever keeps an agreed time will be away; somebody else keeps it, or it is put on hold."""

from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from portal.cases import agreeing, calling, offering, replacing
from portal.cases import directory as directories
from portal.cases.errors import HasCome, NotOffered, StaleAppointment
from portal.cases.models import Case
from portal.journal.models import Kind
from portal.mail.letters import LetterKind
from portal.people.models import Closure, ClosureKind, Person
from portal.promises.models import PromiseKind
from tests.support.agreed import FRIDAY_TEN, THURSDAY_TEN, agreed_case, booked
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
    promise_of,
    read,
    refused,
    step,
)

HOUR = timedelta(hours=1)
NOW = TUESDAY + HOUR
TUESDAY_HALF_PAST_TWO = berlin("2026-11-24 14:30")
WEDNESDAY = berlin("2026-11-25 08:00")


def replace(session: Session, case: Case, *, at: datetime = NOW) -> None:
    replacing.replace(session, case, now=at)
    step(session)


def ill(session: Session, person_id: int, *, since: datetime = WEDNESDAY, until: datetime | None = None) -> None:
    away(session, person_id, since=since, until=until or berlin("2026-12-05 00:00"))
    step(session)


# --- by itself -------------------------------------------------------------------------------------------------------


def test_the_time_stays_and_the_deputy_keeps_it(session: Session, people: dict[str, int]) -> None:
    case = agreed_case(session)
    miriam, jonas = people["Miriam Albrecht"], people["Jonas Weidner"]
    ill(session, miriam)

    replace(session, case)
    replace(session, case)

    appointment = booked(session, case)
    assert (appointment.person_id, appointment.starts_at) == (jonas, THURSDAY_TEN)
    assert (appointment.version, appointment.sequence, appointment.customer_moves) == (2, 1, 0)
    (letter,) = letters(session, case, LetterKind.APPOINTMENT_GIVEN)
    assert "Jonas Weidner" in read(letter).text and NUMBER_SHOWN not in read(letter).everything
    told = {one.key.split(":")[3]: one.person_id for one in letters(session, case, LetterKind.STAFF_APPOINTMENT)}
    assert (told["given"], told["taken"]) == (jonas, miriam)
    assert len(entries(session, case, Kind.APPOINTMENT_GIVEN)) == 1


def test_an_answer_whose_place_this_takes_waits_for_no_sending_hours(session: Session, people: dict[str, int]) -> None:
    """The customer moved it in the evening; before that letter has left, whoever keeps it is entered as away."""
    case, evening = agreed_case(session), berlin("2026-11-24 21:00")
    agreeing.move(session, case, starts_at=FRIDAY_TEN, version=1, by_id=None, now=evening)
    step(session)

    ill(session, people["Miriam Albrecht"])
    replace(session, case, at=evening)

    (letter,) = letters(session, case, LetterKind.APPOINTMENT_GIVEN)
    assert letter.due_at == evening


def test_whoever_is_there_keeps_theirs(session: Session, people: dict[str, int]) -> None:
    case = agreed_case(session)
    ill(session, people["Miriam Albrecht"], since=FRIDAY_TEN)
    ill(session, people["Jonas Weidner"])
    version = case.version

    replace(session, case)

    assert (booked(session, case).version, case.version) == (1, version)


def test_an_absence_of_part_of_it_puts_it_on_hold(session: Session, people: dict[str, int]) -> None:
    case = agreed_case(session)
    ill(session, people["Miriam Albrecht"], since=THURSDAY_TEN + timedelta(minutes=20))
    directory = directories.load(session, now=NOW)
    assert offering.keeper_is_away(directory, booked(session, case))

    replace(session, case)

    assert (booked(session, case).change_wished_at, booked(session, case).version) == (NOW, 2)


def test_where_the_deputy_has_another_it_goes_on_hold_with_other_times(
    session: Session, people: dict[str, int]
) -> None:
    case, other = agreed_case(session), open_case(session, email="b@kunde.example")
    agreeing.book(session, other, starts_at=FRIDAY_TEN, by_id=None, now=NOW)
    step(session)
    taken = booked(session, other)
    taken.person_id, taken.starts_at = people["Jonas Weidner"], THURSDAY_TEN
    taken.ends_at = THURSDAY_TEN + timedelta(minutes=30)
    taken.busy_from, taken.busy_until, taken.outcome_due_at = taken.starts_at, taken.ends_at, taken.ends_at + HOUR
    step(session)
    ill(session, people["Miriam Albrecht"])

    replace(session, case)

    appointment = booked(session, case)
    assert (appointment.person_id, appointment.change_wished_at) == (people["Miriam Albrecht"], NOW)
    assert case.appointment_id is None
    assert promise_of(session, case, PromiseKind.FOLLOW_UP).due_at > NOW
    (letter,) = letters(session, case, LetterKind.APPOINTMENT_FROZEN)
    assert "26. November, 10 Uhr" in read(letter).text


def test_who_acts_only_because_nobody_regular_is_there_gets_nothing(session: Session, people: dict[str, int]) -> None:
    """The lead need not know the matter: another time is agreed on instead."""
    case = agreed_case(session)
    for name in ("Miriam Albrecht", "Jonas Weidner"):
        ill(session, people[name])
    acting = directories.load(session, now=NOW).acting(people["Miriam Albrecht"], THURSDAY_TEN, topic_id=case.topic_id)
    assert acting.alarm and acting.person_id == people["Dr. Katharina Voss"]

    replace(session, case)

    appointment = booked(session, case)
    assert (appointment.person_id, appointment.change_wished_at) == (people["Miriam Albrecht"], NOW)
    assert len(entries(session, case, Kind.APPOINTMENT_FROZEN)) == 1


def test_what_has_begun_is_replaced_by_nobody(session: Session, people: dict[str, int]) -> None:
    case = agreed_case(session)
    ill(session, people["Miriam Albrecht"])

    replace(session, case, at=THURSDAY_TEN)

    assert booked(session, case).version == 1


# --- by a colleague --------------------------------------------------------------------------------------------------


def give(session: Session, case: Case, person_id: int, *, version: int = 1, at: datetime = NOW) -> None:
    replacing.give(session, case, person_id=person_id, version=version, by_id=case.owner_id or 0, now=at)
    step(session)


def test_a_colleague_gives_it_to_another_and_the_customer_is_told(session: Session, people: dict[str, int]) -> None:
    case = agreed_case(session)
    deliver(session)

    give(session, case, people["Jonas Weidner"])
    give(session, case, people["Jonas Weidner"])  # a second press

    assert booked(session, case).person_id == people["Jonas Weidner"]
    assert len(letters(session, case, LetterKind.APPOINTMENT_GIVEN)) == 1


def test_whom_they_wanted_is_offered_at_other_times_than_the_one_that_stays(
    session: Session, people: dict[str, int]
) -> None:
    case = agreed_case(session, starts_at=TUESDAY_HALF_PAST_TWO)
    deliver(session)

    give(session, case, people["Jonas Weidner"])

    (letter,) = letters(session, case, LetterKind.APPOINTMENT_GIVEN)
    offered = (letter.says or {})["times"]
    assert len(offered) == 3 and "Dienstag, 24. November, 14:30 Uhr" not in offered


def test_it_is_given_to_nobody_who_cannot_keep_it(session: Session, people: dict[str, int]) -> None:
    case = agreed_case(session)
    ill(session, people["Jonas Weidner"])

    with refused(session, NotOffered):
        give(session, case, people["Jonas Weidner"])
    with refused(session, StaleAppointment):
        give(session, case, people["Dr. Katharina Voss"], version=7)
    with refused(session, HasCome):
        give(session, case, people["Dr. Katharina Voss"], at=THURSDAY_TEN + timedelta(minutes=30))

    assert booked(session, case).person_id == people["Miriam Albrecht"]


def test_whoever_is_alarmed_can_see_to_it_that_somebody_calls(session: Session, people: dict[str, int]) -> None:
    """Ten past ten and nobody has called: the lead takes it, gets the number, and the customer reads who calls."""
    case = agreed_case(session)
    late, lead_id = THURSDAY_TEN + timedelta(minutes=10), people["Dr. Katharina Voss"]

    give(session, case, lead_id, at=late)

    (letter,) = letters(session, case, LetterKind.APPOINTMENT_LATE)
    assert "Dr. Katharina Voss ruft Sie noch an" in read(letter).text
    number = calling.start_call(session, case, by_id=lead_id, version=case.version, now=late)
    assert number.number_e164 == NUMBER


def test_a_closure_of_the_team_is_no_time_to_call(session: Session, people: dict[str, int]) -> None:
    """Entered over an agreed time: nobody of the team is there, so three others are offered."""
    case = agreed_case(session)
    team_id = session.get_one(Person, people["Miriam Albrecht"]).team_id
    day = THURSDAY_TEN.date()
    session.add(Closure(team_id=team_id, first_on=day, last_on=day, kind=ClosureKind.CLOSED))
    step(session)

    replacing.replace(session, case, now=NOW)
    step(session)

    on_hold = booked(session, case).change_wished_at is not None
    assert on_hold or booked(session, case).person_id != people["Miriam Albrecht"]


def test_a_call_that_has_begun_is_given_to_nobody_else(session: Session, people: dict[str, int]) -> None:
    """Begun early, and then an absence is entered: whoever is on the phone stays the one who calls."""
    case, early = agreed_case(session), THURSDAY_TEN - timedelta(minutes=10)
    calling.start_call(session, case, by_id=people["Miriam Albrecht"], version=case.version, now=early)
    ill(session, people["Miriam Albrecht"])

    replace(session, case, at=early)

    assert (booked(session, case).person_id, booked(session, case).version) == (people["Miriam Albrecht"], 1)
