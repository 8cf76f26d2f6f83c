"""What will befall the company: who writes when, who is away, what breaks. Pure: all of it comes from the seed."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

from portal.simulation.company import House, TopicPlan, account_number, local_instant

CASES_A_DAY = 5000 / 60
SPRING, SPRING_SHORT = date(2027, 3, 1), date(2027, 3, 22)
"""Easter and 28 March lie in both: a long run begins early, a short one right before."""
AUTUMN, AUTUMN_SHORT = date(2026, 10, 5), date(2026, 10, 19)
"""25 October, the Austrian 26 October, and the Reformation and All Saints' days that differ by state."""
CHOOSES = 0.3
"""The share of the customers who choose a time on the form, where the topic offers any."""
LONG = 28
"""Days from which on a run is a long one."""

_WEEKDAYS = (1.25, 1.15, 1.1, 1.05, 0.95, 0.3, 0.2)
_HOURS = (1, 1, 1, 1, 1, 2, 4, 9, 16, 20, 20, 17, 12, 13, 16, 17, 14, 10, 7, 6, 5, 4, 3, 2)
_ZONES = (("Europe/Berlin", 75), ("Europe/Istanbul", 10), ("America/New_York", 15))


@dataclass(frozen=True)
class Arrival:
    """A customer who will fill in the form."""

    number: int
    at: datetime
    topic: TopicPlan
    email: str
    name: str
    language: str
    tz: str
    phone: str | None
    account: str | None
    refuses: bool
    """Whether the mailbox answers 550."""
    chooses: bool = False
    """Whether this customer chooses a time on the form, where the topic offers any."""


@dataclass(frozen=True)
class Away:
    """An absence: when it becomes known, and whether anybody ever enters it."""

    person: str
    known_at: datetime
    starts_at: datetime
    ends_at: datetime | None
    entered: bool


@dataclass(frozen=True)
class Span:
    """From when until when something is down."""

    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True)
class Closing:
    """Days on which the firm, a place or a team stays closed, and when that is entered."""

    known_at: datetime
    first_on: date
    last_on: date
    team: str | None


@dataclass(frozen=True)
class Plan:
    """Everything that is settled before the first minute."""

    seed: int
    first: date
    days: int
    starts_at: datetime
    ends_at: datetime
    arrivals: tuple[Arrival, ...]
    absences: tuple[Away, ...]
    closures: tuple[Closing, ...] = ()
    smtp_down: tuple[Span, ...] = ()
    machine_off: tuple[Span, ...] = ()
    kills: tuple[datetime, ...] = ()
    restarts: tuple[datetime, ...] = ()
    put_off_every: int = 0
    break_off_every: int = 0
    refuses: frozenset[str] = field(default=frozenset())

    def is_off(self, at: datetime) -> bool:
        """Whether the machine is off."""
        return any(off.starts_at <= at < off.ends_at for off in self.machine_off)


def number_of_cases(days: int, wanted: int | None) -> int:
    """How many forms are sent: as many as are wanted, else what a firm like this gets in so many days."""
    return round(CASES_A_DAY * days) if wanted is None else wanted


def made(house: House, *, seed: int, days: int, cases: int | None, faults: bool) -> Plan:
    """The plan of a seed. Odd seeds begin in spring, even ones in autumn."""
    long = days >= LONG
    first = (SPRING if long else SPRING_SHORT) if seed % 2 else (AUTUMN if long else AUTUMN_SHORT)
    starts_at = local_instant(first, 0, "Europe/Berlin")
    ends_at = local_instant(first + timedelta(days=days), 0, "Europe/Berlin")
    number = number_of_cases(days, cases)
    arrivals = tuple(_arrivals(house, Random(f"{seed}:arrivals"), first, days, number, faults))  # noqa: S311  # as below
    settled = Plan(seed, first, days, starts_at, ends_at, arrivals, ())
    random = Random(f"{seed}:company")  # noqa: S311  # chooses what happens, guards nothing
    absences = tuple(sorted(_absences(house, random, first, days), key=lambda away: (away.known_at, away.person)))
    closures = _closures(house, random, first, days)
    if not faults:
        return Plan(**{**vars(settled), "absences": absences, "closures": closures})
    return Plan(**{**vars(settled), "absences": absences, "closures": closures, **_faults(random, first, days),
                   "refuses": frozenset(one.email for one in arrivals if one.refuses)})  # fmt: skip


def _arrivals(house: House, random: Random, first: date, days: int, number: int, faults: bool) -> Iterator[Arrival]:
    moments = sorted(_moment(random, first, days) for _ in range(number))
    topics, weights = house.topics, [topic.weight for topic in house.topics]
    for case, (at, tz) in enumerate(moments, start=1):
        topic = random.choices(topics, weights)[0]
        # One in ten has written before: routing then knows the person.
        customer = case if case < 20 or random.random() > 0.1 else random.randrange(1, case)
        refuses = faults and customer % 67 == 0
        has_phone = topic.medium == "call" or random.random() < 0.5
        of_times = Random(f"{case}:{at.isoformat()}")  # noqa: S311  # as in made; so that nothing else is drawn otherwise
        chooses = topic.slot is not None and of_times.random() < CHOOSES
        yield Arrival(
            number=case,
            at=at,
            topic=topic,
            email=f"kunde{customer}@{'voll' if refuses else 'post'}.example",
            name=f"Kim Kunde {_letters(customer)}",
            language="en" if tz != "Europe/Berlin" or random.random() < 0.1 else "de",
            tz=tz,
            phone=f"089 99998-{random.randrange(500, 1000)}" if has_phone or chooses else None,
            account=account_number(random.randrange(len(house.people) - 1)) if random.random() < 0.06 else None,
            refuses=refuses,
            chooses=chooses,
        )


def _moment(random: Random, first: date, days: int) -> tuple[datetime, str]:
    tz = random.choices([name for name, _ in _ZONES], [share for _, share in _ZONES])[0]
    day = random.choices(range(days), [_WEEKDAYS[(first + timedelta(days=n)).weekday()] for n in range(days)])[0]
    minute = random.choices(range(24), _HOURS)[0] * 60 + random.randrange(60)
    at = local_instant(first + timedelta(days=day), minute, tz)
    start = local_instant(first, 0, "Europe/Berlin")
    end = local_instant(first + timedelta(days=days), 0, "Europe/Berlin")
    if at < start:
        at += timedelta(days=1)
    return (at if at < end else at - timedelta(days=1)), tz


def _letters(number: int) -> str:
    """A surname for a number: names hold no digits."""
    return "Q" + "".join(chr(ord("a") + int(digit)) for digit in str(number))


def _absences(house: House, random: Random, first: date, days: int) -> Iterator[Away]:
    for person in house.people:
        if person.name == house.last_instance:
            continue  # where everybody is away it is the one who answers, and nobody stands in
        if random.random() < days / 80:  # a holiday that everybody knows of beforehand
            begins = first + timedelta(days=random.randrange(days))
            ends = begins + timedelta(days=random.choice((3, 7, 14)))
            known = min(max(first, begins - timedelta(days=random.randrange(2, 15))), begins)
            yield Away(person.name, local_instant(known, 9 * 60, person.tz) if known < begins
                       else local_instant(known, 0, person.tz), local_instant(begins, 0, person.tz),
                       local_instant(ends, 0, person.tz), entered=True)  # fmt: skip
        for _ in range(_times(random, days / 30)):
            yield _ill(person.name, person.tz, random, first + timedelta(days=random.randrange(days)))


def _ill(person: str, tz: str, random: Random, day: date) -> Away:
    """A sudden absence: known some time into the morning, one in ten never entered, some without a known end."""
    minute = random.choice((0, 7 * 60 + 30, 9 * 60 + 10, 11 * 60 + 40))
    ends = day + timedelta(days=random.choice((1, 1, 2, 3, 5)))
    at = local_instant(day, minute, tz)
    return Away(person, at, at, local_instant(ends, 0, tz), entered=random.random() > 0.1)


def _times(random: Random, mean: float) -> int:
    return int(mean) + (random.random() < mean % 1)


def _closures(house: House, random: Random, first: date, days: int) -> tuple[Closing, ...]:
    if days < 5:
        return ()
    known = first + timedelta(days=days // 3)
    day = known + timedelta(days=3)
    while day.weekday() > 4:
        day += timedelta(days=1)
    team = random.choice((None, house.teams[-1].name))
    return (Closing(local_instant(known, 10 * 60 + 20, "Europe/Berlin"), day, day, team),)


def _faults(random: Random, first: date, days: int) -> dict[str, object]:
    def instant(day: int, minute: int) -> datetime:
        return local_instant(first + timedelta(days=day), minute, "Europe/Berlin")

    down: list[Span] = []
    for day in range(2, days, 6):
        begins = instant(day, random.randrange(7 * 60, 20 * 60))
        long = len(down) % 2 == 0  # the others answer 421: then every letter tries for itself
        down.append(Span(begins, begins + timedelta(minutes=random.randrange(40, 300 if long else 90))))
    off = [Span(instant(day, 21 * 60 + 13), instant(day + 1, random.choice((5 * 60 + 20, 7 * 60 + 41))))
           for day in range(4, days - 1, 19)]  # fmt: skip
    kills = [instant(day, random.randrange(6 * 60, 19 * 60)) for day in range(days) for _ in range(3)]
    restarts = [instant(day, random.randrange(7 * 60, 19 * 60)) for day in range(1, days, 4)]
    return {"smtp_down": tuple(down), "machine_off": tuple(off), "kills": tuple(sorted(kills)),
            "restarts": tuple(restarts), "put_off_every": 151, "break_off_every": 397}  # fmt: skip


class Waking:
    """When a customer reads and writes: mostly in the daytime of their own zone, now and then at night."""

    def __init__(self, random: Random, tz: str) -> None:
        self._random, self._zone = random, ZoneInfo(tz)

    def after(self, at: datetime, hours: Sequence[float]) -> datetime:
        """An instant between so many hours after ``at``; at night four out of five wait for the morning."""
        then = at + timedelta(minutes=round(60 * self._random.uniform(*hours)) + 1)
        local = then.astimezone(self._zone)
        if bisect_right((7, 23), local.hour) == 1 or self._random.random() < 0.2:
            return then
        days = 1 if local.hour >= 23 else 0
        morning = datetime.combine(local.date() + timedelta(days=days), local.time().replace(hour=8), self._zone)
        return morning.astimezone(UTC)
