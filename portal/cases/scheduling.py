"""Scheduling: which date a case's next step gets, in the hours of its team.

The rules are those of ``promises.service_level``; here they meet the case: its team, its level, and the notice its
customer may have had today.
"""

from datetime import datetime, time, timedelta

from portal.cases.directory import Directory
from portal.cases.errors import DateOutOfReach, NoRoom, NothingToPromise, NoticedToday
from portal.cases.models import Case, Topic
from portal.people.models import Team
from portal.promises import business_time, service_level
from portal.promises.business_time import BeyondHolidayTable, NoBusinessTime
from portal.promises.models import Promise
from portal.promises.service_level import Level, Schedule

FARTHEST = timedelta(days=730)
"""No promise reaches further: nobody waits two years for a date."""
SOON_MIN = 120
"""Business minutes."""
CHECK_MINUTES = 480
"""Business minutes until a doubtful entry has been looked at."""


def level_of(directory: Directory, case: Case) -> Level:
    """What the case's topic promises."""
    return directory.levels[directory.topics[case.topic_id].level_id].level


def quiet_until(directory: Directory, case: Case, *, now: datetime) -> datetime | None:
    """The end of the day if the customer has had a delay notice on it: there is one a day at most."""
    if case.noticed_at is None:
        return None
    is_today = is_same_day(directory, case, case.noticed_at, now)
    return end_of_day(directory, case, now=now) if is_today else None


def is_same_day(directory: Directory, case: Case, one: datetime, other: datetime) -> bool:
    """Whether two instants lie on one day where the case's team is."""
    return end_of_day(directory, case, now=one) == end_of_day(directory, case, now=other)


def end_of_day(directory: Directory, case: Case, *, now: datetime) -> datetime:
    """The midnight that ends this day where the case's team is."""
    voice = directory.voice_of(case)
    return voice.instant(datetime.combine(voice.local(now).date() + timedelta(days=1), time()))


def first_answer(
    directory: Directory, team: Team, topic: Topic, *, now: datetime, quiet: datetime | None = None
) -> Schedule:
    """When the first answer to a topic is due if it is asked for now. Raises NothingToPromise."""
    level = directory.levels[topic.level_id].level
    try:
        return service_level.due_after(
            level.answer_min,
            directory.calendar(team),
            directory.sending(team),
            level=level,
            given_at=now,
            quiet_until=quiet,
        )
    except (NoBusinessTime, BeyondHolidayTable, service_level.NoRoom) as fault:
        raise NothingToPromise from fault


def answer_to_message(directory: Directory, case: Case, *, now: datetime) -> Schedule:
    """When we answer what the customer just wrote. Raises NothingToPromise."""
    team, topic = directory.team_of(case), directory.topics[case.topic_id]
    return first_answer(directory, team, topic, now=now, quiet=quiet_until(directory, case, now=now))


def next_update(
    directory: Directory, case: Case, *, now: datetime, counted_from: datetime | None = None, times: int = 1
) -> Schedule:
    """The service level's time between updates, ``times`` over, after now or after a later date.

    Raises NothingToPromise.
    """
    team, level = directory.team_of(case), level_of(directory, case)
    try:
        return service_level.due_after(
            level.update_min * times,
            directory.calendar(team),
            directory.sending(team),
            level=level,
            given_at=now,
            counted_from=counted_from if counted_from is not None and counted_from > now else None,
            quiet_until=quiet_until(directory, case, now=now),
        )
    except (NoBusinessTime, BeyondHolidayTable, service_level.NoRoom) as fault:
        raise NothingToPromise from fault


def soon(directory: Directory, case: Case, *, now: datetime) -> Schedule:
    """Two hours of the team's after now: for a date that somebody has to name at once. Raises NothingToPromise."""
    team, level = directory.team_of(case), level_of(directory, case)
    try:
        return service_level.due_after(
            SOON_MIN,
            directory.calendar(team),
            directory.sending(team),
            level=level,
            given_at=now,
            quiet_until=quiet_until(directory, case, now=now),
        )
    except (NoBusinessTime, BeyondHolidayTable, service_level.NoRoom) as fault:
        raise NothingToPromise from fault


def chosen(directory: Directory, case: Case, due_at: datetime, *, now: datetime) -> Schedule:
    """The instants of a date that a person chose.

    Raises NoRoom for one that leaves no room for a notice before it, NoticedToday where the customer has had today's,
    DateOutOfReach for one outside the team's hours or more than two years away.
    """
    if due_at <= now:
        raise NoRoom
    if due_at > now + FARTHEST:
        raise DateOutOfReach
    team, level = directory.team_of(case), level_of(directory, case)
    calendar, sending = directory.calendar(team), directory.sending(team)
    try:
        if business_time.latest_open(calendar, due_at) != due_at:
            raise DateOutOfReach
        schedule = service_level.schedule(level, calendar, sending, given_at=now, due_at=due_at)
    except service_level.NoRoom as error:
        raise NoRoom from error
    except (NoBusinessTime, BeyondHolidayTable) as error:
        raise DateOutOfReach from error
    quiet = quiet_until(directory, case, now=now)
    if quiet is not None and schedule.notice_at < quiet:
        raise NoticedToday
    return schedule


def successor(directory: Directory, case: Case, promise: Promise, *, now: datetime) -> Schedule:
    """The instants of the promise that follows one which is moved: the date that was planned, else the next update.

    A date a person planned that can no longer be promised gives way to an update counted from it; one that a new
    calendar set is pushed to the next with room. Raises NothingToPromise.
    """
    planned = as_planned(directory, case, promise, now=now)
    if planned is not None:
        return planned
    if promise.moves_to is None:
        return next_update(directory, case, now=now, counted_from=promise.due_at)
    times = 1 if promise.moves_by_hand else 0
    return next_update(directory, case, now=now, counted_from=promise.moves_to, times=times)


def as_planned(directory: Directory, case: Case, promise: Promise, *, now: datetime) -> Schedule | None:
    """The instants of the date a person planned; None without one, and where it can no longer be promised.

    That the customer has had a notice today does not matter, unless the new date would need one today as well.
    """
    if promise.moves_to is None or not promise.moves_by_hand:
        return None
    team = directory.team_of(case)
    calendar, sending = directory.calendar(team), directory.sending(team)
    try:
        if business_time.latest_open(calendar, promise.moves_to) != promise.moves_to:
            return None
        level = level_of(directory, case)
        schedule = service_level.schedule(level, calendar, sending, given_at=now, due_at=promise.moves_to)
    except (NoBusinessTime, BeyondHolidayTable, service_level.NoRoom):
        return None
    quiet = quiet_until(directory, case, now=now)
    return None if quiet is not None and schedule.notice_at < quiet else schedule


def proposed_due(directory: Directory, case: Case, *, now: datetime) -> datetime:
    """The date a form proposes for the next step: the service level's time between updates.

    Tomorrow at this time where the team has no business time to count in: the page must open all the same.
    """
    try:
        return next_update(directory, case, now=now).due_at
    except NothingToPromise:
        return now + timedelta(days=1)


def check_by(directory: Directory, team: Team, *, now: datetime) -> datetime:
    """Until when somebody has looked at a doubtful entry; a day later where the team has no business time ahead."""
    calendar = directory.calendar(team)
    try:
        return business_time.round_up(calendar, business_time.add(calendar, now, CHECK_MINUTES))
    except (NoBusinessTime, BeyondHolidayTable):
        return now + timedelta(days=1)
