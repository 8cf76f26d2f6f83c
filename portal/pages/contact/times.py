"""The free times that the form shows with its topics, and those nearest to one that could not be had."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from flask_babel import gettext
from sqlalchemy.orm import Session

from portal.cases import drafting, offering
from portal.cases.drafting import Free, Offer
from portal.cases.offering import Offered
from portal.languages import Voice
from portal.pages.contact import typed
from portal.promises.models import Medium

TILES = 6
"""More topics than these are a list to unfold."""
SHOWN, MOST = 6, 30
"""So many times are shown with a topic at first, and at most; all others on the status page."""


@dataclass(frozen=True)
class Time:
    """One time to choose; ``value`` is what the form sends, nothing where no time is wished."""

    value: str
    label: str
    chosen: bool
    promise: str
    """What is agreed by it, as the end of the form says it."""


@dataclass(frozen=True)
class Day:
    """The times of one day."""

    title: str
    times: tuple[Time, ...]


@dataclass(frozen=True)
class Times:
    """What one topic offers."""

    topic: str
    title: str
    """Of the topic, as its tile reads."""
    position: int
    """Of the topic on the form."""
    tile: int | None
    """The same where topics are tiles; None where they are a list."""
    is_visit: bool
    name: str | None
    """Who calls or comes, where it can be nobody else."""
    days: tuple[Day, ...]
    unfixed: Time
    """No time at all: the topic's promise."""
    begins_unfixed: bool
    """Whether that stands before the days; below them where one of them is looked for."""
    goes_on: bool
    """Whether there are more than these."""
    more: int | None
    """How many would be shown next; None where the page shows no more."""


@dataclass(frozen=True)
class Wanted:
    """What the form that came back says: a topic, perhaps a time of it, and those nearest to one that was refused."""

    topic: str | None = None
    slot: datetime | None = None
    nearest: Sequence[Offered] = ()
    count: int = SHOWN
    """How many times are shown with each topic."""


def count(posted: Mapping[str, str]) -> int:
    """How many times a form showed with each topic, or is to show now."""
    wanted = typed.number(posted.get("more")) or typed.number(posted.get("shown")) or SHOWN
    return min(max(wanted, SHOWN), MOST)


def with_topics(
    session: Session, offers: Sequence[Offer], promises: Mapping[str, str], wanted: Wanted, *, now: datetime
) -> dict[str, Times]:
    """By topic, what can be chosen; a topic without a free time has none."""
    found = (
        _times(session, offers, position, promises, wanted, now=now)
        for position, offer in enumerate(offers)
        if offering.offers(offer.topic)
    )
    return {times.topic: times for times in found if times is not None}


def _times(
    session: Session,
    offers: Sequence[Offer],
    position: int,
    promises: Mapping[str, str],
    wanted: Wanted,
    *,
    now: datetime,
) -> Times | None:
    topic, voice = offers[position].topic, offers[position].voice
    is_chosen = topic.slug == wanted.topic
    nearest = wanted.nearest if is_chosen else ()
    free = Free(list(nearest), None) if nearest else drafting.times(session, topic, now=now, count=wanted.count)
    starts = {one.starts_at for one in free.times}
    kept = wanted.slot if is_chosen else None
    if kept is not None:
        starts.add(kept)  # chosen from elsewhere, or by nobody else since: whether it holds is seen when it is sent
    if not starts:
        return None
    unfixed = Time(
        "", gettext("No fixed time: %(promise)s", promise=promises[topic.slug]), is_chosen and kept is None, ""
    )
    is_visit = topic.slot_medium == Medium.VISIT
    goes_on = bool(nearest) or len(free.times) >= wanted.count
    fixed = _labelled(sorted(starts), voice, kept, is_visit=is_visit, now=now)
    by_day = groupby(zip(sorted(starts), fixed, strict=True), key=lambda one: voice.local(one[0]).date())
    days = tuple(Day(voice.day(day, now=now), tuple(time for _, time in times)) for day, times in by_day)
    return Times(
        topic=topic.slug,
        title=topic.name(voice.language),
        position=position,
        tile=position if len(offers) <= TILES else None,
        is_visit=is_visit,
        name=free.name,
        days=days,
        unfixed=unfixed,
        begins_unfixed=not nearest,
        goes_on=goes_on,
        more=wanted.count + SHOWN if goes_on and wanted.count < MOST else None,
    )


def _labelled(
    starts: Sequence[datetime], voice: Voice, kept: datetime | None, *, is_visit: bool, now: datetime
) -> Iterator[Time]:
    """With the zone where two of them would read alike: one hour of the year comes twice."""
    labels = [voice.moment(start, now=now) for start in starts]
    for start, label in zip(starts, labels, strict=True):
        full = voice.agreed(start, now=now) if labels.count(label) > 1 else label
        promise = (
            gettext("Visit at %(moment)s", moment=full) if is_visit else gettext("Call at %(moment)s", moment=full)
        )
        yield Time(voice.local(start).isoformat(timespec="minutes"), full, start == kept, promise)
