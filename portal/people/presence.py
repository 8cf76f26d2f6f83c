"""Presence: who is there at an instant, and who stands in for whom (DESIGN.md section 4, "Acting person").

Pure: plain values in, plain values out. Days are judged, not hours: the caller has moved the instant to the
team's next business minute, and asks who answers then.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from types import MappingProxyType
from zoneinfo import ZoneInfo

NO_LOAD: Mapping[int, int] = MappingProxyType({})


class NobodyActs(LookupError):
    """Nobody is there, and the company has named no last instance."""


@dataclass(frozen=True)
class Absent:
    """A row of absence: from ``starts_at`` until just before ``ends_at``, or with an end not yet known."""

    person_id: int
    starts_at: datetime
    ends_at: datetime | None
    deputy_id: int | None
    order: int
    """Where two rows overlap, the one with the higher order wins: it was entered later."""


@dataclass(frozen=True)
class Colleague:
    """What presence must know of a person."""

    id: int
    team_id: int
    deputy_id: int | None
    """The standing deputy."""
    place: str
    tz: str
    workdays: frozenset[int]
    """Weekdays with hours of their own; 0 is Monday."""
    answers: bool
    """Whether this person answers customers."""
    left_on: date | None
    """The first day without them."""
    topics: frozenset[int]
    """The topics they may own or stand in for."""


@dataclass(frozen=True)
class Roster:
    """All colleagues with what decides about their presence."""

    colleagues: Mapping[int, Colleague]
    absences: tuple[Absent, ...]
    leads: Mapping[int, int | None]
    """Team to lead."""
    last_instance_id: int | None
    is_holiday: Callable[[str, date], bool]
    """Whether a day is a public holiday of a place."""


@dataclass(frozen=True)
class Acting:
    """Who really answers."""

    person_id: int
    for_id: int | None
    """The owner, when somebody else stands in."""
    alarm: bool
    """Whether nobody regular could be found, so that a person has to look."""


def is_present(roster: Roster, person_id: int, at: datetime) -> bool:
    """Whether the person works on the day of ``at``: no absence, own working day, no holiday of their place.

    The day is the one on their own wall clock. Who has left, or is unknown, is not present. Raises
    ValueError for an instant without a time zone.
    """
    if at.tzinfo is None:
        raise ValueError(f"{at} has no time zone; whose day it means is unknown.")
    colleague = roster.colleagues.get(person_id)
    if colleague is None or _absence(roster, person_id, at) is not None:
        return False
    day = at.astimezone(ZoneInfo(colleague.tz)).date()
    if colleague.left_on is not None and colleague.left_on <= day:
        return False
    return day.weekday() in colleague.workdays and not roster.is_holiday(colleague.place, day)


def back_at(roster: Roster, person_id: int, at: datetime) -> datetime | None:
    """The end of the absence at ``at``, through rows that overlap or follow without a gap.

    None when there is none, or when its end is not yet known. Days off and holidays are not looked at.
    """
    absence, end = _absence(roster, person_id, at), None
    while absence is not None:
        end = absence.ends_at
        absence = _absence(roster, person_id, end) if end else None
    return end


def acting(
    roster: Roster,
    owner_id: int,
    at: datetime,
    *,
    topic_id: int | None = None,
    load: Mapping[int, int] = NO_LOAD,
) -> Acting:
    """Who answers the owner's case at ``at``, an instant already moved to the team's next business minute.

    1. The owner, if present.
    2. The deputy named for the absence, else the standing deputy; while each is absent, theirs.
    3. With an alarm: the lead of the owner's team, the present and competent member with the fewest open
       cases in ``load`` (cases by person), the company's last instance, present or not.

    Whoever stands in is present, answers customers and, where a topic is given, is competent for it; of the
    lead no competence is asked. Raises NobodyActs when step 3 ends without a last instance.
    """
    if is_present(roster, owner_id, at):
        return Acting(owner_id, for_id=None, alarm=False)
    for deputy_id in _deputies(roster, owner_id, at):
        if _answers(roster, deputy_id, at) and _is_competent(roster, deputy_id, topic_id):
            return Acting(deputy_id, for_id=owner_id, alarm=False)
    chosen = _in_need(roster, owner_id, at, topic_id, load)
    return Acting(chosen, for_id=owner_id if chosen != owner_id else None, alarm=True)


def available(roster: Roster, team_id: int, topic_id: int | None, at: datetime) -> list[int]:
    """The members of a team who are present, answer customers and may own the topic (None: any), by id."""
    return sorted(
        colleague.id
        for colleague in roster.colleagues.values()
        if colleague.team_id == team_id
        and _is_competent(roster, colleague.id, topic_id)
        and _answers(roster, colleague.id, at)
    )


def _absence(roster: Roster, person_id: int, at: datetime) -> Absent | None:
    """The row that holds at the instant: of several, the one entered last."""
    holding = (
        absence
        for absence in roster.absences
        if absence.person_id == person_id
        and absence.starts_at <= at
        and (absence.ends_at is None or at < absence.ends_at)
    )
    return max(holding, key=lambda absence: absence.order, default=None)


def _deputies(roster: Roster, owner_id: int, at: datetime) -> Iterator[int]:
    """Everybody the chain of deputies leads to, nearest first, nobody twice: a circle ends it."""
    seen, waiting = {owner_id}, _next_deputies(roster, owner_id, at)
    while waiting:
        deputy_id = waiting.pop(0)
        if deputy_id not in seen:
            seen.add(deputy_id)
            yield deputy_id
            # Whom an absent deputy named comes before the standing deputy of the one who named them.
            waiting = _next_deputies(roster, deputy_id, at) + waiting


def _next_deputies(roster: Roster, person_id: int, at: datetime) -> list[int]:
    """The deputy named for the absence that holds, then the standing deputy, as far as there are any."""
    sources = (_absence(roster, person_id, at), roster.colleagues.get(person_id))
    return [source.deputy_id for source in sources if source and source.deputy_id is not None]


def _in_need(roster: Roster, owner_id: int, at: datetime, topic_id: int | None, load: Mapping[int, int]) -> int:
    """Who answers when the chain has led to nobody: the lead, a member of the team, the last instance."""
    owner = roster.colleagues.get(owner_id)
    lead_id = roster.leads.get(owner.team_id) if owner else None
    if lead_id is not None and _answers(roster, lead_id, at):
        return lead_id
    members = available(roster, owner.team_id, topic_id, at) if owner else []
    if members:
        return min(members, key=lambda member_id: (load.get(member_id, 0), member_id))
    if roster.last_instance_id is None:
        raise NobodyActs(f"Nobody answers for person {owner_id} at {at}, and there is no last instance.")
    return roster.last_instance_id


def _answers(roster: Roster, person_id: int, at: datetime) -> bool:
    return is_present(roster, person_id, at) and roster.colleagues[person_id].answers


def _is_competent(roster: Roster, person_id: int, topic_id: int | None) -> bool:
    colleague = roster.colleagues.get(person_id)
    return topic_id is None or (colleague is not None and topic_id in colleague.topics)
