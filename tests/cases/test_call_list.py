"""The call list: whose lines stand on it, where each stands, and the grey lines of what was moved or called off."""

from datetime import date, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.appointments import service as appointments
from portal.appointments.models import Appointment
from portal.cases import agreeing, on_hold
from portal.cases.call_list import CallList, Gone, Line, Stage, call_list, stage_of
from portal.cases.contacts import Contact
from portal.cases.models import Case
from portal.cases.worklist import Scope
from portal.people.models import Person
from tests.support.agreed import FRIDAY_TEN, THURSDAY_ELEVEN, THURSDAY_TEN, agreed_case, booked
from tests.support.cast import NUMBER, NUMBER_SHOWN, TUESDAY, away, berlin, step

NOW = TUESDAY + timedelta(hours=1)
THURSDAY = date(2026, 11, 26)
FRIDAY = date(2026, 11, 27)


def listed(
    session: Session,
    people: dict[str, int],
    day: date | None = THURSDAY,
    *,
    name: str = "Miriam Albrecht",
    scope: Scope = Scope.MINE,
    now: datetime = NOW,
) -> CallList:
    session.flush()
    return call_list(session, person_id=people[name], scope=scope, language="de", now=now, day=day)


def told(shown: CallList) -> list[str]:
    """Each line in one: the hour, and where it stands or went."""
    return [
        f"{line.time} {line.stage}" if isinstance(line, Line) else f"{line.time} -> {line.moved_to or 'off'}"
        for line in shown.lines
    ]


def move(session: Session, case: Case, starts_at: datetime, by_id: int | None = None) -> None:
    version = booked(session, case).version
    agreeing.move(session, case, starts_at=starts_at, version=version, by_id=by_id or case.owner_id, now=NOW)
    step(session)


def cancel(session: Session, case: Case) -> None:
    agreeing.cancel(session, case, version=booked(session, case).version, by_id=case.owner_id, now=NOW)
    step(session)


def test_a_moved_time_is_read_from_the_row_on_every_day(session: Session, people: dict[str, int]) -> None:
    case = agreed_case(session)
    move(session, case, FRIDAY_TEN)
    move(session, case, THURSDAY_ELEVEN)

    assert told(listed(session, people)) == ["10 Uhr -> Donnerstag, 26. November, 11 Uhr", "11 Uhr to_come"]
    assert told(listed(session, people, FRIDAY)) == ["10 Uhr -> Donnerstag, 26. November, 11 Uhr"]


def test_moved_back_there_is_no_grey_line_beside_the_living_one(session: Session, people: dict[str, int]) -> None:
    case = agreed_case(session)
    move(session, case, FRIDAY_TEN)
    move(session, case, THURSDAY_TEN)

    assert told(listed(session, people)) == ["10 Uhr to_come"]


def test_a_move_of_weeks_ago_leaves_its_line_on_the_old_day(session: Session, people: dict[str, int]) -> None:
    """Whoever noted the old time then, and comes back to it on its day, reads the new one."""
    old = berlin("2027-01-14 10:00")
    case = agreed_case(session, starts_at=old)
    move(session, case, berlin("2027-01-15 10:00"))

    assert told(listed(session, people, None, now=old)) == ["10 Uhr -> Freitag, 15. Januar, 10 Uhr"]


def test_called_off_and_agreed_anew_the_old_day_names_the_new_time(session: Session, people: dict[str, int]) -> None:
    case = agreed_case(session)
    cancel(session, case)
    assert told(listed(session, people)) == ["10 Uhr -> off"]
    agreeing.book(session, case, starts_at=FRIDAY_TEN, by_id=case.owner_id, now=NOW)
    step(session)

    assert told(listed(session, people)) == ["10 Uhr -> Freitag, 27. November, 10 Uhr"]


def test_a_grey_line_is_gone_after_midnight(session: Session, people: dict[str, int]) -> None:
    case = agreed_case(session)
    cancel(session, case)

    assert told(listed(session, people, None, now=berlin("2026-11-26 23:59"))) == ["10 Uhr -> off"]
    assert listed(session, people, THURSDAY, now=berlin("2026-11-27 00:01")).lines == ()


def test_moved_then_put_on_hold_the_grey_line_says_both(session: Session, people: dict[str, int]) -> None:
    case = agreed_case(session)
    move(session, case, FRIDAY_TEN)
    version, by_id = booked(session, case).version, case.owner_id
    assert by_id is not None
    on_hold.wish(session, case, by_id=by_id, contact=Contact.CALL_IN, text="", version=version, now=NOW)
    step(session)
    (gone,) = listed(session, people).lines

    assert isinstance(gone, Gone) and gone.on_hold
    assert told(listed(session, people, FRIDAY)) == ["10 Uhr on_hold"]


def test_who_stands_in_has_it_on_their_list_and_so_has_who_is_away(session: Session, people: dict[str, int]) -> None:
    case = agreed_case(session)
    away(session, people["Miriam Albrecht"], since=berlin("2026-11-26 00:00"), until=berlin("2026-11-27 00:00"))
    session.flush()
    deputy_id = session.scalars(select(Person.deputy_id).where(Person.id == people["Miriam Albrecht"])).one()
    deputy = next(name for name, id_ in people.items() if id_ == deputy_id)
    (line,) = listed(session, people, name=deputy).lines

    assert isinstance(line, Line)
    assert (line.keeper_name, line.person_name, line.in_deputy) == (deputy, "Miriam Albrecht", True)
    assert told(listed(session, people)) == ["10 Uhr to_come"]
    assert listed(session, people, name="Thomas Brandt").lines == ()
    assert listed(session, people, name="Thomas Brandt", scope=Scope.ALL).lines != ()
    assert case.reference == line.reference


@pytest.mark.parametrize(
    ("minutes", "started", "stage"),
    [
        (-1, False, Stage.TO_COME),
        (0, False, Stage.NOW),
        (4, False, Stage.NOW),
        (5, False, Stage.NOT_STARTED),
        (900, False, Stage.NOT_STARTED),
        (-10, True, Stage.BEGUN),
        (19, True, Stage.BEGUN),
        (60, True, Stage.OUTCOME_MISSING),
    ],
)
def test_where_it_stands(session: Session, people: dict[str, int], minutes: int, started: bool, stage: Stage) -> None:
    appointment = booked(session, agreed_case(session))
    if started:
        appointments.start(appointment, by_id=people["Miriam Albrecht"], now=THURSDAY_TEN - timedelta(minutes=15))

    assert stage_of(appointment, now=THURSDAY_TEN + timedelta(minutes=minutes)) == stage
    appointments.hold(appointment, now=THURSDAY_TEN)
    assert stage_of(appointment, now=THURSDAY_TEN + timedelta(minutes=minutes)) == Stage.ON_HOLD


def test_what_is_not_settled_stays_on_top_and_leaves_with_its_outcome(session: Session, people: dict[str, int]) -> None:
    case = agreed_case(session)
    later = berlin("2026-12-01 09:00")

    assert [line.reference for line in listed(session, people, None, now=later).earlier] == [case.reference]
    cancel(session, case)
    assert listed(session, people, None, now=later).earlier == ()


def test_below_stand_three_of_the_next_working_day(session: Session, people: dict[str, int]) -> None:
    friday = berlin("2026-11-27 17:00")
    for hour in (9, 10, 11, 13):
        agreed_case(session, starts_at=berlin(f"2026-11-30 {hour:02}:00"), email=f"kunde{hour}@kunde.example")
    shown = listed(session, people, None, scope=Scope.TEAM, now=friday)

    assert shown.next_label == "Montag, 30. November"
    assert [line.time for line in shown.following] == ["9 Uhr", "10 Uhr", "11 Uhr"]


def test_nothing_of_it_holds_the_number(session: Session, people: dict[str, int]) -> None:
    agreed_case(session, phone_e164=NUMBER, phone_shown=NUMBER_SHOWN)
    said = repr(listed(session, people))

    assert "10 Uhr" in said
    assert [word for word in (NUMBER, NUMBER_SHOWN, NUMBER[-6:]) if word in said] == []


def test_reading_the_list_changes_nothing(session: Session, people: dict[str, int]) -> None:
    case = agreed_case(session)
    before = session.scalars(select(Appointment.version).where(Appointment.case_id == case.id)).one()
    listed(session, people)

    assert not session.dirty and not session.new
    assert session.scalars(select(Appointment.version).where(Appointment.case_id == case.id)).one() == before
