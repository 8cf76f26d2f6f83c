"""When a company works and who is there: business minutes, sending minutes, presence. All instants are UTC."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from holidays import country_holidays

Span = tuple[datetime, datetime]
"""From (inclusive) and until (exclusive)."""
DAY = timedelta(days=1)
LONGEST_SEARCH = 400
"""Days looked through for an opening."""


@dataclass(frozen=True)
class Team:
    """Where and when people work together."""

    name: str
    place: str
    tz: ZoneInfo
    lead: str | None
    hours: Mapping[int, list[list[int]]]


@dataclass(frozen=True)
class Person:
    """A colleague, as the plan names them."""

    name: str
    email: str
    team: str
    place: str
    workdays: frozenset[int]
    deputy: str | None


@dataclass
class Absence:
    """Away from when until when (None: nobody knows yet), and since when that is known."""

    start: datetime
    end: datetime | None
    known: datetime


@dataclass(frozen=True)
class Closure:
    """Days on which a place, a team or everybody does not work, and since when that is known."""

    first: date
    last: date
    place: str | None
    team: str | None
    known: datetime


@lru_cache(maxsize=512)
def holidays_of(place: str, year: int) -> frozenset[date]:
    """The public holidays of a place such as DE-BY."""
    country, _, state = place.partition("-")
    days = country_holidays(country, subdiv=state, years=year, expand=False, language="de", categories=("public",))
    return frozenset(days)


@dataclass
class Company:
    """The plan's first line, and what became known of absences and closures."""

    name: str
    sends: tuple[int, int]
    """The minutes of the local day between which unasked letters may leave."""
    last_instance: str | None
    teams: dict[str, Team]
    people: dict[str, Person]
    topics: dict[str, str]
    """Slug to team."""
    minutes: dict[str, int]
    """Slug to how long an appointment is."""
    absences: dict[str, list[Absence]] = field(default_factory=dict)
    closures: list[Closure] = field(default_factory=list)
    laid_out: dict[tuple[str, date, bool, int], list[Span]] = field(default_factory=dict)

    @classmethod
    def of(cls, head: Mapping[str, Any]) -> "Company":
        """The company of the plan's first line."""
        teams = {
            one["name"]: Team(one["name"], one["place"], ZoneInfo(one["tz"]), one.get("lead"), _week(one["hours"]))
            for one in head["teams"]
        }
        people = {
            one["name"]: Person(
                one["name"],
                one["email"].lower(),
                one["team"],
                one["place"],
                frozenset(_week(one["hours"])),
                one.get("deputy"),
            )
            for one in head["people"]
        }
        topics = {one["slug"]: one["team"] for one in head["topics"]}
        minutes = {one["slug"]: one["slot_min"] for one in head["topics"] if "slot_min" in one}
        sends = (head["sends_from_minute"], head["sends_until_minute"])
        return cls(head["name"], sends, head.get("last_instance"), teams, people, topics, minutes)

    def is_away(self, name: str, at: datetime, *, known: datetime) -> bool:
        """Whether this person is away at their team's next business minute from ``at`` on, as far as ``known`` then."""
        person = self.people.get(name)
        if person is None:
            return True
        team = self.teams[person.team]
        minute = self.next_minute(team, at, known=known)
        day = minute.astimezone(team.tz).date()
        if day.weekday() not in person.workdays or day in holidays_of(person.place, day.year):
            return True
        return any(
            absence.start <= minute and (absence.end is None or minute < absence.end)
            for absence in self._absences(name, known)
        )

    def _absences(self, name: str, known: datetime) -> list[Absence]:
        """Those known by then; one entered again for the same start takes the place of the earlier."""
        latest = {absence.start: absence for absence in self.absences.get(name, ()) if absence.known <= known}
        return list(latest.values())

    def next_minute(self, team: Team, at: datetime, *, known: datetime, sending: bool = False) -> datetime:
        """The first business (or sending) instant at or after ``at``."""
        return next(self._from(team, at, known, sending))[0]

    def after(self, team: Team, at: datetime, minutes: float, *, known: datetime) -> datetime:
        """The instant when so many sending minutes have gone by since ``at``."""
        left = timedelta(minutes=minutes)
        for start, end in self._from(team, at, known, True):
            if end - start >= left:
                return start + left
            left -= end - start
        raise AssertionError("no sending hours ahead")

    def _from(self, team: Team, at: datetime, known: datetime, sending: bool) -> Iterator[Span]:
        day = at.astimezone(team.tz).date()
        for _ in range(LONGEST_SEARCH):
            for start, end in self.spans(team, day, known=known, sending=sending):
                if end > at:
                    yield max(start, at), end
            day += DAY
        raise AssertionError(f"{team.name} never works after {at}")

    def spans(self, team: Team, day: date, *, known: datetime, sending: bool) -> list[Span]:
        """The business (or sending) spans of a local day; none on a holiday, a closure or a day without hours."""
        number = sum(closure.known <= known for closure in self.closures)
        key = (team.name, day, sending, number)
        if key not in self.laid_out:
            works = bool(team.hours.get(day.weekday())) and not self._is_day_off(team, day, known)
            hours = [list(self.sends)] if sending else sorted(team.hours.get(day.weekday(), []))
            self.laid_out[key] = [(_at(team, day, one), _at(team, day, other)) for one, other in hours] if works else []
        return self.laid_out[key]

    def _is_day_off(self, team: Team, day: date, known: datetime) -> bool:
        return day in holidays_of(team.place, day.year) or any(
            closure.first <= day <= closure.last
            and closure.known <= known
            and closure.place in (None, team.place)
            and closure.team in (None, team.name)
            for closure in self.closures
        )


def _week(hours: Mapping[str, list[list[int]]]) -> dict[int, list[list[int]]]:
    return {int(weekday): spans for weekday, spans in hours.items() if spans}


def _at(team: Team, day: date, minute: int) -> datetime:
    midnight = datetime(day.year, day.month, day.day) + timedelta(minutes=minute)  # noqa: DTZ001  # a wall clock
    return midnight.replace(tzinfo=team.tz).astimezone(UTC)
