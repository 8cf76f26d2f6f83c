"""One letter as bytes that are ready to send.

Pure: plain values in, bytes out. The bytes are kept with the letter's row and sent as they are, on every try.

Written here, not by the email package: folding a long display name, CPython before 3.11.12 loses its quotes and makes
many senders of one (gh-80222, gh-121284); before 3.11.10 it writes line breaks it was given (CVE-2024-6923); and it
takes ten times as long. A letter is two texts, twelve headers that are all ours, and a boundary, sometimes with an
appointment for the reader's calendar; in the tests the package's parser is the judge.
"""

import binascii
import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime, quote
from functools import lru_cache

import idna

# Control characters (NEL among them), the two Unicode line separators, lone surrogates (no charset has them).
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_LOCAL_PART = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")
_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,250}>")
_TOKEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LINE_BREAK = re.compile(r"\r\n|\r|\n")
_METHOD = re.compile(rb"^METHOD:([^\r\n]*)\r?$", re.MULTILINE | re.IGNORECASE)

# RFC 3834, section 5: an answer to a message, or a message of our own accord.
_AUTOMATIC = ("auto-replied", "auto-generated")

# A long conversation keeps its first message and the newest ones: relays refuse headers without measure.
_NEWEST_REFERENCES = 20

# Longer header texts are folded; ours are short enough to stand on one line of 78.
_ONE_LINE = 60


class UnsafeHeader(ValueError):
    """A value cannot be written into a header. The text names the header and never holds the value."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Calendar:
    """An iTIP message that goes with a letter: ``data`` as it was written, and the ``method`` that stands in it."""

    method: str
    data: bytes
    name: str = "termin.ics"


@dataclass(frozen=True, kw_only=True, slots=True)
class Envelope:
    """All that one letter says, before it is bytes."""

    from_name: str
    from_address: str
    to_address: str
    reply_to: str
    subject: str
    text: str
    html: str
    message_id: str
    date: datetime
    language: str
    kind: str
    reference: str | None = None
    auto_submitted: str | None = None
    references: tuple[str, ...] = ()
    calendar: Calendar | None = None


def build(envelope: Envelope) -> bytes:
    """Write the letter: text and HTML, one recipient, seven bits wide, lines ended by CRLF.

    ``date`` is aware, in any zone. ``references`` are Message-IDs, newest last: the last is what we answer.
    With a calendar the letter carries it twice, as mail programs look for it: as a third way to read the letter, which
    they offer to put into the calendar, and as a file.
    Raises UnsafeHeader for whatever does not fit into a header, ValueError for a naive date.
    """
    parts = [_part("plain", envelope.text), _part("html", envelope.html)]
    if envelope.calendar is None:
        content = _multipart("alternative", parts)
    else:
        content = _with_calendar(parts, envelope.calendar)
    return f"{_written([*_headers(envelope), ('MIME-Version', '1.0')])}{content}".encode("ascii")


def new_message_id(domain: str) -> str:
    """A Message-ID for life: 128 random bits at the sender's ``domain``, never at the machine's name."""
    return f"<{secrets.token_hex(16)}@{_ascii_domain('Message-ID', domain)}>"


def ascii_address(address: str, header: str = "address") -> str:
    """The address as SMTP without SMTPUTF8 can carry it: the domain in its xn-- form (IDNA 2008, UTS 46).

    Raises UnsafeHeader, naming ``header``, if it is no plain address or its local part is not ASCII.
    """
    local_part, _, domain = _safe(header, address).rpartition("@")
    if not local_part.isascii():
        raise UnsafeHeader(f"{header}: the part before the @ holds letters outside ASCII, which cannot be sent")
    if not _LOCAL_PART.fullmatch(local_part):
        raise UnsafeHeader(f"{header}: this is not a plain mail address")
    return f"{local_part}@{_ascii_domain(header, domain)}"


def _written(headers: list[tuple[str, str]]) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in headers)


def _headers(envelope: Envelope) -> list[tuple[str, str]]:
    sender = ascii_address(envelope.from_address, "From")
    headers = [
        ("From", f"{_phrase(_safe('From', envelope.from_name))} <{sender}>"),
        ("To", ascii_address(envelope.to_address, "To")),
        ("Reply-To", ascii_address(envelope.reply_to, "Reply-To")),
        ("Subject", _unstructured(_safe("Subject", envelope.subject))),
        ("Date", _date(envelope.date)),
        ("Message-ID", _message_id("Message-ID", envelope.message_id)),
        ("Content-Language", _token("Content-Language", envelope.language)),
        ("X-Portal-Letter", _token("X-Portal-Letter", envelope.kind)),
    ]
    if envelope.reference is not None:
        headers.append(("X-Portal-Case", _token("X-Portal-Case", envelope.reference)))
    if envelope.auto_submitted is not None:
        headers += _automatic(envelope.auto_submitted)
    if envelope.references:
        headers += _conversation(envelope.references)
    return headers


def _automatic(auto_submitted: str) -> list[tuple[str, str]]:
    if auto_submitted not in _AUTOMATIC:
        raise UnsafeHeader("Auto-Submitted: neither auto-replied nor auto-generated")
    return [("Auto-Submitted", auto_submitted), ("X-Auto-Response-Suppress", "DR, RN, NRN, OOF, AutoReply")]


def _conversation(references: tuple[str, ...]) -> list[tuple[str, str]]:
    known = [_message_id("References", message_id) for message_id in references]
    kept = known[:1] + known[1:][-_NEWEST_REFERENCES:]
    return [("In-Reply-To", known[-1]), ("References", "\r\n ".join(kept))]


def _multipart(subtype: str, parts: list[str]) -> str:
    """The parts between a boundary of their own, with the header that names it."""
    boundary = secrets.token_hex(16)
    header = _written([("Content-Type", f'multipart/{subtype}; boundary="{boundary}"')])
    return header + "\r\n" + "".join(f"--{boundary}\r\n{part}\r\n" for part in parts) + f"--{boundary}--\r\n"


def _with_calendar(parts: list[str], calendar: Calendar) -> str:
    method, name = _token("method", calendar.method), _token("filename", calendar.name)
    # Programs believe the header or the content: a cancellation sent as a request stays in the calendar.
    if _METHOD.findall(calendar.data) != [method.encode("ascii")]:
        raise UnsafeHeader("method: not the one METHOD of the calendar")
    content_type = f'text/calendar; charset="utf-8"; method={method}'
    shown = _exact_part(("Content-Type", content_type), data=calendar.data)
    attached = _exact_part(
        ("Content-Type", f'{content_type};\r\n name="{name}"'),
        ("Content-Disposition", f'attachment; filename="{name}"'),
        data=calendar.data,
    )
    return _multipart("mixed", [_multipart("alternative", [*parts, shown]), attached])


def _exact_part(*headers: tuple[str, str], data: bytes) -> str:
    """A part whose every byte arrives, the line ends among them: base64 in lines of 76."""
    lines = (binascii.b2a_base64(data[at : at + 57], newline=False).decode("ascii") for at in range(0, len(data), 57))
    return _written([*headers, ("Content-Transfer-Encoding", "base64")]) + "\r\n" + "\r\n".join(lines)


def _part(subtype: str, content: str) -> str:
    headers = [
        ("Content-Type", f'text/{subtype}; charset="utf-8"'),
        ("Content-Transfer-Encoding", "quoted-printable"),
    ]
    return f"{_written(headers)}\r\n{_quoted_printable(content)}"


def _quoted_printable(content: str) -> str:
    # Every line break becomes CRLF first: what is left bare could end a letter early at a careless relay.
    lines = _LINE_BREAK.split(content)
    if lines[-1]:
        lines.append("")
    return binascii.b2a_qp("\r\n".join(lines).encode("utf-8"), istext=True).decode("ascii")


def _safe(header: str, value: str) -> str:
    if _UNSAFE.search(value):
        raise UnsafeHeader(f"{header}: control characters and line breaks cannot stand in a header")
    return value


def _token(header: str, value: str) -> str:
    if not _TOKEN.fullmatch(value):
        raise UnsafeHeader(f"{header}: only letters, digits, dot, dash and underscore, at most 64")
    return value


def _message_id(header: str, value: str) -> str:
    if not _MESSAGE_ID.fullmatch(value):
        raise UnsafeHeader(f"{header}: not a Message-ID")
    return value


def _date(date: datetime) -> str:
    if date.utcoffset() is None:
        raise ValueError("a letter's date must carry its zone")
    return format_datetime(date)


def _ascii_domain(header: str, domain: str) -> str:
    try:
        # Not Python's idna codec: by IDNA 2003 it sends the letters of straße.example to strasse.example.
        ascii_domain = domain if domain.isascii() else idna.encode(domain, uts46=True).decode("ascii")
    except idna.IDNAError:
        raise UnsafeHeader(f"{header}: the part after the @ is not a domain") from None
    if not _DOMAIN.fullmatch(ascii_domain):
        raise UnsafeHeader(f"{header}: the part after the @ is not a domain")
    return ascii_domain


# The same few people sign thousands of letters, and encoding a name is a third of a letter's cost.
@lru_cache(maxsize=1024)
def _phrase(name: str) -> str:
    return f'"{quote(name)}"' if _fits_plainly(name) else _encoded_words(name)


def _unstructured(value: str) -> str:
    return value if _fits_plainly(value) and value == value.strip() else _encoded_words(value)


def _fits_plainly(value: str) -> bool:
    # A text that already looks like an encoded word would be decoded into something nobody wrote.
    return value.isascii() and len(value) <= _ONE_LINE and "=?" not in value


def _encoded_words(value: str) -> str:
    """The text as encoded words of at most 75 characters (RFC 2047 section 2), one to a line.

    Written here because email.header takes longer for one subject than everything else in a letter together.
    The first word leaves room for the longest of our header names, so that no line passes 78 characters.
    """
    left, words, room = value.encode("utf-8"), [], 39
    while len(left) > room:
        end = room
        while left[end] & 0xC0 == 0x80:  # inside a character: a word holds whole ones
            end -= 1
        words.append(left[:end])
        left, room = left[end:], 45
    words.append(left)
    return "\r\n ".join(f"=?utf-8?b?{binascii.b2a_base64(word, newline=False).decode('ascii')}?=" for word in words)
