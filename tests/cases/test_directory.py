"""The directory is kept from step to step, and every change of what it was read from is seen by the next one."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import delete, inspect, select, update
from sqlalchemy.orm import Session

from portal import db
from portal.cases import directory
from portal.cases.directory import WATCHED, Directory
from portal.cases.models import Topic
from portal.people.models import Absence, Closure, ClosureKind, Company, Competence, Hours, Person, Team
from portal.promises.models import ServiceLevel
from tests.support.cast import TUESDAY, away, berlin, open_case, statements

CHRISTMAS = date(2026, 12, 24)


def test_what_did_not_change_is_not_read_again(core: Flask, people: dict[str, int]) -> None:
    first = loaded()

    with statements() as asked:
        second = loaded()

    assert second is first
    assert len([one for one in asked if one.startswith("SELECT")]) == 1


def company(session: Session) -> None:
    session.get_one(Company, 1).sends_until_minute = 1200


def team(session: Session) -> None:
    named(session, Team, "Kundendienst").place = "DE-BY"


def hours(session: Session) -> None:
    session.execute(update(Hours).where(Hours.from_minute == 480).values(from_minute=450))


def closure(session: Session) -> None:
    session.add(Closure(first_on=CHRISTMAS, last_on=CHRISTMAS, kind=ClosureKind.CLOSED))


def person(session: Session) -> None:
    named(session, Person, "Miriam Albrecht").role = "Vertrieb Nord"


def competence(session: Session) -> None:
    session.delete(session.scalars(select(Competence)).first())


def absence(session: Session) -> None:
    away(session, named(session, Person, "Miriam Albrecht").id, since=TUESDAY)


def service_level(session: Session) -> None:
    session.execute(update(ServiceLevel).values(answer_min=ServiceLevel.answer_min + 30))


def topic(session: Session) -> None:
    session.execute(update(Topic).values(active=False))


CHANGES: dict[str, Callable[[Session], None]] = {
    change.__name__: change
    for change in (company, team, hours, closure, person, competence, absence, service_level, topic)
}


def test_every_watched_table_has_a_change_here() -> None:
    assert {model.__tablename__ for model in WATCHED} == set(CHANGES)


def test_every_table_the_directory_is_read_from_is_watched(core: Flask, people: dict[str, int]) -> None:
    with statements() as asked:
        loaded()

    tables = {one.partition("FROM ")[2].split()[0].strip('"') for one in asked if "FROM" in one}
    assert tables == {*CHANGES, "directory_revision"}


@pytest.mark.parametrize("table", CHANGES)
def test_a_change_is_seen_by_the_next_transaction(core: Flask, people: dict[str, int], table: str) -> None:
    before = loaded()

    with db.writing() as session:
        CHANGES[table](session)

    assert facts(loaded()) != facts(before)


@pytest.mark.parametrize("table", CHANGES)
def test_a_change_is_seen_in_its_own_transaction(session: Session, table: str) -> None:
    before = facts(directory.load(session, now=TUESDAY))

    CHANGES[table](session)
    session.flush()

    assert facts(directory.load(session, now=TUESDAY)) != before


def add_unsaid(session: Session) -> None:
    session.add(
        Absence(
            person_id=named(session, Person, "Miriam Albrecht").id,
            starts_at=TUESDAY,
            entered_by_id=named(session, Person, "Miriam Albrecht").id,
        )
    )


@pytest.mark.parametrize("change", [add_unsaid, person, team, company, competence])
def test_a_change_that_still_waits_in_the_session_is_seen(session: Session, change: Callable[[Session], None]) -> None:
    before = facts(directory.load(session, now=TUESDAY))

    change(session)

    assert facts(directory.load(session, now=TUESDAY)) != before


@pytest.mark.parametrize("table", CHANGES)
def test_a_change_that_was_rolled_back_is_not_kept(core: Flask, people: dict[str, int], table: str) -> None:
    before = facts(loaded())

    with pytest.raises(RuntimeError), db.writing() as session:
        CHANGES[table](session)
        session.flush()
        changed = facts(directory.load(session, now=TUESDAY))
        raise RuntimeError

    assert changed != before
    assert facts(loaded()) == before


def added(session: Session) -> None:
    session.add(Closure(first_on=CHRISTMAS, last_on=CHRISTMAS, kind=ClosureKind.CLOSED))


def altered(session: Session) -> None:
    session.execute(update(Closure).values(last_on=date(2026, 12, 31)))


def removed(session: Session) -> None:
    session.delete(session.scalars(select(Closure)).one())


def test_a_row_added_altered_and_removed_is_a_change_each(core: Flask, people: dict[str, int]) -> None:
    seen = [facts(loaded())["closures"]]

    for change in (added, altered, removed):
        with db.writing() as session:
            change(session)
        seen.append(facts(loaded())["closures"])

    assert len({str(one) for one in seen}) == 3
    assert seen[0] == seen[3] == []


def test_a_change_by_another_process_is_seen(core: Flask, people: dict[str, int]) -> None:
    """Another process has a memory of its own: only the mark in the database tells."""
    before = loaded()

    with db.db.engine.connect() as other:
        other.exec_driver_sql("UPDATE team SET place = 'DE-HH' WHERE name = 'Kundendienst'")
        other.commit()

    assert {row.place for row in loaded().teams.values()} != {row.place for row in before.teams.values()}


def test_a_change_elsewhere_leaves_the_directory_alone(core: Flask, people: dict[str, int]) -> None:
    before = loaded()

    with db.writing() as session:
        session.connection().exec_driver_sql("INSERT INTO link_wish (email_key, at) VALUES ('x', '2026-11-24')")

    assert loaded() is before


def test_absences_that_are_over_are_not_read(session: Session, people: dict[str, int]) -> None:
    away(session, people["Miriam Albrecht"], since=TUESDAY - timedelta(days=9), until=TUESDAY - timedelta(days=1))
    away(session, people["Jonas Weidner"], since=TUESDAY, until=TUESDAY + timedelta(days=1))
    away(session, people["Lena Hofmann"], since=TUESDAY + timedelta(days=30))

    found = directory.load(session, now=TUESDAY).absences

    assert [absent.person_id for absent in found] == [people["Jonas Weidner"], people["Lena Hofmann"]]


def test_an_earlier_now_is_answered_with_the_absences_of_that_time(session: Session, people: dict[str, int]) -> None:
    """The demo tells its cases in the past; a cache of today would miss who was away then."""
    away(session, people["Miriam Albrecht"], since=TUESDAY - timedelta(days=9), until=TUESDAY - timedelta(days=1))
    session.flush()
    today = directory.load(session, now=TUESDAY)

    then = directory.load(session, now=TUESDAY - timedelta(days=5))

    assert (len(today.absences), len(then.absences)) == (0, 1)


# --- what it says ----------------------------------------------------------------------------------------------------


def test_a_closure_holds_for_the_firm_a_place_or_a_team(session: Session) -> None:
    kundendienst = named(session, Team, "Kundendienst").id
    for day, place, team_id in ((21, None, None), (22, "DE-BY", None), (23, None, kundendienst)):
        on = date(2026, 12, day)
        session.add(Closure(first_on=on, last_on=on, kind=ClosureKind.CLOSED, place=place, team_id=team_id))
    session.flush()

    found = directory.load(session, now=TUESDAY)

    off = {
        one.name: [day for day in (21, 22, 23) if found.calendar(one).is_day_off(date(2026, 12, day))]
        for one in found.teams.values()
    }
    assert off == {"Vertrieb Süd": [21, 22], "Kundendienst": [21, 23], "Auftrag und Rechnung": [21]}


def test_a_holiday_on_which_the_firm_works_is_none(session: Session) -> None:
    epiphany = date(2027, 1, 6)
    bavarians = named(session, Team, "Vertrieb Süd")
    before = directory.load(session, now=TUESDAY).calendar(bavarians).is_day_off(epiphany)

    session.add(Closure(first_on=epiphany, last_on=epiphany, kind=ClosureKind.NOT_A_HOLIDAY))
    session.flush()

    found = directory.load(session, now=TUESDAY)
    assert (before, found.calendar(bavarians).is_day_off(epiphany)) == (True, False)
    assert found.is_holiday("DE-BY", epiphany) is False


def test_closed_wins_over_open(session: Session) -> None:
    epiphany = date(2027, 1, 6)
    session.add(Closure(first_on=epiphany, last_on=epiphany, kind=ClosureKind.NOT_A_HOLIDAY))
    session.add(Closure(first_on=epiphany, last_on=epiphany, kind=ClosureKind.EXTRA, place="DE-BY"))
    session.flush()

    found = directory.load(session, now=TUESDAY)

    assert found.is_holiday("DE-BY", epiphany) is True


def test_letters_leave_in_the_companys_sending_hours(session: Session) -> None:
    session.get_one(Company, 1).sends_from_minute = 480
    session.flush()

    found = directory.load(session, now=TUESDAY)

    sending = found.sending(named(session, Team, "Vertrieb Süd"))
    assert set(sending.hours.values()) == {((480, 1140),)}


def test_the_team_of_a_case_without_an_owner_is_the_topics(session: Session, people: dict[str, int]) -> None:
    case = open_case(session, "technik")
    found = directory.load(session, now=TUESDAY)

    owned = found.team_of(case).name
    case.owner_id = people["Jonas Weidner"]
    assert (owned, found.team_of(case).name) == ("Kundendienst", "Vertrieb Süd")


def test_who_is_away_without_a_deputy_in_sight_is_acted_for_by_the_lead(
    session: Session, people: dict[str, int]
) -> None:
    for name in ("Miriam Albrecht", "Jonas Weidner"):
        away(session, people[name], since=berlin("2026-11-24 00:00"))
    session.flush()

    acting = directory.load(session, now=TUESDAY).acting(people["Miriam Albrecht"], TUESDAY)

    assert (acting.person_id, acting.for_id, acting.alarm) == (
        people["Dr. Katharina Voss"],
        people["Miriam Albrecht"],
        True,
    )


def test_an_absence_row_is_read_as_it_was_entered(session: Session, people: dict[str, int]) -> None:
    row: Absence = away(session, people["Miriam Albrecht"], since=TUESDAY, deputy_id=people["Dr. Katharina Voss"])

    (absent,) = directory.load(session, now=TUESDAY).absences

    assert (absent.person_id, absent.starts_at, absent.ends_at) == (row.person_id, TUESDAY, None)
    assert (absent.deputy_id, absent.order) == (people["Dr. Katharina Voss"], row.id)


@pytest.mark.parametrize("why", ["no hours", "closed for more than a year"])
def test_without_business_time_ahead_presence_is_judged_at_the_moment_itself(
    session: Session, people: dict[str, int], why: str
) -> None:
    team = named(session, Team, "Vertrieb Süd")
    without_business_time(session, team.id, why)
    away(session, people["Miriam Albrecht"], since=TUESDAY, until=TUESDAY + timedelta(days=1))

    found = directory.load(session, now=TUESDAY)

    assert found.business_minute(team, TUESDAY) == TUESDAY
    assert found.acting(people["Miriam Albrecht"], TUESDAY).for_id == people["Miriam Albrecht"]
    assert found.acting(people["Jonas Weidner"], TUESDAY).person_id == people["Jonas Weidner"]
    assert found.back_at(people["Miriam Albrecht"], TUESDAY) == TUESDAY + timedelta(days=1)


# --- helpers ---------------------------------------------------------------------------------------------------------


def without_business_time(session: Session, team_id: int, why: str) -> None:
    """Take a team's business time away."""
    if why == "no hours":
        session.execute(delete(Hours).where(Hours.team_id == team_id))
    else:
        days = {"first_on": date(2026, 11, 1), "last_on": date(2028, 1, 31)}
        session.add(Closure(**days, kind=ClosureKind.CLOSED, team_id=team_id))


def loaded() -> Directory:
    """The directory as a transaction of its own sees it."""
    with db.reading() as session:
        return directory.load(session, now=TUESDAY)


def named(session: Session, model: Any, name: str) -> Any:
    return session.scalars(select(model).where(model.name == name)).one()


def facts(found: Directory) -> dict[str, Any]:
    """Everything the directory says, as plain values."""
    return {
        "company": columns(found.company),
        "teams": [columns(row) for row in found.teams.values()],
        "people": [columns(row) for row in found.people.values()],
        "topics": [columns(row) for row in found.topics.values()],
        "levels": [columns(row) for row in found.levels.values()],
        "weeks": [dict(found.team_weeks), dict(found.person_weeks)],
        "closures": [columns(row) for row in found.closures],
        "absences": list(found.absences),
        "competences": dict(found.competences),
    }


def columns(row: Any) -> dict[str, Any]:
    return {column.key: getattr(row, column.key) for column in inspect(type(row)).column_attrs}
