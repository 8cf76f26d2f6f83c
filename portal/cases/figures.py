"""The figures for leads: how promises fared, how fast the first answer came, how many delay notices a case had.

Reads only, with one query for each figure, and knows weeks, topics and teams, but no single person. A week is an ISO
week on the clock of the front desk's team. A promise belongs to the week of its *first* date, so that moving it hides
nothing; a case to the week in which it came in. The team is that of the owner.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from itertools import pairwise
from math import ceil
from statistics import mean, median
from typing import Any, NamedTuple, TypeAlias
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Row, and_, func, or_, select
from sqlalchemy.orm import Session, aliased

from portal.cases import directory as directories
from portal.cases.contacts import Contact
from portal.cases.directory import Directory
from portal.cases.models import Case, CaseState
from portal.journal.models import Actor, Entry, Kind
from portal.promises.business_time import BeyondHolidayTable, NoBusinessTime, between
from portal.promises.models import Promise, PromiseState

Counted: TypeAlias = Row[*tuple[Any, ...]]
"""A row of one of the queries: what it counts, with the owner and the topic of the case."""
LEAST = 5
"""Fewer make no share, no average and no median: each would tell of one or two cases, and of who had them."""
_CORRECTION = aliased(Entry)
_ANSWERS = and_(
    Entry.actor == Actor.PERSON,
    or_(
        Entry.kind.in_((Kind.REPLY, Kind.QUESTION, Kind.VISIT)),
        and_(Entry.kind == Kind.CLOSED, Entry.text != ""),
        and_(
            Entry.kind == Kind.CALL,
            Entry.facts["contact"].as_string().in_((Contact.CALL_REACHED.value, Contact.CALL_IN.value)),
        ),
    ),
    ~select(_CORRECTION.id).where(_CORRECTION.corrects_id == Entry.id).exists(),
)


class Fate(StrEnum):
    """What became of a promise whose first date has passed, from the first date to the last."""

    FIRST = "first"
    """Kept by the first date."""
    LATER = "later"
    """Moved before a date passed, and kept by the last one."""
    LAPSED = "lapsed"
    """A date passed while it was open, whatever came afterwards."""
    RUNNING = "running"
    """Moved before a date passed, and not due yet or no longer needed."""
    DROPPED = "dropped"
    """No longer needed before any date passed, and never moved: nothing to keep, so counted with nothing."""


@dataclass
class Figures:
    """What was counted in one group: a week, a topic, a team, or all of them. None stands for "too few"."""

    fates: Counter[Fate] = field(default_factory=Counter)
    moved: int = 0
    """Promises moved to a later date at least once, whatever became of them."""
    minutes: list[float] = field(default_factory=list)
    """Business minutes until the first answer, of each case that has one."""
    unanswered: int = 0
    notices: list[int] = field(default_factory=list)
    """Delay notices of each case."""

    @property
    def promises(self) -> int:
        """How many promises are counted."""
        return self.fates.total() - self.fates[Fate.DROPPED]

    @property
    def kept_first(self) -> float | None:
        """The share of promises kept by their first date."""
        return self._share(Fate.FIRST)

    @property
    def kept_last(self) -> float | None:
        """The share of promises kept by the last date that was told in time."""
        return self._share(Fate.FIRST, Fate.LATER)

    @property
    def hours(self) -> float | None:
        """The median of the business hours until the first answer."""
        return median(self.minutes) / 60 if len(self.minutes) >= LEAST else None

    @property
    def notices_per_case(self) -> float | None:
        """The average number of delay notices."""
        return mean(self.notices) if len(self.notices) >= LEAST else None

    @property
    def most_notices(self) -> int | None:
        """As many delay notices, or fewer, had 95 of 100 cases."""
        return sorted(self.notices)[ceil(len(self.notices) * 0.95) - 1] if len(self.notices) >= LEAST else None

    def _share(self, *fates: Fate) -> float | None:
        return sum(self.fates[fate] for fate in fates) / self.promises if self.promises >= LEAST else None


@dataclass(frozen=True)
class Report:
    """The figures of some weeks, the last of which is the present one."""

    total: Figures
    before: Figures
    """Those of as many weeks before, to compare."""
    weeks: dict[date, Figures]
    """By the week's Monday, in order; each week is there."""
    topics: dict[int, Figures]
    teams: dict[int, Figures]
    """By id, only where there is something to count."""


class _Link(NamedTuple):
    """One promise of a chain in which each was moved to the next."""

    state: PromiseState
    due_at: datetime
    first_due_at: datetime
    ended_at: datetime | None


def report(
    session: Session, *, weeks: int, now: datetime, team_id: int | None = None, topic_id: int | None = None
) -> Report:
    """The figures of the last ``weeks`` weeks, of one team and one topic if they are given."""
    directory = directories.load(session, now=now)
    count = _Count(directory, weeks, now=now, team_id=team_id, topic_id=topic_id)
    for row, links in _chains(session, count.since, now):
        moved = any(after.due_at > before.due_at for before, after in pairwise(links))
        outcome = _fate(links, moved, now)
        for figures in count.of(row.first_due_at, row):
            figures.fates[outcome] += 1
            figures.moved += moved
    for row in _first_answers(session, count.since, now):
        minutes = None if row.answered_at is None else _minutes(directory, row)
        for figures in count.of(row.received_at, row):
            if minutes is not None:
                figures.minutes.append(minutes)
            figures.unanswered += row.answered_at is None
    for row in _notices(session, count.since, now):
        for figures in count.of(row.received_at, row):
            figures.notices.append(row.notices)
    return count.report


class _Count:
    """Says in which groups a case counts."""

    def __init__(
        self, directory: Directory, weeks: int, *, now: datetime, team_id: int | None, topic_id: int | None
    ) -> None:
        self._directory, self._team_id, self._topic_id = directory, team_id, topic_id
        company = directory.company
        zone = ZoneInfo(directory.teams[directory.people[company.front_desk_id].team_id].tz)
        today = now.astimezone(zone).date()
        monday = today - timedelta(days=today.weekday())
        mondays = [monday - timedelta(weeks=back) for back in reversed(range(weeks))]
        self.report = Report(Figures(), Figures(), {day: Figures() for day in mondays}, {}, {})
        self._mondays = mondays
        self._starts = [_midnight(day, zone) for day in mondays]
        self.since = _midnight(mondays[0] - timedelta(weeks=weeks), zone)

    def of(self, at: datetime, row: Counted) -> Iterable[Figures]:
        """The groups of a case with something at ``at``."""
        team_id = _team_id(self._directory, row)
        if self._team_id not in (None, team_id) or self._topic_id not in (None, row.topic_id):
            return ()
        week = bisect_right(self._starts, at) - 1
        if week < 0:
            return (self.report.before,)
        return (
            self.report.total,
            self.report.weeks[self._mondays[week]],
            self.report.topics.setdefault(row.topic_id, Figures()),
            self.report.teams.setdefault(team_id, Figures()),
        )


def _team_id(directory: Directory, row: Counted) -> int:
    return directory.topics[row.topic_id].team_id if row.owner_id is None else directory.people[row.owner_id].team_id


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


def _chains(session: Session, since: datetime, now: datetime) -> Iterator[tuple[Counted, Sequence[_Link]]]:
    """Each promise given, with every date it was moved to. All of a chain carry the first date, so none is cut.

    A date after which *we* ask again, or close, is none of ours to keep: what began as waiting for the customer is out.
    """
    rows = session.execute(
        select(
            Promise.id,
            Promise.replaces_id,
            Promise.state,
            Promise.due_at,
            Promise.first_due_at,
            Promise.ended_at,
            Promise.waiting,
            Case.owner_id,
            Case.topic_id,
        )
        .join(Case, Case.id == Promise.case_id)
        .where(Promise.first_due_at >= since, Promise.first_due_at < now, _is_a_case())
        .order_by(Promise.id)
    ).all()
    chains: dict[int, list[_Link]] = {}
    heads: list[tuple[Counted, list[_Link]]] = []
    for row in rows:
        links = chains.get(row.replaces_id or 0)
        if links is None:
            links = []
            heads.append((row, links))
        chains[row.id] = links
        links.append(_Link(row.state, row.due_at, row.first_due_at, row.ended_at))
    return ((row, links) for row, links in heads if row.waiting is None)


def _fate(links: Sequence[_Link], moved: bool, now: datetime) -> Fate:
    last = links[-1]
    if any((link.ended_at or now) > link.due_at for link in links):
        return Fate.LAPSED
    if last.state == PromiseState.KEPT and last.ended_at is not None:
        return Fate.FIRST if last.ended_at <= last.first_due_at else Fate.LATER
    return Fate.RUNNING if moved else Fate.DROPPED


def _first_answers(session: Session, since: datetime, now: datetime) -> Iterable[Counted]:
    """When a person first wrote to or spoke with the customer; of an erased case nobody knows any more."""
    return session.execute(
        select(Case.owner_id, Case.topic_id, Case.received_at, func.min(Entry.at).label("answered_at"))
        .outerjoin(Entry, and_(Entry.case_id == Case.id, Entry.at > Case.received_at, _ANSWERS))
        .where(Case.received_at >= since, Case.received_at < now, Case.state.in_((CaseState.OPEN, CaseState.CLOSED)))
        .group_by(Case.id)
    ).all()


def _notices(session: Session, since: datetime, now: datetime) -> Iterable[Counted]:
    return session.execute(
        select(Case.owner_id, Case.topic_id, Case.received_at, func.count(Entry.id).label("notices"))
        .outerjoin(Entry, and_(Entry.case_id == Case.id, Entry.kind == Kind.NOTICE))
        .where(Case.received_at >= since, Case.received_at < now, _is_a_case())
        .group_by(Case.id)
    ).all()


def _is_a_case() -> ColumnElement[bool]:
    """Neither in doubt nor discarded, nor erased without ever having been opened."""
    return and_(
        Case.state.in_((CaseState.OPEN, CaseState.CLOSED, CaseState.ERASED)),
        Case.opened_at.is_not(None),
    )


def _minutes(directory: Directory, row: Counted) -> float | None:
    """Business minutes until the answer; None where the team's calendar cannot say."""
    team = directory.teams[_team_id(directory, row)]
    try:
        return between(directory.calendar(team), row.received_at, row.answered_at)
    except (NoBusinessTime, BeyondHolidayTable):
        return None
