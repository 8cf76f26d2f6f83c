"""The three files, read once from front to back and kept as one story for each case."""

import base64
import gzip
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.judge import reading
from tests.judge.dates import moments
from tests.judge.hours import Absence, Closure, Company, Team
from tests.judge.reading import Letter, Line, instant

Act = dict[str, Any]
"""A line of the plan with ``at`` as an instant."""
DELAYS = frozenset({"delay_notice", "lead_takes_over"})
REMINDER = "appointment_reminder"
UNASKED = DELAYS | {"waiting_reminder", "closing_announced", REMINDER}
OUR_FAULT = 500
"""From this status on it is the server that could not answer."""
ENDS = ("machine_off", "smtp_down")
REPLANNED = ("Ihr Anliegen hat ein neues Datum", "Your request has a new date")
"""A delay notice that says so moves a date because the calendar changed: no step of the ladder."""


@dataclass(frozen=True)
class Arrival:
    """A letter to a customer when the sink stored it, with the dates by which it says we do something."""

    at: datetime
    to: str
    kind: str
    message_id: str
    person: str
    written: datetime
    steps: tuple[datetime, ...]
    before: frozenset[datetime]
    """The dates that a delay notice takes back."""
    names_lead: bool
    replanned: bool
    agreed: tuple[datetime, ...] = ()
    """The agreed times that it names."""
    keepers: frozenset[str] = frozenset()
    """Who will be there then."""
    invites_to: datetime | None = None
    """The time in its calendar file."""


@dataclass(frozen=True)
class Fetch:
    """What a status page said at one moment: the dates of its steps, and whom it named."""

    at: datetime
    newest: datetime
    """The newest line of its history."""
    steps: frozenset[datetime]
    closed: bool
    person: str
    for_name: str | None
    names: frozenset[str]


@dataclass
class Story:
    """One case: that of an accepted form, or one that a message to a closed case opened."""

    number: int
    """The form's number; one that goes on with a closed case has that one's."""
    reference: str
    email: str
    team: Team
    opened: datetime
    is_form: bool = True
    arrivals: list[Arrival] = field(default_factory=list)
    fetches: list[Fetch] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    acts: list[Act] = field(default_factory=list)
    minutes: int = 30
    """How long an appointment of its topic is."""
    is_placed: bool = False
    """Whether a letter or a page has told which team it is with."""


@dataclass
class Evidence:
    """All that the folder holds."""

    company: Company
    stories: dict[str, Story]
    """By reference."""
    end: datetime
    off: list[tuple[datetime, datetime]]
    down: list[tuple[datetime, datetime]]
    refused: dict[str, datetime]
    """Mailbox to the moment since when it refuses mail."""
    ambiguous: set[str]
    acts: dict[str, list[Act]] = field(default_factory=dict)
    """What customers and colleagues did, by reference."""
    copies: dict[str, int] = field(default_factory=dict)
    """How often each Message-ID was stored."""
    to_staff: list[tuple[datetime, str, str, str]] = field(default_factory=list)
    """When, kind, recipient and reference of each letter to a colleague."""
    refusals: list[tuple[datetime, int, str]] = field(default_factory=list)
    """When a server's fault answered a customer, the number of the form, and what they wanted."""
    nameless: list[Arrival] = field(default_factory=list)
    """Letters of no case, such as a link."""


def read(folder: Path) -> Evidence:
    """Read the folder."""
    evidence = _plan(folder / "plan.jsonl.gz")
    by_number = {story.number: story for story in evidence.stories.values()}
    for row in lines_of(folder / "letters.jsonl.gz"):
        _take_letter(evidence, row)
    for row in lines_of(folder / "pages.jsonl.gz"):
        if row["status"] >= OUR_FAULT:
            evidence.refusals.append((instant(row["at"]), row["case"], f"page: {row['status']}"))
        if row["status"] == 200 and row["case"] in by_number:
            _take_page(evidence, by_number[row["case"]], row)
    for story in evidence.stories.values():
        # Pages show the newest first, also of what happened at one moment.
        story.lines.reverse()
        story.lines.sort(key=lambda line: line.at)
        story.acts = evidence.acts.get(story.reference, [])
    return evidence


def lines_of(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a gzip'ed JSON-lines file."""
    with gzip.open(path, "rb") as file:
        for line in file:
            yield json.loads(line)


def _plan(path: Path) -> Evidence:
    rows = lines_of(path)
    company = Company.of(next(rows))
    evidence = Evidence(company, {}, datetime.max.replace(tzinfo=UTC), [], [], {}, set())
    by_number: dict[int, Story] = {}
    since: dict[str, datetime] = {}
    for row in rows:
        at, kind = instant(row["at"]), row["kind"]
        if kind in ("form", "customer") and row["status"] >= OUR_FAULT:
            evidence.refusals.append((at, row["case"], f"{row.get('act', kind)}: {row['status']}"))
        if kind == "form" and row["status"] == 303:
            team = company.teams[company.topics[row["topic"]]]
            story = Story(row["case"], row["reference"], row["email"].lower(), team, at)
            story.minutes = company.minutes.get(row["topic"], story.minutes)
            by_number[row["case"]] = evidence.stories[story.reference] = story
        elif kind in ("customer", "staff") and row["case"] in by_number:
            reference = row.get("reference") or by_number[row["case"]].reference
            evidence.acts.setdefault(reference, []).append({**row, "at": at})
        elif kind == "absence":
            until = instant(row["until"]) if row["until"] else None
            if row["entered"]:
                company.absences.setdefault(row["person"], []).append(Absence(instant(row["from"]), until, at))
        elif kind == "closure":
            first, last = (datetime.fromisoformat(row[key]).date() for key in ("first", "last"))
            company.closures.append(Closure(first, last, row["place"], row["team"], at))
        elif kind == "refuses":
            evidence.refused.setdefault(row["email"].lower(), at)
        elif kind == "ambiguous":
            evidence.ambiguous.add(row["message_id"])
        elif kind in ENDS:
            since.setdefault(kind, at)
        elif kind in ("machine_on", "smtp_up"):
            windows, start = (evidence.off, "machine_off") if kind == "machine_on" else (evidence.down, "smtp_down")
            if start in since:
                windows.append((since.pop(start), at))
        elif kind == "end":
            evidence.end = at
    evidence.off += [(start, evidence.end) for kind, start in since.items() if kind == "machine_off"]
    evidence.down += [(start, evidence.end) for kind, start in since.items() if kind == "smtp_down"]
    return evidence


def _take_letter(evidence: Evidence, row: dict[str, Any]) -> None:
    letter, at, to = reading.letter(base64.b64decode(row["raw"])), instant(row["at"]), row["to"].lower()
    evidence.copies[letter.message_id] = evidence.copies.get(letter.message_id, 0) + 1
    if evidence.copies[letter.message_id] > 1:
        return
    if letter.kind.startswith("staff_"):
        if letter.kind != "staff_login":
            evidence.to_staff.append((at, letter.kind, to, letter.reference))
        return
    story = evidence.stories.get(letter.reference) or _continued(evidence, letter, to, at)
    if story is not None:
        _place(evidence.company, story, letter.for_name or letter.person)
    team = story.team if story else next(iter(evidence.company.teams.values()))
    people = evidence.company.people
    (story.arrivals if story else evidence.nameless).append(_arrival(letter, at, to, team, people))


def _continued(evidence: Evidence, letter: Letter, to: str, at: datetime) -> Story | None:
    """A case that our program opened for a message to a closed one: of the same mailbox, under a new reference."""
    origin = next((story for story in reversed(evidence.stories.values()) if story.email == to), None)
    if not letter.reference or origin is None:
        return None
    return _goes_on(evidence, origin, letter.reference, letter.written)


def _goes_on(evidence: Evidence, origin: Story, reference: str, opened: datetime) -> Story:
    story = Story(origin.number, reference, origin.email, origin.team, opened, is_form=False)
    story.minutes = origin.minutes
    evidence.stories[reference] = story
    return story


def _place(company: Company, story: Story, name: str) -> None:
    """A case is with the team of its owner: whoever is named first, or whom that person stands in for."""
    person = company.people.get(name)
    if person is not None and not story.is_placed:
        story.team, story.is_placed = company.teams[person.team], True


def _arrival(letter: Letter, at: datetime, to: str, team: Team, people: Iterable[str]) -> Arrival:
    steps = [step for sentence in letter.bold for step in moments(sentence, team.tz, letter.written)]
    agreed = tuple(dict.fromkeys(at for piece in letter.agreed for at in moments(piece, team.tz, letter.written)[-1:]))
    before: frozenset[datetime] = frozenset()
    text = ""
    if letter.kind in UNASKED and letter.kind != REMINDER:
        text = reading.plain(letter.html)
        before = frozenset(moments(text, team.tz, letter.written)) - set(steps) - set(agreed)
    return Arrival(
        at=at,
        to=to,
        kind=letter.kind,
        message_id=letter.message_id,
        person=letter.person,
        written=letter.written,
        steps=() if letter.kind == "closed" else tuple(steps),
        before=before,
        names_lead=letter.kind in DELAYS and team.lead is not None and team.lead in text,
        replanned=letter.kind == "delay_notice" and any(words in text for words in REPLANNED),
        agreed=agreed,
        invites_to=letter.invites_to,
        keepers=frozenset(reading.keepers(letter.html, people)) if agreed else frozenset(),
    )


def _take_page(evidence: Evidence, origin: Story, row: dict[str, Any]) -> None:
    page, at = reading.page(row["html"]), instant(row["at"])
    begun = min((line.at for line in page.lines), default=at)
    story = evidence.stories.get(page.reference) or _goes_on(evidence, origin, page.reference, begun)
    story.number = origin.number
    if not story.is_form:  # its first letter may be one that overtook the confirmation
        story.opened = min(story.opened, begun)
    if row["final"]:
        story.lines += page.lines
    if row["older"]:
        return
    _place(evidence.company, story, page.for_name or page.person)
    people = evidence.company.people
    story.fetches.append(
        Fetch(
            at=at,
            newest=max((line.at for line in page.lines), default=story.opened),
            steps=frozenset(step for sentence in page.steps for step in moments(sentence, story.team.tz, at)[:1]),
            closed=page.closed,
            person=page.person,
            for_name=page.for_name,
            names=frozenset(name for name in people if any(name in sentence for sentence in page.steps)),
        )
    )
