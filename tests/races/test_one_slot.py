"""Many at once for one slot, and many changes of one appointment: one is done, the others are told why not."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from portal import db
from portal.appointments.models import Appointment
from portal.cases import agreeing, drafting, opening
from portal.cases.drafting import Draft
from portal.cases.models import Case
from portal.links import new_secret
from tests.races.racing import (
    Meeting,
    Step,
    agree,
    an_hour_each,
    cases_of,
    free_starts,
    kinds,
    meet_after_check,
    nothing_is_double,
    overlapping,
    run,
    stage,
    without,
)
from tests.support.agreed import offer_calls
from tests.support.cast import TUESDAY, berlin, wish

NOW = TUESDAY + timedelta(minutes=5)
BY_CUSTOMER = None
STARTS = [berlin(f"2026-11-26 {wall_clock}") for wall_clock in ("09:30", "10:00", "10:30")]
"""Three times of which one person can keep one."""
SLOT = berlin("2026-11-26 10:00")
FEW = 8
"""As many as it takes to see whether a guard holds."""


def book(case_id: int, starts_at: datetime) -> Callable[[Session], object]:
    """One customer's choice."""
    return lambda session: agreeing.book(
        session, session.get_one(Case, case_id), starts_at=starts_at, by_id=BY_CUSTOMER, now=NOW
    )


def move(case_id: int, starts_at: datetime, version: int = 1) -> Callable[[Session], object]:
    """One customer's move."""
    return lambda session: agreeing.move(
        session, session.get_one(Case, case_id), starts_at=starts_at, version=version, by_id=BY_CUSTOMER, now=NOW
    )


def one_gets_the_slot(core: Flask, people: dict[str, int], clients: int) -> None:
    """Everybody for one of three times that exclude each other: one is booked, all others hear that it is taken."""
    with stage() as session:
        an_hour_each(session)
        case_ids = cases_of(session, people["Miriam Albrecht"], clients)

    ends = run(core, *(book(case_id, STARTS[number % 3]) for number, case_id in enumerate(case_ids)))

    with db.reading() as session:
        assert overlapping(session) == []
        assert session.scalar(select(func.count()).select_from(Appointment)) == 1
        nothing_is_double(session)
    assert kinds(ends) == ["SlotTaken"] * (clients - 1)


def one_moves_into_the_slot(core: Flask, people: dict[str, int], clients: int) -> None:
    """Different appointments into one slot: one moves, the others stay where they are."""
    with stage() as session:
        an_hour_each(session)
        case_ids = cases_of(session, people["Miriam Albrecht"], clients)
        before = {}
        for case_id, starts_at in zip(case_ids, free_starts(clients), strict=True):
            before[case_id] = agree(session, case_id, starts_at, now=TUESDAY + timedelta(minutes=1)).starts_at

    ends = run(core, *(move(case_id, STARTS[number % 3]) for number, case_id in enumerate(case_ids)))

    with db.reading() as session:
        assert overlapping(session) == []
        rows = {row.case_id: (row.starts_at, row.version) for row in session.scalars(select(Appointment))}
        nothing_is_double(session)
    winners = [case_id for case_id, end in zip(case_ids, ends, strict=True) if end.won]
    assert len(winners) == 1 and kinds(ends) == ["SlotTaken"] * (clients - 1)
    assert rows == {
        case_id: (STARTS[case_ids.index(case_id) % 3], 2) if case_id in winners else (starts_at, 1)
        for case_id, starts_at in before.items()
    }


def one_of_many_moves_counts(core: Flask, people: dict[str, int], clients: int) -> None:
    """One appointment to many free times by pages of the same version: one moves it, the others are stale."""
    with stage() as session:
        an_hour_each(session)
        [case_id] = cases_of(session, people["Miriam Albrecht"], 1)
        agree(session, case_id, SLOT, now=TUESDAY + timedelta(minutes=1))

    ends = run(core, *(move(case_id, starts_at) for starts_at in free_starts(clients)))

    with db.reading() as session:
        booked = session.scalars(select(Appointment)).one()
        nothing_is_double(session)
    won = [starts_at for starts_at, end in zip(free_starts(clients), ends, strict=True) if end.won]
    assert [booked.starts_at] == won and booked.version == 2
    assert kinds(ends) == ["StaleAppointment"] * (clients - 1)


def test_40_at_once_for_one_slot(core: Flask, people: dict[str, int]) -> None:
    one_gets_the_slot(core, people, 40)


def test_20_move_into_one_slot(core: Flask, people: dict[str, int]) -> None:
    one_moves_into_the_slot(core, people, 20)


def test_20_moves_of_the_same_appointment(core: Flask, people: dict[str, int]) -> None:
    one_of_many_moves_counts(core, people, 20)


def test_forms_for_one_time_go_to_whoever_is_free(core: Flask, people: dict[str, int]) -> None:
    """All were worked out for the same colleague; who comes later gets another one, as long as any is free."""
    with stage() as session:
        offer_calls(session)
    with db.reading() as session:
        wishes = [wish(session, slot=SLOT, email=f"formular{number}@rennen.example") for number in range(FEW)]
        drafts = [drafting.draft(session, one, doubt=None, now=NOW) for one in wishes]
    assert {drafted.case.owner_id for drafted in drafts} == {people["Miriam Albrecht"]}

    ends = run(core, *(keep(drafted) for drafted in drafts))

    with db.reading() as session:
        keepers = session.scalars(select(Appointment.person_id).where(Appointment.starts_at == SLOT)).all()
        owners = session.scalars(select(Case.owner_id)).all()
        nothing_is_double(session)
    in_sales = {people[name] for name in ("Miriam Albrecht", "Jonas Weidner", "Dr. Katharina Voss")}
    assert set(keepers) == in_sales and sorted(keepers) == sorted(in_sales) and set(owners) == in_sales
    assert kinds(ends) == ["SlotTaken"] * (FEW - len(in_sales))


def keep(drafted: Draft) -> Step:
    """A form that was worked out is written."""
    return lambda session: opening.keep(session, drafted, key=new_secret(), body_hash="")


# --- with guards taken away ------------------------------------------------------------------------------------------

RACES = [
    pytest.param(one_gets_the_slot, id="for one slot"),
    pytest.param(one_moves_into_the_slot, id="into one slot", marks=pytest.mark.nightly),
]


@pytest.mark.parametrize("race", RACES)
@pytest.mark.parametrize("missing", [("lock", "check"), ("guard",)], ids="+".join)
def test_either_guard_is_enough(
    core: Flask, people: dict[str, int], race: Callable[..., None], missing: tuple[str, ...]
) -> None:
    """The schema refuses what the steps let through; the steps refuse what the schema does not."""
    with without(*missing), pytest.MonkeyPatch.context() as patch:
        meet_after_check(patch, Meeting())
        race(core, people, FEW)


@pytest.mark.parametrize("race", RACES)
@pytest.mark.parametrize("missing", [("guard", "check"), ("guard", "lock")], ids="+".join)
def test_without_both_one_person_is_in_two_places(
    core: Flask,
    people: dict[str, int],
    race: Callable[..., None],
    missing: tuple[str, ...],
) -> None:
    """On SQLite one writes at a time, which is a lock that nobody can take away here."""
    if "lock" in missing and core.config["SQLALCHEMY_ENGINES"]["default"]["url"].get_backend_name() == "sqlite":
        missing = ("guard", "lock", "check")
    with without(*missing), pytest.MonkeyPatch.context() as patch:
        meet_after_check(patch, Meeting())
        with pytest.raises(AssertionError, match=r"assert \[\(.*== \[\]"):
            race(core, people, FEW)


def test_without_the_version_the_last_move_wins(core: Flask, people: dict[str, int]) -> None:
    with without("version"), pytest.raises(AssertionError):
        one_of_many_moves_counts(core, people, FEW)
