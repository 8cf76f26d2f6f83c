"""An absence is entered while moves race into it: none lands there unnoticed.

Whoever enters it sees, in the same transaction, every agreed time that falls into it; what comes later is offered as
the days are then, which is with somebody else or not at all.
"""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event, select
from sqlalchemy.orm import Session

from portal import db
from portal.appointments.models import IS_BOOKED, Appointment
from portal.cases import absences, agreeing, offering, replacing, settling
from portal.cases import directory as directories
from portal.cases.models import Case
from portal.cases.offering import Finder, Offered
from tests.races.racing import (
    MOMENT,
    agree,
    an_hour_each,
    cases_of,
    free_starts,
    kinds,
    nothing_is_double,
    run,
    stage,
)
from tests.support.agreement import disagreements
from tests.support.cast import TUESDAY, away, berlin

NOW = TUESDAY + timedelta(minutes=5)
CLIENTS = 20
FOR_EVER = 20.0
OTHERS = ("Jonas Weidner", "Dr. Katharina Voss")
BEFORE, INTO = free_starts(CLIENTS), free_starts(CLIENTS, since="2027-01-11")
SINCE, UNTIL = berlin("2027-01-11 00:00"), berlin("2027-01-23 00:00")


def falling_into_it(session: Session) -> set[int]:
    """The cases whose agreed time finds its keeper away: what ``replacing.replace`` sees to."""
    directory = directories.load(session, now=NOW)
    booked = session.scalars(select(Appointment).where(IS_BOOKED))
    return {one.case_id for one in booked if offering.keeper_is_away(directory, one)}


def none_goes_unnoticed(
    core: Flask, people: dict[str, int], clients: int, *, others_away: bool = False
) -> dict[str, int]:
    """Moves into the days of an absence that is entered at the same moment; how many ended how.

    ``others_away``: nobody else could keep what falls into it.
    """
    miriam = people["Miriam Albrecht"]
    with stage() as session:
        an_hour_each(session)
        for name in OTHERS if others_away else ():
            away(session, people[name], since=SINCE, until=UNTIL)
        case_ids = cases_of(session, miriam, clients)
        for case_id, starts_at in zip(case_ids, BEFORE, strict=False):
            agree(session, case_id, starts_at, now=NOW)
    noticed = set[int]()

    def enter(session: Session) -> None:
        absences.enter(
            session,
            person_id=miriam,
            starts_at=SINCE,
            ends_at=UNTIL,
            deputy_id=None,
            by_id=miriam,
            now=NOW,
        )
        noticed.update(falling_into_it(session))

    def move(case_id: int, starts_at: datetime) -> Callable[[Session], object]:
        return lambda session: agreeing.move(
            session, session.get_one(Case, case_id), starts_at=starts_at, version=1, by_id=None, now=NOW
        )

    moves = [move(case_id, starts_at) for case_id, starts_at in zip(case_ids, INTO, strict=False)]
    middle = len(moves) // 2
    ends = run(core, *moves[:middle], enter, *moves[middle:])

    with db.reading() as session:
        landed = falling_into_it(session)
        assert landed - noticed == set()
        nothing_is_double(session)
    for case_id in landed:
        with db.writing() as session:
            replacing.replace(session, session.get_one(Case, case_id), now=NOW)
    all_is_seen_to(case_ids)
    every_place_says_the_same(case_ids[::4])
    moved = [end for number, end in enumerate(ends) if number != middle and end.won]
    assert set(kinds(ends)) <= {"NotOffered", "SlotTaken"}
    return {"noticed": len(noticed), "with somebody else": len(moved) - len(noticed), "refused": clients - len(moved)}


def all_is_seen_to(case_ids: list[int]) -> None:
    """Nobody who is away is waited for."""
    with stage() as session:
        directory = directories.load(session, now=NOW)
        for case_id in case_ids:
            case = session.get_one(Case, case_id)
            booked = settling.booked_of(session, case)
            assert booked is not None
            assert booked.change_wished_at is not None or not offering.keeper_is_away(directory, booked)


def every_place_says_the_same(case_ids: list[int]) -> None:
    """The letters that wait too."""
    with stage() as session:
        cases = [session.get_one(Case, case_id) for case_id in case_ids]
        assert [said for case in cases for said in disagreements(session, case, now=NOW)] == []


@pytest.mark.parametrize("others_away", [False, True], ids=["a deputy is there", "nobody is there"])
def test_an_absence_among_20_moves_into_it(
    core: Flask, people: dict[str, int], others_away: bool, record_property: Callable[[str, object], None]
) -> None:
    for what, count in none_goes_unnoticed(core, people, CLIENTS, others_away=others_away).items():
        record_property(what, count)


# --- with the guard taken away ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "not guarded"])
def test_moves_that_have_looked_before_it_is_entered(core: Flask, people: dict[str, int], guarded: bool) -> None:
    """They find a time free, and take it a moment later: by then it has been entered, unless it waits for them.

    On SQLite one writes at a time: nobody enters anything between a look and what it leads to.
    """
    looked, entered = threading.Event(), threading.Event()
    check, enter = Finder.check, absences.enter

    def checked(self: Finder, starts_at: datetime) -> Offered:
        found = check(self, starts_at)
        if threading.current_thread() is not threading.main_thread():
            looked.set()
            entered.wait(MOMENT if guarded else FOR_EVER)
        return found

    def entered_then(session: Session, **absence: Any) -> int:
        looked.wait(FOR_EVER)
        event.listen(session, "after_commit", lambda _: entered.set())
        return enter(session, **absence)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Finder, "check", checked)
        patch.setattr(absences, "enter", entered_then)
        if guarded:
            none_goes_unnoticed(core, people, 4)
            return
        patch.setattr(absences, "none_meanwhile", lambda _: None)
        with pytest.raises(AssertionError, match="Extra items in the left set"):
            none_goes_unnoticed(core, people, 4)
