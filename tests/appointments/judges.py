"""Judges of calendar files: each reads the bytes with other eyes and says what is wrong; an empty list is praise.

No judge sees everything (reference: which of them catches what is shown in ``test_ics.py``, defect by defect).
"""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import icalendar
import recurring_ical_events
import vobject
from playwright.sync_api import Error, Page, sync_playwright

from portal.appointments.ics import Event
from tests.appointments.mailbox_simulator import Component, read
from tests.browser.conftest import CHROMIUMS

VENDORED = Path(__file__).parent / "vendor" / "ical.js"
ICAL_JS = VENDORED / "ical.es5.min.cjs"
READ_IN_THE_PAGE = """
source => new ICAL.Component(ICAL.parse(source)).getAllSubcomponents("vevent").map(component => {
  const event = new ICAL.Event(component);
  return {
    uid: event.uid, sequence: event.sequence, summary: event.summary, description: event.description,
    names: event.attendees.map(attendee => attendee.getParameter("cn")),
    start: event.startDate.toJSDate().toISOString(), end: event.endDate.toJSDate().toISOString(),
    zones: [event.startDate, event.endDate].map(time => time.zone.tzid),
  };
})
"""
FAR_AWAY = "Pacific/Auckland"
"""The zone of the judges' browser: what floats or leans on the reader's own zone is half a day off there."""


@dataclass(frozen=True)
class Told:
    """What a file was meant to say: these events, by that method (none in a feed)."""

    events: tuple[Event, ...]
    method: str | None


Judge = Callable[[bytes, Told], list[str]]


def bytes_as_the_rule_wants(data: bytes, told: Told) -> list[str]:
    """RFC 5545, 3.1: CRLF, at most 75 octets a line, whole characters, no mark before them, an end to the last line."""
    complaints = []
    lines = data.split(b"\r\n")
    if lines[-1]:
        complaints.append("the last line has no end")
    if b"\r" in data.replace(b"\r\n", b"") or b"\n" in data.replace(b"\r\n", b""):
        complaints.append("a line break that is not CRLF")
    if data.startswith(b"\xef\xbb\xbf"):
        complaints.append("a byte order mark")
    if any(len(line) > 75 for line in lines):
        complaints.append("a line of more than 75 octets")
    if not all(_is_utf8(line) for line in lines):
        complaints.append("a character cut in two")
    if re.search(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", data):
        complaints.append("a control character")
    return complaints


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def times_as_the_rule_wants(data: bytes, told: Told) -> list[str]:
    """Every instant in UTC form, the end after the start, nothing that exists in one zone only."""
    complaints = []
    for number, event in enumerate(_events(data)):
        for name in ("DTSTAMP", "DTSTART", "DTEND", "CREATED", "LAST-MODIFIED"):
            for one in (found for found in event.properties if found.name == name):
                if one.parameters or not re.fullmatch(r"\d{8}T\d{6}Z", one.value):
                    complaints.append(f"{number}: {name} is not in UTC form")
        if event.values("DTEND") <= event.values("DTSTART"):
            complaints.append(f"{number}: ends before it starts")
    return complaints


@dataclass(frozen=True)
class Rule:
    """What one method asks of a VEVENT; beyond RFC 5546 the house asks for all it means to send."""

    once: frozenset[str]
    never: frozenset[str]
    status: str
    reminders: int


NAMED = frozenset({"UID", "SEQUENCE", "DTSTAMP", "CREATED", "LAST-MODIFIED", "STATUS"})
WITH_EVERY_METHOD = NAMED | {"DTSTART", "DTEND", "SUMMARY", "ORGANIZER", "ATTENDEE"}
ITIP = {
    "REQUEST": Rule(  # 3.2.2
        once=WITH_EVERY_METHOD | {"TRANSP"},
        never=frozenset({"REQUEST-STATUS", "DURATION", "RRULE", "RECURRENCE-ID"}),
        status="CONFIRMED",
        reminders=1,
    ),
    "CANCEL": Rule(  # 3.2.5
        once=WITH_EVERY_METHOD,
        never=frozenset({"REQUEST-STATUS", "DURATION", "RRULE", "RECURRENCE-ID", "TRANSP"}),
        status="CANCELLED",
        reminders=0,
    ),
}
ATTENDEE = {"CUTYPE": "INDIVIDUAL", "ROLE": "REQ-PARTICIPANT", "PARTSTAT": "ACCEPTED", "RSVP": "FALSE"}


def message_as_itip_wants(data: bytes, told: Told) -> list[str]:
    """RFC 5546, 3.2.2 and 3.2.5, as a table; ``told.method`` is what the header of the letter says."""
    try:
        calendar = read(data)
    except ValueError as error:
        return [str(error)]
    complaints = []
    wanted = {"VERSION": ["2.0"], "CALSCALE": ["GREGORIAN"], "METHOD": [told.method] if told.method else []}
    for name, values in wanted.items():
        if calendar.values(name) != values:
            complaints.append(f"{name} is {calendar.values(name)}")
    if told.method is not None:
        if [event.name for event in calendar.components] != ["VEVENT"]:
            return [*complaints, "not exactly one VEVENT"]
        complaints += _event_as_itip_wants(calendar.components[0], ITIP[told.method])
    return complaints


def _event_as_itip_wants(event: Component, rule: Rule) -> Iterator[str]:
    counts = {name: len(event.values(name)) for name in rule.once}
    yield from (f"{name} is there {count} times" for name, count in counts.items() if count != 1)
    yield from (f"{name} is not allowed" for name in rule.never if event.values(name))
    if event.values("STATUS") != [rule.status]:
        yield f"STATUS is {event.values('STATUS')}"
    if not all(re.fullmatch(r"0|[1-9]\d{0,9}", value) for value in event.values("SEQUENCE")):
        yield "SEQUENCE is not an integer"
    if [one.name for one in event.components] != ["VALARM"] * rule.reminders:
        yield "not the reminders of this method"
    for alarm in event.components:
        if [len(alarm.values(name)) for name in ("ACTION", "TRIGGER", "DESCRIPTION")] != [1, 1, 1]:
            yield "a reminder without its three properties"
    addresses = event.values("ORGANIZER") + event.values("ATTENDEE")
    if not all(re.fullmatch(r"mailto:[^@\s]+@[^@\s]+", address) for address in addresses):
        yield "an address is not a mailto"
    if len(set(addresses)) != len(addresses):
        yield "the attendee is the organizer"
    for attendee in (one for one in event.properties if one.name == "ATTENDEE"):
        if {key: value for key, value in attendee.parameters.items() if key != "CN"} != ATTENDEE:
            yield f"ATTENDEE says {attendee.parameters}"


def vobject_counts(data: bytes, told: Told) -> list[str]:
    """How often each property may stand, and that every line is one."""
    try:
        for component in vobject.readComponents(data.decode()):
            component.validate(raiseException=True)
    except (vobject.base.VObjectError, UnicodeDecodeError) as error:
        return [str(error)]
    return []


def icalendar_reads_strictly(data: bytes, told: Told) -> list[str]:
    """Our writer's own library, with all it forgives turned into complaints."""
    try:
        components = icalendar.Calendar.from_ical(data).walk()
    except ValueError as error:
        return [str(error)]
    complaints = [f"{one.name}: {error}" for one in components for error in one.errors]
    complaints += [f"{one.name} lacks {name}" for one in components for name in one.required if name not in one]
    doubled = ((one, name) for one in components for name in one.singletons if isinstance(one.get(name), list))
    return complaints + [f"{one.name} has two of {name}" for one, name in doubled]


def recurring_ical_events_shows(data: bytes, told: Told) -> list[str]:
    """What stands in the months around: these events, each once, at their time."""
    meant = sorted((event.uid, event.starts_at, event.ends_at) for event in told.events)
    try:
        calendar = icalendar.Calendar.from_ical(data)
        shown = recurring_ical_events.of(calendar).between(*_months_around(told.events))
        found = sorted((str(one["UID"]), _instant(one.start), _instant(one.end)) for one in shown)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        return [repr(error)]
    return [] if found == meant else [f"shows {found}"]


def _months_around(events: tuple[Event, ...]) -> tuple[datetime, datetime]:
    starts = [event.starts_at for event in events] or [datetime(2027, 1, 1, tzinfo=UTC)]
    return min(starts) - timedelta(days=60), max(starts) + timedelta(days=60)


def _instant(value: datetime) -> datetime:
    return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


def _events(data: bytes) -> list[Component]:
    try:
        return [one for one in read(data).components if one.name == "VEVENT"]
    except ValueError:
        return []


class IcalJs:
    """ical.js in a page: it knows no zone but those in the file, so it is the judge of instants."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def __call__(self, data: bytes, told: Told) -> list[str]:
        """Each event in the order meant, its start and end the same instants, in UTC."""
        try:
            found = self.read(data)
        except (Error, UnicodeDecodeError) as error:
            return [str(error)]
        seen = [(one["uid"], one["sequence"], one["start"], one["end"], one["zones"]) for one in found]
        meant = [
            (event.uid, event.sequence, _iso(event.starts_at), _iso(event.ends_at), ["UTC", "UTC"])
            for event in told.events
        ]
        return [] if seen == meant else [f"reads {seen}"]

    def read(self, data: bytes) -> list[dict[str, object]]:
        """What ical.js makes of the file."""
        found: list[dict[str, object]] = self._page.evaluate(READ_IN_THE_PAGE, data.decode())
        return found


def _iso(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


@contextmanager
def ical_js() -> Iterator[IcalJs]:
    """ical.js inside a page of the tests' Chromium."""
    found = next(path for path in map(shutil.which, CHROMIUMS) if path)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found)
        page = chromium.new_page(timezone_id=FAR_AWAY)
        page.add_script_tag(path=ICAL_JS)
        yield IcalJs(page)
        chromium.close()


JUDGES: dict[str, Judge] = {
    "bytes": bytes_as_the_rule_wants,
    "times": times_as_the_rule_wants,
    "itip": message_as_itip_wants,
    "vobject": vobject_counts,
    "icalendar": icalendar_reads_strictly,
    "folder": recurring_ical_events_shows,
}
"""All but ical.js, which needs its page."""
