"""Moves that cross: nobody waits for somebody who waits for them, and nobody waits long."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from portal import db
from portal.appointments.models import Appointment
from portal.cases import agreeing, inviting
from portal.cases.models import Case
from portal.people.models import Person
from tests.races.racing import (
    Meeting,
    agree,
    an_hour_each,
    cases_of,
    kinds,
    nothing_is_double,
    run,
    stage,
)
from tests.support.cast import TUESDAY, away, berlin

NOW = TUESDAY + timedelta(minutes=5)
TUESDAY_TEN, WEDNESDAY_TEN = berlin("2026-12-01 10:00"), berlin("2026-12-02 10:00")
LATER = timedelta(hours=3)
THREE_TIMES = [TUESDAY_TEN, WEDNESDAY_TEN, berlin("2026-12-03 10:00")]


def now_at(case_id: int) -> tuple[int, Appointment]:
    """The person and the row of the booked appointment of a case."""
    with db.reading() as session:
        booked = session.scalars(select(Appointment).where(Appointment.case_id == case_id)).one()
        return booked.person_id, booked


def to(case_id: int, starts_at: datetime, by_id: int) -> Callable[[Session], object]:
    """A colleague moves what a case has agreed, as it stands now."""
    version = now_at(case_id)[1].version
    return lambda session: agreeing.move(
        session, session.get_one(Case, case_id), starts_at=starts_at, version=version, by_id=by_id, now=NOW
    )


def two_exchange_their_people(core: Flask, people: dict[str, int], rounds: int) -> float:
    """Each stands in for the other on one day; in each round either appointment moves to the other one's person."""
    miriam, jonas, lead = people["Miriam Albrecht"], people["Jonas Weidner"], people["Dr. Katharina Voss"]
    with stage() as session:
        an_hour_each(session)
        a_day = timedelta(hours=10)
        away(session, miriam, since=TUESDAY_TEN - LATER, until=TUESDAY_TEN + a_day, deputy_id=jonas)
        away(session, jonas, since=WEDNESDAY_TEN - LATER, until=WEDNESDAY_TEN + a_day, deputy_id=miriam)
        [hers] = cases_of(session, miriam, 1)
        [his] = cases_of(session, jonas, 1)
        assert agree(session, hers, WEDNESDAY_TEN, now=NOW).person_id == miriam
        assert agree(session, his, TUESDAY_TEN, now=NOW).person_id == jonas

    slowest = 0.0
    for number in range(rounds):
        there = [TUESDAY_TEN + LATER, WEDNESDAY_TEN + LATER] if number % 2 == 0 else [WEDNESDAY_TEN, TUESDAY_TEN]
        ends = run(core, to(hers, there[0], lead), to(his, there[1], lead))
        assert kinds(ends) == []
        assert [now_at(case_id)[1].starts_at for case_id in (hers, his)] == there
        assert {now_at(case_id)[0] for case_id in (hers, his)} == {miriam, jonas}
        slowest = max(slowest, *(end.seconds for end in ends))
    with db.reading() as session:
        nothing_is_double(session)
    return slowest


def test_two_exchange_their_people(
    core: Flask, people: dict[str, int], rounds: int, record_property: Callable[[str, object], None]
) -> None:
    record_property("slowest", two_exchange_their_people(core, people, rounds))


def test_each_into_the_others_time(core: Flask, people: dict[str, int], rounds: int) -> None:
    """Neither is given up before the other is there: both stay."""
    with stage() as session:
        an_hour_each(session)
        first, second = cases_of(session, people["Miriam Albrecht"], 2)
        agree(session, first, TUESDAY_TEN, now=NOW)
        agree(session, second, WEDNESDAY_TEN, now=NOW)
    lead = people["Dr. Katharina Voss"]

    for _ in range(rounds):
        ends = run(core, to(first, WEDNESDAY_TEN, lead), to(second, TUESDAY_TEN, lead))
        assert kinds(ends) == ["SlotTaken", "SlotTaken"]

    assert [now_at(one)[1].version for one in (first, second)] == [1, 1]


def test_into_a_time_that_is_just_given_up(core: Flask, people: dict[str, int], rounds: int) -> None:
    """Whoever gives it up always can; whoever wants it gets it or hears that it is taken."""
    with stage() as session:
        an_hour_each(session)
        follower, leader = cases_of(session, people["Miriam Albrecht"], 2)
        agree(session, follower, TUESDAY_TEN, now=NOW)
        agree(session, leader, WEDNESDAY_TEN, now=NOW)
    lead = people["Dr. Katharina Voss"]

    for _ in range(rounds):
        given_up = now_at(leader)[1].starts_at
        free = next(at for at in THREE_TIMES if at not in (given_up, now_at(follower)[1].starts_at))
        follows, leaves = run(core, to(follower, given_up, lead), to(leader, free, lead))
        assert leaves.won and (follows.won or kinds([follows]) == ["SlotTaken"])
        assert now_at(leader)[1].starts_at == free
        assert (now_at(follower)[1].starts_at == given_up) is follows.won
    with db.reading() as session:
        nothing_is_double(session)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_locked_in_the_order_they_come_they_wait_for_each_other(core: Flask, people: dict[str, int]) -> None:
    """On SQLite one writes at a time: there is no order to get wrong."""
    meeting = Meeting()

    def one_by_one(session: Session, person_ids: Iterable[int]) -> None:
        for person_id in person_ids:
            session.execute(select(Person.id).where(Person.id == person_id).with_for_update(key_share=True)).all()
            meeting()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inviting, "lock_people", one_by_one)
        with pytest.raises(AssertionError, match="DeadlockDetected"):
            two_exchange_their_people(core, people, 1)
