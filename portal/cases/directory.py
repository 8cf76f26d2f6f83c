"""The directory: who works here, when, and who acts for whom, as one transaction sees it.

Read once per step with a handful of queries and handed on; every rule about people and business time below it is pure.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property, partial
from itertools import chain
from typing import TypeVar

from flask import current_app
from sqlalchemy import CheckConstraint, String, bindparam, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from portal.cases.errors import NotSetUp
from portal.cases.models import Case, CaseState, Topic
from portal.db import Base, after_create
from portal.languages import Voice
from portal.people import places, presence
from portal.people.models import Absence, Closure, ClosureKind, Company, Competence, Hours, Person, Team
from portal.promises import business_time
from portal.promises.business_time import BeyondHolidayTable, Calendar, NoBusinessTime
from portal.promises.models import ServiceLevel
from portal.promises.service_level import sending_calendar

Week = Mapping[int, tuple[tuple[int, int], ...]]
Row = TypeVar("Row", bound=Base)


@dataclass(frozen=True)
class Directory:
    """Everybody and everything that decides who answers and by when."""

    company: Company
    teams: Mapping[int, Team]
    people: Mapping[int, Person]
    topics: Mapping[int, Topic]
    levels: Mapping[int, ServiceLevel]
    team_weeks: Mapping[int, Week]
    person_weeks: Mapping[int, Week]
    closures: tuple[Closure, ...]
    absences: tuple[presence.Absent, ...]
    competences: Mapping[int, frozenset[int]]

    @property
    def country(self) -> str:
        """Where the company sits: a number typed without a country code is dialled from here."""
        return places.country(self.people[self.company.front_desk_id].place)

    def team_of(self, case: Case) -> Team:
        """The team in whose hours and place the case's dates are counted."""
        if case.owner_id is not None:
            return self.teams[self.people[case.owner_id].team_id]
        return self.teams[self.topics[case.topic_id].team_id]

    def voice(self, team: Team, language: str) -> Voice:
        """How this team speaks to a reader of that language."""
        return Voice(language, places.country(team.place), team.tz)

    def voice_of(self, case: Case) -> Voice:
        """How we speak to this case's customer."""
        return self.voice(self.team_of(case), case.language)

    def calendar(self, team: Team) -> Calendar:
        """The team's business hours."""
        return self._calendars[team.id]

    def person_calendar(self, person_id: int) -> Calendar:
        """A person's own working hours, with the holidays and closures of their place and of their team."""
        return self._person_calendars[person_id]

    def sending(self, team: Team) -> Calendar:
        """The hours in which unasked letters of this team may leave."""
        return self._sending[team.id]

    def acting(self, owner_id: int, at: datetime, *, topic_id: int | None = None) -> presence.Acting:
        """Who really answers for ``owner_id`` at the team's next business minute at or after ``at``."""
        team = self.teams[self.people[owner_id].team_id]
        return presence.acting(self.roster, owner_id, self.business_minute(team, at), topic_id=topic_id)

    def is_present(self, person_id: int, at: datetime) -> bool:
        """Whether this person is there at their team's next business minute at or after ``at``."""
        team = self.teams[self.people[person_id].team_id]
        return presence.is_present(self.roster, person_id, self.business_minute(team, at))

    def back_at(self, person_id: int, at: datetime) -> datetime | None:
        """When an absence ends that holds at the team's next business minute at or after ``at``, if that is known."""
        team = self.teams[self.people[person_id].team_id]
        return presence.back_at(self.roster, person_id, self.business_minute(team, at))

    def acting_person(self, case: Case, at: datetime) -> presence.Acting:
        """Who acts in this case: for the person of its next step, else for its owner, else for the front desk."""
        named = case.step.person_id if case.step is not None else case.owner_id
        return self.acting(named or self.company.front_desk_id, at, topic_id=case.topic_id)

    def front_desk(self, at: datetime) -> presence.Acting:
        """Who answers the company's general line at ``at``."""
        return self.acting(self.company.front_desk_id, at)

    def business_minute(self, team: Team, at: datetime) -> datetime:
        """The team's next business minute at or after ``at``; ``at`` itself where none is known.

        A team without hours, closed for more than a year, or beyond the holiday table: presence is then judged at the
        instant itself, so that every page can still name a person.
        """
        try:
            return business_time.next_open(self.calendar(team), at)
        except (NoBusinessTime, BeyondHolidayTable):
            return at

    def is_holiday(self, place: str, day: date) -> bool:
        """Whether nobody of this place works on that day: a public holiday, or a closure of the firm or the place."""
        kinds = {row.kind for row in self.closures if row.team_id is None and _covers(row, day, place, None)}
        if kinds & {ClosureKind.EXTRA, ClosureKind.CLOSED}:
            return True
        return ClosureKind.NOT_A_HOLIDAY not in kinds and places.is_holiday(place, day)

    @cached_property
    def roster(self) -> presence.Roster:
        """The plain values the presence rules take."""
        return presence.Roster(
            colleagues={person.id: self._colleague(person) for person in self.people.values()},
            absences=self.absences,
            leads={team.id: team.lead_id for team in self.teams.values()},
            last_instance_id=self.company.last_instance_id,
            is_holiday=self.is_holiday,
        )

    @cached_property
    def _calendars(self) -> Mapping[int, Calendar]:
        return {
            team.id: Calendar(
                tz=team.tz,
                hours=self.team_weeks.get(team.id, {}),
                is_day_off=partial(self._is_day_off, team),
                ends_on=places.TABLE_ENDS_ON,
            )
            for team in self.teams.values()
        }

    @cached_property
    def _person_calendars(self) -> Mapping[int, Calendar]:
        return {
            person.id: Calendar(
                tz=self.teams[person.team_id].tz,
                hours=self.person_weeks.get(person.id, {}),
                is_day_off=partial(self._is_off, person),
                ends_on=places.TABLE_ENDS_ON,
            )
            for person in self.people.values()
        }

    @cached_property
    def _sending(self) -> Mapping[int, Calendar]:
        hours = {"from_minute": self.company.sends_from_minute, "until_minute": self.company.sends_until_minute}
        return {team_id: sending_calendar(calendar, **hours) for team_id, calendar in self._calendars.items()}

    def _colleague(self, person: Person) -> presence.Colleague:
        return presence.Colleague(
            id=person.id,
            team_id=person.team_id,
            deputy_id=person.deputy_id,
            place=person.place,
            tz=self.teams[person.team_id].tz,
            workdays=frozenset(self.person_weeks.get(person.id, {})),
            answers=person.answers,
            left_on=person.left_on,
            topics=self.competences.get(person.id, frozenset()),
        )

    def _is_off(self, person: Person, day: date) -> bool:
        return self.is_holiday(person.place, day) or self._is_day_off(self.teams[person.team_id], day)

    def _is_day_off(self, team: Team, day: date) -> bool:
        kinds = {row.kind for row in self.closures if _covers(row, day, team.place, team.id)}
        if kinds & {ClosureKind.EXTRA, ClosureKind.CLOSED}:
            return True
        return ClosureKind.NOT_A_HOLIDAY not in kinds and places.is_holiday(team.place, day)


class DirectoryRevision(Base):
    """A mark that changes with every change of the tables the directory is read from; triggers write it.

    It is random, so that a mark seen in a transaction that was rolled back never comes again.
    """

    __tablename__ = "directory_revision"
    __table_args__ = (CheckConstraint("id = 1", name="one_revision"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    revision: Mapped[str] = mapped_column(String(40))


_REVISION = select(DirectoryRevision.revision)


def load(session: Session, *, now: datetime) -> Directory:
    """The directory as this transaction sees it: one query while nothing in it changed, once in a reading one.

    Rows of it that wait to be written are written first: the query goes past the session's unit of work.
    """
    seen: Directory | None = session.info.get("directory")
    if seen is not None:
        return seen
    if any(isinstance(row, WATCHED) for row in chain(session.new, session.dirty, session.deleted)):
        session.flush()
    revision = session.connection().execute(_REVISION).scalar_one()
    kept = current_app.extensions.get("portal.directory")
    if kept is not None and kept[0] == revision and kept[1] <= now:
        directory: Directory = kept[2]
    else:
        directory = _read(session, now=now)
        current_app.extensions["portal.directory"] = (revision, now, directory)
    if session.info.get("reads"):
        session.info["directory"] = directory
    return directory


def keep(session: Session, *, now: datetime) -> None:
    """Load it, and let this writing transaction see it so until its end.

    For whoever changes nothing of it and lets nobody enter an absence meanwhile (``absences.none_meanwhile``).
    """
    session.info["directory"] = load(session, now=now)


def _read(session: Session, *, now: datetime) -> Directory:
    """Read everything, as rows of their own that belong to no session; of the absences those not yet over.

    Raises NotSetUp while there is no company.
    """
    companies = _rows(session, Company)
    if not companies:
        raise NotSetUp
    team_weeks: dict[int, dict[int, tuple[tuple[int, int], ...]]] = defaultdict(dict)
    person_weeks: dict[int, dict[int, tuple[tuple[int, int], ...]]] = defaultdict(dict)
    for hours in sorted(_rows(session, Hours), key=lambda row: (row.weekday, row.from_minute)):
        week = team_weeks[hours.team_id] if hours.team_id is not None else person_weeks[hours.person_id or 0]
        week[hours.weekday] = (*week.get(hours.weekday, ()), (hours.from_minute, hours.until_minute))
    competences: dict[int, set[int]] = defaultdict(set)
    for row in _rows(session, Competence):
        competences[row.person_id].add(row.topic_id)
    topics = sorted(_rows(session, Topic), key=lambda topic: (topic.position, topic.id))
    return Directory(
        company=companies[0],
        teams={team.id: team for team in _rows(session, Team)},
        people={person.id: person for person in _rows(session, Person)},
        topics={topic.id: topic for topic in topics},
        levels={level.id: level for level in _rows(session, ServiceLevel)},
        team_weeks=team_weeks,
        person_weeks=person_weeks,
        closures=tuple(_rows(session, Closure)),
        absences=tuple(
            presence.Absent(row.person_id, row.starts_at, row.ends_at, row.deputy_id, row.id)
            for row in _rows(session, Absence)
            if row.ends_at is None or row.ends_at > now
        ),
        competences={person_id: frozenset(topics) for person_id, topics in competences.items()},
    )


def _rows(session: Session, model: type[Row]) -> list[Row]:
    return [model(**row._mapping) for row in session.execute(select(model.__table__))]


_OPEN_CASES = (
    select(Case.owner_id, func.count())
    .where(Case.state == CaseState.OPEN, Case.owner_id.in_(bindparam("owner_ids", expanding=True)))
    .group_by(Case.owner_id)
)


def open_cases(session: Session, owner_ids: Collection[int]) -> dict[int, int]:
    """How many open cases each of these people owns; who owns none is missing."""
    rows = session.connection().execute(_OPEN_CASES, {"owner_ids": list(owner_ids)})
    return {owner_id: count for owner_id, count in rows if owner_id is not None}


def _covers(row: Closure, day: date, place: str, team_id: int | None) -> bool:
    if not row.first_on <= day <= row.last_on:
        return False
    if row.team_id is not None:
        return row.team_id == team_id
    return row.place is None or place == row.place


WATCHED = (Company, Team, Hours, Closure, Person, Competence, Absence, ServiceLevel, Topic)
FIRST_REVISION = "INSERT INTO directory_revision (id, revision) VALUES (1, 'empty')"


def sqlite_watch(table: str) -> list[str]:
    """Triggers that change the mark with every change of ``table``."""
    return [
        f"CREATE TRIGGER {table}_revision_{verb.lower()} AFTER {verb} ON {table} "  # noqa: S608  # our own table names
        "BEGIN UPDATE directory_revision SET revision = hex(randomblob(16)); END"
        for verb in ("INSERT", "UPDATE", "DELETE")
    ]


POSTGRESQL_WATCH = (
    "CREATE FUNCTION directory_changed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "UPDATE directory_revision SET revision = gen_random_uuid()::text; RETURN NULL; END $$"
)


def postgresql_watch(table: str) -> str:
    """The trigger that changes the mark with every statement that changes ``table``."""
    return (
        f"CREATE TRIGGER {table}_revision AFTER INSERT OR UPDATE OR DELETE ON {table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION directory_changed()"
    )


def _watch() -> None:
    after_create(Base.metadata, FIRST_REVISION)
    after_create(Base.metadata, POSTGRESQL_WATCH, dialect="postgresql")
    for model in WATCHED:
        for statement in sqlite_watch(model.__tablename__):
            after_create(Base.metadata, statement, dialect="sqlite")
        after_create(Base.metadata, postgresql_watch(model.__tablename__), dialect="postgresql")


_watch()
