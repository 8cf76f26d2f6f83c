"""An appointment as calendar programs read it: an invitation in a letter, or an entry in a colleague's feed.

Pure: plain values in, bytes out. UID, DTSTAMP and SEQUENCE are always given, never made up while writing. Every instant
is in UTC form: a single event needs no time zone of its own, and with one the doubled hour in autumn moves by an hour.
"""

import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from urllib.parse import quote

import icalendar
from icalendar.prop import vCalAddress, vText, vUri

from portal.mail.message import ascii_address

PRODUCT = "-//Durchwahl//Appointments//DE"
"""Who wrote it. Constant: some programs take a calendar of another product for another calendar."""
REMIND_BEFORE = timedelta(minutes=15)
REFRESH_EVERY = timedelta(minutes=15)
"""How often a program should fetch the feed again. A hint: the large ones come after hours."""

# Control characters (NEL among them), the two Unicode line separators, lone surrogates: no reader agrees on these.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_LINE_BREAK = re.compile("\r\n|[\r\n\x0b\x0c\x85\u2028\u2029]")
_BLANKS = re.compile(" {2,}")
# Characters of a parameter that old readers take for an escape or for its end, although RFC 5545 knows no escape there.
_IN_A_NAME = str.maketrans({'"': "'", "\\": "/", "^": ""})
_UID = re.compile(r"[!-~]{1,255}")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!#-;=?-\[\]_a-z~]+")
_LARGEST_SEQUENCE = 2**31 - 1


class Method(StrEnum):
    """What a calendar program shall do with an invitation: take it or its newer version, or take it away."""

    REQUEST = "REQUEST"
    CANCEL = "CANCEL"


@dataclass(frozen=True)
class Mailbox:
    """A name and the address mail for it goes to."""

    name: str
    address: str


@dataclass(frozen=True)
class Event:
    """One version of an appointment, in the words its reader shall see. ``sequence`` counts the versions."""

    uid: str
    sequence: int
    starts_at: datetime
    ends_at: datetime
    created_at: datetime
    changed_at: datetime
    summary: str
    description: str
    location: str = ""
    url: str | None = None

    def __post_init__(self) -> None:
        """Refuse what no calendar program could keep apart or place in time."""
        if not _UID.fullmatch(self.uid):
            raise ValueError("a UID is made of visible ASCII characters, at most 255")
        if not 0 <= self.sequence <= _LARGEST_SEQUENCE:
            raise ValueError("a sequence counts from 0 and fits into 31 bits")
        if not _utc(self.starts_at) < _utc(self.ends_at):
            raise ValueError("an appointment ends after it starts")


def new_uid(host: str) -> str:
    """The UID of an appointment for life: random, at the site's ``host``, so that no two sites give the same."""
    return f"{uuid.uuid4()}@{host}"


def invitation(event: Event, method: Method, *, organizer: Mailbox, attendee: Mailbox, stamp: datetime) -> bytes:
    """The iTIP message (RFC 5546) for one customer: book and move with REQUEST, take back with CANCEL.

    ``organizer`` is the firm, the same for life; ``attendee`` the customer, with the very address the letter goes to.
    ``stamp`` is the instant of writing: of two messages with one sequence, programs believe the later.
    """
    calendar = _calendar()
    calendar.add("method", method.value)
    entry = _entry(event, stamp)
    entry.add("organizer", _address(organizer))
    entry.add("attendee", _attendee(attendee))
    if method is Method.REQUEST:
        entry.add("status", "CONFIRMED")
        entry.add("transp", "OPAQUE")
        entry.add_component(_reminder(event))
    else:
        entry.add("status", "CANCELLED")
    calendar.add_component(entry)
    return _written(calendar)


def single(event: Event) -> bytes:
    """One appointment as a file to open: with one click it stands in the reader's own calendar.

    No message, hence no METHOD: Outlook would take a REQUEST for a stranger's invitation and ask for an answer. And no
    more of a feed than its entry, or a program would offer to make a calendar of its own for it. It has the UID of the
    invitation, so what is there already is brought up to date; as in a feed, DTSTAMP says when it last changed.
    """
    calendar = _calendar()
    entry = _entry(event, event.changed_at)
    entry.add("status", "CONFIRMED")
    entry.add("transp", "OPAQUE")
    entry.add_component(_reminder(event))
    calendar.add_component(entry)
    return _written(calendar)


def feed(name: str, events: Iterable[Event], *, url: str) -> bytes:
    """All of a colleague's ``events`` as they stand, to be fetched from ``url``.

    No message, hence no METHOD: DTSTAMP then says when an entry last changed (RFC 5545, 3.8.7.2), and what has not
    changed has the same bytes, in whichever order it comes. No zone is written: told an X-WR-TIMEZONE,
    readers have moved instants in UTC form by an hour in autumn.
    """
    calendar = _calendar()
    for property_name in ("name", "x-wr-calname"):
        calendar.add(property_name, _text(name))
    calendar.add("refresh-interval", REFRESH_EVERY, parameters={"VALUE": "DURATION"})
    calendar.add("x-published-ttl", icalendar.vDuration(REFRESH_EVERY))
    calendar.add("source", _uri(url), parameters={"VALUE": "URI"})
    for event in sorted(events, key=lambda event: (_utc(event.starts_at), event.uid)):
        entry = _entry(event, event.changed_at)
        entry.add("class", "PRIVATE")
        entry.add("status", "CONFIRMED")
        entry.add("transp", "OPAQUE")
        calendar.add_component(entry)
    return _written(calendar)


def _calendar() -> icalendar.Calendar:
    calendar = icalendar.Calendar()
    calendar.add("prodid", PRODUCT)
    calendar.add("version", "2.0")
    calendar.add("calscale", "GREGORIAN")
    return calendar


def _written(calendar: icalendar.Calendar) -> bytes:
    written: bytes = calendar.to_ical()
    return written


def _entry(event: Event, stamp: datetime) -> icalendar.Event:
    """What an event says wherever it stands."""
    entry = icalendar.Event()
    entry.add("uid", event.uid)
    entry.add("sequence", event.sequence)
    entry.add("dtstamp", _utc(stamp))
    entry.add("dtstart", _utc(event.starts_at))
    entry.add("dtend", _utc(event.ends_at))
    entry.add("created", _utc(event.created_at))
    entry.add("last-modified", _utc(event.changed_at))
    entry.add("summary", _text(event.summary))
    for name, value in (("description", _text(event.description, lines=True)), ("location", _text(event.location))):
        if value:
            entry.add(name, value)
    if event.url is not None:
        entry.add("url", _uri(event.url))
    return entry


def _reminder(event: Event) -> icalendar.Alarm:
    alarm = icalendar.Alarm()
    alarm.add("action", "DISPLAY")
    alarm.add("description", _text(event.summary))
    alarm.add("trigger", -REMIND_BEFORE)
    return alarm


def _address(mailbox: Mailbox) -> vCalAddress:
    # What RFC 6068 lets stand plainly in a mailto; a percent sign of the address itself must not read as an escape.
    address = vCalAddress("mailto:" + quote(ascii_address(mailbox.address), safe="@!$'*+-._~"))
    if name := _text(mailbox.name).translate(_IN_A_NAME).strip():
        address.params["CN"] = name
    return address


def _attendee(mailbox: Mailbox) -> vCalAddress:
    # They chose the time themselves: nothing is left to accept, and an answer would reach a mailbox nobody reads.
    address = _address(mailbox)
    address.params.update({"CUTYPE": "INDIVIDUAL", "ROLE": "REQ-PARTICIPANT", "PARTSTAT": "ACCEPTED", "RSVP": "FALSE"})
    return address


def _utc(instant: datetime) -> datetime:
    if instant.utcoffset() is None:
        raise ValueError("an instant must carry its zone")
    return instant.astimezone(UTC)


class _Text(vText):
    """A text escaped as RFC 5545, 3.3.11 says: the library's own turns ``C:\\Neu`` into two lines."""

    def to_ical(self) -> bytes:
        escaped = re.sub(r"[\\;,]", r"\\\g<0>", self)
        return escaped.replace("\n", r"\n").encode()


def _text(value: str, *, lines: bool = False) -> _Text:
    """The text without what no line rule survives; on one line, or with its ``lines``."""
    kept = (_BLANKS.sub(" ", _CONTROL.sub(" ", line)).strip() for line in _LINE_BREAK.split(value))
    return _Text("\n".join(kept).strip("\n") if lines else _BLANKS.sub(" ", " ".join(kept)).strip())


def _uri(value: str) -> vUri:
    if not _URI.fullmatch(value):
        raise ValueError("this is not the whole address of a page, written in ASCII")
    return vUri(value)
