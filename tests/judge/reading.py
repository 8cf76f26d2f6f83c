"""One letter and one status page, read as their reader reads them. Regular expressions: the pages are many and ours."""

import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.header import decode_header, make_header
from email.utils import parsedate_to_datetime
from functools import lru_cache
from html import unescape

HEADER = re.compile(rb"^(From|Date|Message-ID|X-Portal-Case|X-Portal-Letter): *(.*(?:\r?\n[ \t].*)*)", re.I | re.M)
BOUNDARY = re.compile(rb'^Content-Type: multipart/[^\r\n]*(?:\r?\n[ \t][^\r\n]*)*?boundary="?([^";\r\n]+)', re.I | re.M)
HTML_PART = re.compile(
    rb"\A\r?\n(?P<head>(?:[^\r\n]+\r?\n)*?Content-Type: text/html.*?)\r?\n\r?\n(?P<body>.*)", re.S | re.I
)
CALENDAR_PART = re.compile(
    rb"\A\r?\n(?P<head>(?:[^\r\n]+\r?\n)*?Content-Type: text/calendar.*?)\r?\n\r?\n(?P<body>.*)", re.S | re.I
)
DTSTART = re.compile(r"^DTSTART:(\d{8}T\d{6}Z)\r?$", re.M)
STRONG = re.compile(r"<strong>(.*?)</strong>", re.S)
SIGNED_FOR = re.compile(r"<br>\s*(?:in Vertretung für|for) ([^<]+?)\s*<br>")
REOPENING = re.compile(r"wieder öffnen|reopen")

AGREED = re.compile(
    r"(?:ruft Sie|besucht Sie) am |will (?:call|visit) you at |, (?:etwa|about) \d+ (?:Minuten|minutes)"
)
"""A sentence that names an agreed time; what is promised is promised *by* its date."""
LASTS = re.compile(r", (?:etwa|about) \d+ (?:Minuten|minutes)")
KEEPS = re.compile(r"(?:ruft Sie (?!bis |noch )|besucht Sie (?!bis )|will (?:call|visit) (?!you by ))")
REACH = 80
"""Characters before its length in which a letter names an agreed time."""

HEADLINE = re.compile(r"<h1[^>]*>(.*?)</h1>", re.S)
CARD_OF_TIME = re.compile(r'<section class="card appointment".*?</section>', re.S)
OVER = re.compile(
    r"(?:Termin mit .* war am|appointment with .* was at|zum vereinbarten|as agreed for|visit agreed for)"
)
"""What a page says of an agreed time that has come."""
PROMISE = re.compile(r'<p class="promise">(.*?)</p>', re.S)
ALSO = re.compile(r'<div class="also">(.*?)</div>', re.S)
ITEM = re.compile(r"<li[^>]*>(.*?)</li>", re.S)
CARD = re.compile(r'<h2 id="person-name">.*?</span>\s*<span>(.*?)</span></h2>', re.S)
STANDS_IN = re.compile(r"(?:in Vertretung für|standing in for) ([^<]+?)\s*</p>")
CLOSED = re.compile(r"abgeschlossen|closed")
KEEP = re.compile(r'<span class="keep">\s*([A-Z0-9-]+)\s*</span>')
JOURNAL = re.compile(r'<ol class="journal">(.*?)</ol>', re.S)
LINE = re.compile(r'<h3>(.*?)</h3>\s*<p class="by">(.*?),\s*<time datetime="([^"]+)">', re.S)
TAG = re.compile(r"<[^>]+>")
SPACE = re.compile(r"\s+")


@dataclass(frozen=True)
class Letter:
    """What a letter says of itself, and the sentences it prints in bold."""

    message_id: str
    kind: str
    reference: str
    person: str
    """Who sends it, without the company."""
    company: str
    for_name: str | None
    """Whom that person stands in for."""
    written: datetime
    bold: tuple[str, ...]
    """The sentences in bold by whose date we do something."""
    agreed: tuple[str, ...]
    """Pieces of sentences that name an agreed time."""
    invites_to: datetime | None
    """The same in the calendar file that comes with it."""
    html: str


@dataclass(frozen=True)
class Line:
    """One line of a history: when, what, and who did it."""

    at: datetime
    sentence: str
    by: str


@dataclass(frozen=True)
class Page:
    """What a status page says."""

    reference: str
    headline: str
    steps: tuple[str, ...]
    """The sentences with a date by which we do something: the headline's and those also promised."""
    closed: bool
    person: str
    for_name: str | None
    lines: tuple[Line, ...]
    """Newest first."""


def instant(text: str) -> datetime:
    """An ISO 8601 instant with its offset, in UTC."""
    return datetime.fromisoformat(text).astimezone(UTC)


def letter(raw: bytes) -> Letter:
    """A whole message as SMTP carried it."""
    head = re.split(rb"\r?\n\r?\n", raw, maxsplit=1)[0]
    headers = {
        name.decode().lower(): re.sub(rb"\r?\n(?=[ \t])", b"", value).decode().strip()
        for name, value in HEADER.findall(head)
    }
    kind = headers.get("x-portal-letter", "")
    html = "" if kind.startswith("staff_") else _part(raw, HTML_PART)
    person, company = _sender(headers["from"])
    stands_in = SIGNED_FOR.search(html)
    bold = [sentence for sentence in map(plain, STRONG.findall(html)) if not REOPENING.search(sentence)]
    text = plain(html) if LASTS.search(html) else ""
    lasts = [text[max(0, found.start() - REACH) : found.start()] for found in LASTS.finditer(text)]
    return Letter(
        message_id=headers["message-id"],
        kind=kind,
        reference=headers.get("x-portal-case", ""),
        person=person,
        company=company,
        for_name=unescape(stands_in[1]) if stands_in else None,
        written=parsedate_to_datetime(headers["date"]).astimezone(UTC),
        bold=tuple(sentence for sentence in bold if not AGREED.search(sentence)),
        agreed=(*(sentence for sentence in bold if AGREED.search(sentence)), *lasts),
        invites_to=None if kind.startswith("staff_") else _invitation(raw),
        html=html,
    )


def keepers(html: str, names: Iterable[str]) -> set[str]:
    """Who will be there at the agreed time that a letter names."""
    text = plain(html)
    return {name for name in names if name in text and re.search(re.escape(name) + " " + KEEPS.pattern, text)}


def page(html: str) -> Page:
    """A status page."""
    html = CARD_OF_TIME.sub("", html)
    headline = _first(HEADLINE, html)
    closed = bool(CLOSED.search(headline)) and not any(character.isdigit() for character in headline)
    journal = JOURNAL.search(html)
    lines = LINE.findall(journal[1]) if journal else []
    also = ITEM.findall(_raw(ALSO, html))
    said = [] if closed else [headline, _first(PROMISE, html), *map(plain, also)]
    return Page(
        reference=_first(KEEP, html),
        headline=headline,
        steps=tuple(one for one in said if one and not AGREED.search(one) and not OVER.search(one)),
        closed=closed,
        person=_first(CARD, html),
        for_name=_first(STANDS_IN, html) or None,
        lines=tuple(Line(instant(at), plain(sentence), plain(by)) for sentence, by, at in lines),
    )


def plain(html: str) -> str:
    """The words of a piece of HTML, one space between them."""
    return SPACE.sub(" ", unescape(TAG.sub("", html))).strip()


def _raw(pattern: re.Pattern[str], html: str) -> str:
    found = pattern.search(html)
    return found[1] if found else ""


def _first(pattern: re.Pattern[str], html: str) -> str:
    return plain(_raw(pattern, html))


def _part(raw: bytes, pattern: re.Pattern[bytes]) -> str:
    """The first part of this kind, in whichever of the message's containers it lies; "" where there is none."""
    for boundary in BOUNDARY.findall(raw):
        for part in map(pattern.match, raw.split(b"\n--" + boundary)):
            if part is not None:
                head, body = part["head"].lower(), part["body"]
                if b"quoted-printable" in head:
                    body = binascii.a2b_qp(body)
                elif b"base64" in head:
                    body = binascii.a2b_base64(body)
                return body.decode("utf-8")
    return ""


def _invitation(raw: bytes) -> datetime | None:
    """The start in the calendar file that comes with a letter, if it asks to enter or to change an appointment."""
    calendar = _part(raw, CALENDAR_PART) if b"text/calendar" in raw else ""
    start = DTSTART.search(calendar)
    if start is None or "METHOD:REQUEST" not in calendar:
        return None
    return datetime.strptime(start[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


@lru_cache(maxsize=4096)
def _sender(header: str) -> tuple[str, str]:
    """The person and the company of a From line."""
    shown = str(make_header(decode_header(header))).rpartition("<")[0].strip().strip('"')
    person, _, company = shown.partition(" – ")
    return person.strip(), company.strip()
