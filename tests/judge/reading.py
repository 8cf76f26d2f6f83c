"""One letter and one status page, read as their reader reads them. Regular expressions: the pages are many and ours."""

import binascii
import re
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
STRONG = re.compile(r"<strong>(.*?)</strong>", re.S)
SIGNED_FOR = re.compile(r"<br>\s*(?:in Vertretung für|for) ([^<]+?)\s*<br>")
REOPENING = re.compile(r"wieder öffnen|reopen")

HEADLINE = re.compile(r"<h1[^>]*>(.*?)</h1>", re.S)
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
    html = "" if kind.startswith("staff_") else _html(raw)
    person, company = _sender(headers["from"])
    stands_in = SIGNED_FOR.search(html)
    return Letter(
        message_id=headers["message-id"],
        kind=kind,
        reference=headers.get("x-portal-case", ""),
        person=person,
        company=company,
        for_name=unescape(stands_in[1]) if stands_in else None,
        written=parsedate_to_datetime(headers["date"]).astimezone(UTC),
        bold=tuple(sentence for sentence in map(plain, STRONG.findall(html)) if not REOPENING.search(sentence)),
        html=html,
    )


def page(html: str) -> Page:
    """A status page."""
    headline = _first(HEADLINE, html)
    closed = bool(CLOSED.search(headline)) and not any(character.isdigit() for character in headline)
    journal = JOURNAL.search(html)
    lines = LINE.findall(journal[1]) if journal else []
    also = ITEM.findall(_raw(ALSO, html))
    said = [] if closed else [headline, _first(PROMISE, html), *map(plain, also)]
    return Page(
        reference=_first(KEEP, html),
        headline=headline,
        steps=tuple(sentence for sentence in said if sentence),
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


def _html(raw: bytes) -> str:
    boundary = BOUNDARY.search(raw)
    parts = raw.split(b"\n--" + boundary[1]) if boundary else []
    for part in map(HTML_PART.match, parts):
        if part is not None:
            head, body = part["head"].lower(), part["body"]
            if b"quoted-printable" in head:
                body = binascii.a2b_qp(body)
            elif b"base64" in head:
                body = binascii.a2b_base64(body)
            return body.decode("utf-8")
    return ""


@lru_cache(maxsize=4096)
def _sender(header: str) -> tuple[str, str]:
    """The person and the company of a From line."""
    shown = str(make_header(decode_header(header))).rpartition("<")[0].strip().strip('"')
    person, _, company = shown.partition(" – ")
    return person.strip(), company.strip()
