"""An agreed time comes near: its customer is reminded of it, once for each reminder, while it stands."""

from datetime import date, datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.cases import agreeing, nearing, renewing
from portal.cases.models import Case
from portal.mail import outbox
from portal.mail.letters import LetterKind
from portal.mail.models import Letter, LetterState
from portal.people.models import Closure, ClosureKind, Company, Hours, Team
from tests.support.agreed import FRIDAY_TEN, THURSDAY_TEN, booked, call_case, done, hold_on, put_at
from tests.support.cast import NUMBER, NUMBER_SHOWN, berlin, letters, read, step

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def remind(session: Session, case: Case, *, at: datetime) -> list[Letter]:
    done(session, case, nearing.remind_customer, at=at)
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
    put_at(session, case, sunday)
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
