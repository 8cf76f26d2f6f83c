"""Who works there: teams in several states and three countries, their people, hours, deputies, topics and accounts.

Names and numbers are made up; phone numbers are from the block kept free for media, addresses end in .example.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from enum import StrEnum
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from portal.cases.models import Topic, TopicMedium
from portal.customers.models import Account
from portal.people import places
from portal.people.models import Company, Competence, Hours, Person, Team
from portal.promises.models import Medium, ServiceLevel

Week = Mapping[int, tuple[tuple[int, int], ...]]

LEAST_PEOPLE, MOST_PEOPLE = 5, 200
NAME = "Beispielwerke"
SENDS_FROM, SENDS_UNTIL = 7 * 60, 19 * 60

NINE_TO_FIVE: Week = dict.fromkeys(range(4), ((480, 1020),)) | {4: ((480, 900),)}
WITH_LUNCH: Week = dict.fromkeys(range(5), ((480, 720), (780, 1020)))
PART_TIME: Week = dict.fromkeys(range(3), ((480, 840),))
FOUR_DAYS: Week = dict.fromkeys(range(4), ((480, 1020),))


class Habit(StrEnum):
    """How somebody works."""

    PROMPT = "prompt"
    LATE = "late"
    FORGETFUL = "forgetful"
    PROMISES_TOO_MUCH = "promises_too_much"
    NEVER_LOGS_CALLS = "never_logs_calls"


@dataclass(frozen=True)
class TeamPlan:
    """A team before it is a row."""

    name: str
    place: str
    tz: str
    hours: Week
    topics: tuple["TopicPlan", ...]


@dataclass(frozen=True)
class TopicPlan:
    """A topic and how many of the customers choose it, in parts."""

    slug: str
    name_de: str
    name_en: str
    medium: TopicMedium
    level: str
    weight: int
    slot: Medium | None = None
    """What customers can choose a time for."""
    minutes: int = 30
    """How long such an appointment is."""


@dataclass(frozen=True)
class Colleague:
    """A person before they are a row."""

    name: str
    email: str
    team: str
    place: str
    tz: str
    hours: Week
    habit: Habit
    deputy: str
    lead: bool

    def at_work(self, at: datetime) -> bool:
        """Whether the instant lies in this person's own hours, on no public holiday of their place."""
        local = at.astimezone(ZoneInfo(self.tz))
        if places.is_holiday(self.place, local.date()):
            return False
        minute = local.hour * 60 + local.minute
        return any(start <= minute < end for start, end in self.hours.get(local.weekday(), ()))


@dataclass(frozen=True)
class House:
    """The company as it is written into the plan."""

    teams: tuple[TeamPlan, ...]
    people: tuple[Colleague, ...]
    front_desk: str
    last_instance: str

    @property
    def topics(self) -> tuple[TopicPlan, ...]:
        """All topics, team by team."""
        return tuple(topic for team in self.teams for topic in team.topics)

    def person(self, name: str) -> Colleague:
        """The colleague of this name."""
        return next(one for one in self.people if one.name == name)

    def team(self, name: str) -> TeamPlan:
        """The team of this name."""
        return next(one for one in self.teams if one.name == name)

    def lead(self, team: str) -> Colleague:
        """Who leads the team of this name."""
        return next(one for one in self.people if one.team == team and one.lead)


LEVELS = {
    "Ein halber Arbeitstag": (240, 480, 120, 60),
    "Ein Arbeitstag": (480, 480, 240, 60),
    "Zwei Arbeitstage": (960, 960, 240, 60),
    "Drei Arbeitstage": (1440, 960, 240, 120),
}
"""Business minutes until the answer, between updates, of the reminder and of the notice beforehand."""

_REPLY, _CALL = TopicMedium.REPLY, TopicMedium.CALL
_PHONE, _VISIT = Medium.CALL, Medium.VISIT
TEAMS = (
    TeamPlan("Vertrieb Süd", "DE-BY", "Europe/Berlin", NINE_TO_FIVE, (
        TopicPlan("angebot", "Angebot anfragen", "Ask for an offer", _REPLY, "Zwei Arbeitstage", 14, _PHONE, 20),
        TopicPlan("rueckruf", "Rückruf", "Call me back", _CALL, "Ein halber Arbeitstag", 10, _PHONE, 15),
    )),
    TeamPlan("Kundendienst", "DE-NW", "Europe/Berlin", NINE_TO_FIVE, (
        TopicPlan("reklamation", "Reklamation", "Complaint", _REPLY, "Ein Arbeitstag", 10),
        TopicPlan("technik", "Technischer Kundendienst", "Technical service", _REPLY, "Ein Arbeitstag", 12,
                  _VISIT, 60),
    )),
    TeamPlan("Auftrag und Rechnung", "DE-SN", "Europe/Berlin", WITH_LUNCH, (
        TopicPlan("lieferung", "Frage zur Lieferung", "Question about a delivery", _REPLY, "Ein Arbeitstag", 10),
        TopicPlan("rechnung", "Frage zur Rechnung", "Question about an invoice", _REPLY, "Zwei Arbeitstage", 8),
    )),
    TeamPlan("Vertrieb Nord", "DE-HH", "Europe/Berlin", NINE_TO_FIVE, (
        TopicPlan("projekt", "Projekt besprechen", "Discuss a project", _REPLY, "Drei Arbeitstage", 12, _PHONE),
        TopicPlan("beratung", "Beratung am Telefon", "Advice by phone", _CALL, "Ein Arbeitstag", 6),
    )),
    TeamPlan("Wien", "AT-9", "Europe/Vienna", NINE_TO_FIVE, (
        TopicPlan("oesterreich", "Anfrage aus Österreich", "Request from Austria", _REPLY, "Ein Arbeitstag", 10,
                  _PHONE),
    )),
    TeamPlan("Zürich", "CH-ZH", "Europe/Zurich", WITH_LUNCH, (
        TopicPlan("schweiz", "Anfrage aus der Schweiz", "Request from Switzerland", _REPLY, "Zwei Arbeitstage", 8,
                  _PHONE, 20),
    )),
)  # fmt: skip
_SHARES = (5, 4, 4, 3, 2, 2)
"""How the twenty people are spread over the teams; more or fewer in the same order."""

_NAMES = (
    "Miriam Albrecht", "Jonas Weidner", "Katharina Voss", "Thomas Brandt", "Deniz Yilmaz", "Lena Hofmann",
    "Sandra Neumann", "Petra Lindner", "Robert Kessler", "Anke Petersen", "Felix Ahrens", "Hanna Claasen",
    "Ulrich Gruber", "Selin Moser", "Markus Hauser", "Birgit Frei", "Paul Keller", "Elif Aydin", "Georg Winter",
    "Nora Ebert",
)  # fmt: skip
_HABITS = (Habit.PROMPT, Habit.PROMPT, Habit.LATE, Habit.PROMPT, Habit.FORGETFUL, Habit.PROMPT,
           Habit.PROMISES_TOO_MUCH, Habit.PROMPT, Habit.NEVER_LOGS_CALLS, Habit.PROMPT)  # fmt: skip


def found(people: int) -> House:
    """A company of that many people, always the same for the same number; the last one is the last instance."""
    teams = TEAMS[: max(1, min(len(TEAMS), (people - 1) // 2))]
    seats = [team for round_ in range(max(_SHARES) + people) for team, share in zip(teams, _SHARES, strict=False)
             if round_ < share or round_ >= max(_SHARES)][: people - 1]  # fmt: skip
    names = [_name(number) for number in range(people)]
    members = {team.name: [name for name, seat in zip(names, seats, strict=False) if seat is team] for team in teams}
    colleagues = [_colleague(number, names[number], seat, members[seat.name]) for number, seat in enumerate(seats)]
    head = teams[0]
    boss = names[people - 1]
    colleagues.append(
        Colleague(
            boss,
            _email(boss),
            head.name,
            head.place,
            head.tz,
            NINE_TO_FIVE,
            Habit.PROMPT,
            members[head.name][0],
            lead=False,
        )
    )
    return House(teams, tuple(colleagues), front_desk=members[teams[-1 if people < 7 else 2].name][-1],
                 last_instance=boss)  # fmt: skip


def write(session: Session, house: House) -> dict[str, int]:
    """Write the company into an empty database; the ids of its people by name."""
    teams = {one.name: Team(name=one.name, place=one.place, tz=one.tz) for one in house.teams}
    levels = {
        name: ServiceLevel(name=name, answer_min=answer, update_min=update, remind_min=remind, notice_min=notice)
        for name, (answer, update, remind, notice) in LEVELS.items()
    }
    session.add_all([*teams.values(), *levels.values()])
    session.flush()
    topics = {topic.slug: _topic(topic, position, teams[team.name], levels[topic.level])
              for position, (team, topic) in enumerate((t, one) for t in house.teams for one in t.topics)}  # fmt: skip
    people = {one.name: _person(one, number, teams) for number, one in enumerate(house.people)}
    session.add_all([*topics.values(), *people.values()])
    session.flush()
    for one in house.people:
        people[one.name].deputy_id = people[one.deputy].id
        session.add_all(_hours(one.hours, person_id=people[one.name].id))
        if one.name != house.last_instance:
            slugs = [topic.slug for topic in house.team(one.team).topics]
            session.add_all(Competence(person_id=people[one.name].id, topic_id=topics[slug].id) for slug in slugs)
    for team in house.teams:
        teams[team.name].lead_id = people[house.lead(team.name).name].id
        session.add_all(_hours(team.hours, team_id=teams[team.name].id))
    session.add(_company(people[house.front_desk].id, people[house.last_instance].id))
    session.add_all(
        Account(
            name=f"Haustechnik {one.name.split()[1]}",
            number=account_number(number),
            potential=1 + number % 4,
            manager_id=people[one.name].id,
        )
        for number, one in enumerate(house.people[:-1])
    )
    session.flush()
    return {name: person.id for name, person in people.items()}


def account_number(number: int) -> str:
    """The customer number of the account that the n-th colleague manages."""
    return f"K-{10000 + number}"


def local_instant(day: date, minute: int, tz: str) -> datetime:
    """The instant of a wall-clock minute, in UTC."""
    return datetime.combine(day, time(minute // 60, minute % 60), ZoneInfo(tz)).astimezone(UTC)


def _name(number: int) -> str:
    """A name nobody else has; after the twentieth, people have two surnames."""
    again, name = number // len(_NAMES), _NAMES[number % len(_NAMES)]
    return f"{name}-{_NAMES[again - 1].split()[1]}" if again else name


def _email(name: str) -> str:
    return f"{name.lower().replace(' ', '.')}@beispielwerke.example"


def _colleague(number: int, name: str, team: TeamPlan, members: list[str]) -> Colleague:
    place_in_team = members.index(name)
    lead = place_in_team == 0
    deputy = (
        members[1 if lead else 0] if len(members) < 3 or lead else members[max(1, (place_in_team + 1) % len(members))]
    )
    hours = team.hours
    if not lead and place_in_team > 1:
        hours = {0: PART_TIME, 1: FOUR_DAYS}.get(number % 6, team.hours)
    habit = Habit.PROMPT if lead else _HABITS[number % len(_HABITS)]
    return Colleague(name, _email(name), team.name, team.place, team.tz, hours, habit, deputy, lead)


def _topic(topic: TopicPlan, position: int, team: Team, level: ServiceLevel) -> Topic:
    around = 20 if topic.slot == Medium.VISIT else 0
    return Topic(slug=topic.slug, position=position, team_id=team.id, level_id=level.id, name_de=topic.name_de,
                 name_en=topic.name_en, medium=topic.medium, slot_medium=topic.slot, slot_minutes=topic.minutes,
                 slot_grid=30, slot_before=around, slot_after=around or 10)  # fmt: skip


def _person(one: Colleague, number: int, teams: dict[str, Team]) -> Person:
    return Person(
        team_id=teams[one.team].id,
        name=one.name,
        role=f"Leitung {one.team}" if one.lead else one.team,
        line_e164=f"+498999998{number:03d}",
        line_shown=f"089 99998-{number:03d}",
        email=one.email,
        place=one.place,
    )


def _hours(week: Week, *, team_id: int | None = None, person_id: int | None = None) -> list[Hours]:
    return [
        Hours(team_id=team_id, person_id=person_id, weekday=day, from_minute=start, until_minute=end)
        for day, spans in week.items()
        for start, end in spans
    ]


def _company(front_desk_id: int, last_instance_id: int) -> Company:
    return Company(
        id=1,
        name=NAME,
        legal_block="Beispielwerke Großhandel GmbH\nSitz: München · Amtsgericht München, HRB 000000",
        imprint_url="https://www.beispielwerke.example/impressum",
        privacy_url="https://www.beispielwerke.example/datenschutz",
        accent="#0b5d66",
        sends_from_minute=SENDS_FROM,
        sends_until_minute=SENDS_UNTIL,
        front_desk_id=front_desk_id,
        last_instance_id=last_instance_id,
    )
